// Times as people type them: `90 s`, `5 min`, `1 h 30 min`, `7 d`.
const UNITS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  min: 60_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

export function parseDuration(text: string): number | null {
  const parts = text
    .trim()
    .toLowerCase()
    .split(/\s+(?=\d)/);
  let sum = 0;
  for (const part of parts) {
    const match = /^(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)$/.exec(part.trim());
    const size = match?.[2] ? UNITS[match[2]] : undefined;
    if (!match?.[1] || size === undefined) return null;
    sum += Number(match[1]) * size;
  }
  return Number.isSafeInteger(sum) ? sum : null;
}

/** Exactly, unlike times that are only shown: 90,500 ms is `1 min 30 s 500 ms`. */
export function writeDuration(ms: number): string {
  const parts: string[] = [];
  let rest = ms;
  for (const unit of ['d', 'h', 'min', 's', 'ms'] as const) {
    const size = UNITS[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count === 0) continue;
    parts.push(`${count} ${unit}`);
    rest -= count * size;
  }
  return parts.length === 0 ? '0 ms' : parts.join(' ');
}
