// Sizes as people type them: `25 MiB`, `1.5 GiB`, `512 KiB`.
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function parseSize(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(b|kib|mib|gib|tib)?$/i.exec(text.trim());
  if (!match?.[1]) return null;
  const unit = UNITS.findIndex((name) => name.toLowerCase() === (match[2] ?? 'b').toLowerCase());
  const bytes = Number(match[1]) * 1024 ** unit;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** Exactly, in the largest unit that needs no fraction. */
export function writeSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value > 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${UNITS[unit]}`;
}
