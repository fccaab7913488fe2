// Events as a table for other programs (RFC 4180).
import type { Event } from '../../api/types';

const COLUMNS = [
  'id',
  'created_at',
  'event_type',
  'actor_kind',
  'actor_id',
  'resource_kind',
  'resource_id',
  'conversation_id',
  'request_id',
  'payload',
] as const;

/** A field that begins with one of these would be taken for a formula by spreadsheets. */
const FORMULA = /^[=+\-@\t\r]/;

function field(value: unknown): string {
  const raw =
    value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  const safe = FORMULA.test(raw) ? `'${raw}` : raw;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csvOf(events: Event[]): string {
  const lines = events.map((event) => COLUMNS.map((column) => field(event[column])).join(','));
  return [COLUMNS.join(','), ...lines, ''].join('\r\n');
}

export function downloadCsv(events: Event[]): void {
  const url = URL.createObjectURL(new Blob([csvOf(events)], { type: 'text/csv' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = 'ekho-events.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
