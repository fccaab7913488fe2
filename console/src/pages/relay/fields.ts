// The settings: how each is read and written, its default, and the group that it is shown in.
import type { AttachmentSettings, Settings } from '../../api/types';
import { text } from '../../text';
import { parseDuration, writeDuration } from './duration';
import { parseSize, writeSize } from './size';

export type Kind = 'duration' | 'durations' | 'number' | 'risks' | 'size';
export interface Field<Name extends string = string> {
  name: Name;
  kind: Kind;
  standard: number | number[] | string[];
}
export interface Group<Name extends string> {
  group: string;
  fields: Field<Name>[];
}

const day = 86_400_000;
const field = <Name extends string>(name: Name, kind: Kind, standard: Field['standard']): Field<Name> => ({
  name,
  kind,
  standard,
});

export const ATTACHMENTS: Group<keyof AttachmentSettings>[] = [
  {
    group: 'attachments',
    fields: [
      field('attachment_max_bytes', 'size', 25 * 2 ** 20),
      field('attachment_fleet_max_bytes', 'size', 10 * 2 ** 30),
      field('attachment_unbound_ms', 'duration', day),
      field('attachment_hold_ms', 'duration', 3_600_000),
    ],
  },
];

export const GROUPS: Group<keyof Settings>[] = [
  {
    group: 'delivery',
    fields: [
      field('delivery_timeout_ms', 'duration', 120_000),
      field('retry_backoff_ms', 'durations', [60_000, 300_000, 900_000, 3_600_000, 7_200_000]),
      field('idempotency_ms', 'duration', day),
    ],
  },
  {
    group: 'rates',
    fields: [
      field('rate_max_messages', 'number', 30),
      field('rate_window_ms', 'duration', 60_000),
      field('violation_threshold', 'number', 5),
      field('violation_window_ms', 'duration', 3_600_000),
    ],
  },
  {
    group: 'heartbeats',
    fields: [
      field('heartbeat_interval_ms', 'duration', 30_000),
      field('heartbeat_timeout_ms', 'duration', 90_000),
      field('heartbeat_threshold', 'number', 3),
      field('poll_interval_ms', 'duration', 5_000),
    ],
  },
  {
    group: 'approvals',
    fields: [
      field('approval_risks', 'risks', ['high', 'critical']),
      field('approval_two_person_risks', 'risks', []),
      field('approval_ttl_ms', 'duration', day),
    ],
  },
  {
    group: 'retention',
    fields: [
      field('message_retention_ms', 'duration', 7 * day),
      field('dead_letter_retention_ms', 'duration', 30 * day),
      field('event_retention_ms', 'duration', 90 * day),
    ],
  },
  {
    group: 'signing',
    fields: [
      field('timestamp_skew_ms', 'duration', 300_000),
      field('enrollment_token_ms', 'duration', 3_600_000),
    ],
  },
  {
    group: 'signIn',
    fields: [
      field('session_ms', 'duration', 43_200_000),
      field('login_failures_per_account', 'number', 10),
      field('login_failures_per_address', 'number', 100),
      field('login_lockout_ms', 'duration', 900_000),
    ],
  },
  {
    group: 'limits',
    fields: [field('max_fan_out', 'number', 10_000), field('max_agents', 'number', 100_000)],
  },
];

export function shown(kind: Kind, value: unknown): string {
  if (kind === 'duration') return writeDuration(Number(value));
  if (kind === 'durations') return (value as number[]).map(writeDuration).join(', ');
  if (kind === 'risks') return (value as string[]).join(', ');
  if (kind === 'size') return writeSize(Number(value));
  return String(value);
}

export type Read = { ok: true; value: number | number[] | string[] } | { ok: false; wrong: string };

export function read(kind: Kind, typed: string): Read {
  const t = text.settings;
  if (kind === 'duration') {
    const ms = parseDuration(typed);
    return ms === null ? { ok: false, wrong: t.badDuration } : { ok: true, value: ms };
  }
  if (kind === 'size') {
    const bytes = parseSize(typed);
    return bytes === null ? { ok: false, wrong: t.badSize } : { ok: true, value: bytes };
  }
  if (kind === 'durations') {
    const all = typed
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
      .map(parseDuration);
    return all.includes(null)
      ? { ok: false, wrong: t.badDurations }
      : { ok: true, value: all.filter((ms) => ms !== null) };
  }
  if (kind === 'risks')
    return {
      ok: true,
      value: typed
        .split(',')
        .map((part) => part.trim())
        .filter(Boolean),
    };
  return /^\d+$/.test(typed.trim()) ? { ok: true, value: Number(typed) } : { ok: false, wrong: t.badNumber };
}
