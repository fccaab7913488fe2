// The arithmetic of charts: round ends of axes, ticks, and lines with gaps.

/** The next number up that reads well at the end of an axis. */
export function niceCeiling(value: number): number {
  const size = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 2.5, 4, 5, 8, 10]) {
    if (value <= step * size && Number.isInteger(step * size)) return step * size;
  }
  return Math.ceil(value);
}

export function ticksOf(top: number): number[] {
  const parts = top % 4 === 0 ? 4 : top % 5 === 0 ? 5 : top % 2 === 0 ? 2 : 1;
  return Array.from({ length: parts + 1 }, (_, part) => (top / parts) * part);
}

/** An SVG path through the values, broken where one is missing; closed down to `ground` where given. */
export function linePath(
  values: (number | null)[],
  x: (index: number) => number,
  y: (value: number) => number,
  ground?: number,
): string {
  const parts: string[] = [];
  let from: number | null = null;
  const close = (end: number) => {
    if (from === null) return;
    if (ground !== undefined)
      parts.push(`L${round(x(end))} ${round(ground)}L${round(x(from))} ${round(ground)}Z`);
    from = null;
  };
  values.forEach((value, index) => {
    if (value === null) {
      close(index - 1);
      return;
    }
    parts.push(`${from === null ? 'M' : 'L'}${round(x(index))} ${round(y(value))}`);
    from ??= index;
  });
  close(values.length - 1);
  return parts.join('');
}

/** Values without a neighbour: a line through them would not be seen. */
export function lonely(values: (number | null)[]): number[] {
  return values.flatMap((value, index) =>
    value !== null && (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null
      ? [index]
      : [],
  );
}

const round = (value: number): number => Math.round(value * 10) / 10;
