// Numbers, times and texts as people read them.
import { text } from '../text';

const LANGUAGE = 'en-GB';
const whole = new Intl.NumberFormat(LANGUAGE);
// British English writes a million as `m`, which looks like a thousandth.
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(LANGUAGE, { numeric: 'always', style: 'short' });
const clock = new Intl.DateTimeFormat(LANGUAGE, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const clockShort = new Intl.DateTimeFormat(LANGUAGE, { hour: '2-digit', minute: '2-digit' });
const date = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'short', year: 'numeric' });

export const formatNumber = (value: number): string => whole.format(value);
export const formatShort = (value: number): string =>
  Math.abs(value) < 10_000 ? whole.format(value) : short.format(value);

export function formatTime(at: string, as: 'full' | 'clock' | 'minute', now: number = Date.now()): string {
  const when = new Date(at);
  if (as === 'minute') return clockShort.format(when);
  if (as === 'clock' && new Date(now).toDateString() === when.toDateString()) return clock.format(when);
  return `${date.format(when)}, ${clock.format(when)}`;
}

export function formatUtc(at: string): string {
  return `${new Date(at)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, '')} UTC`;
}

export function formatAge(at: string, now: number): string {
  const seconds = Math.round((Date.parse(at) - now) / 1_000);
  const size = Math.abs(seconds);
  if (size < 5) return text.time.now;
  if (size < 60) return relative.format(seconds, 'second');
  if (size < 3_600) return relative.format(Math.round(seconds / 60), 'minute');
  if (size < 172_800) return relative.format(Math.round(seconds / 3_600), 'hour');
  return relative.format(Math.round(seconds / 86_400), 'day');
}

const STEPS: [number, string][] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
  [1, 'ms'],
];

/** A length of time in at most two units: `2 h 5 min`, `90 s` as `1 min 30 s`, `2.5 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1) return '0 ms';
  if (ms >= 1_000 && ms < 10_000) return `${Math.round(ms / 100) / 10} s`;
  const parts: string[] = [];
  let rest = Math.round(ms);
  for (const [size, unit] of STEPS) {
    const count = Math.floor(rest / size);
    if (count === 0) {
      if (parts.length > 0) break;
      continue;
    }
    parts.push(`${count} ${unit}`);
    rest -= count * size;
    if (parts.length === 2 || unit === 's') break;
  }
  return parts.join(' ');
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `agent_0123456789abcdef…` is told apart by its end, as ids begin with a time. */
export function shortId(id: string): string {
  const made = /^([a-z0-9]+_)[0-9a-f]{7,}([0-9a-f]{6})$/i.exec(id);
  // Ids that people and agents make up say something: they are shown as they are.
  return made ? `${made[1]}…${made[2]}` : id;
}

export function readable(name: string): string {
  const words = name.replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
