// @vitest-environment node
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ChainChecker } from './chain';

const zero = '00'.repeat(32);

interface Line {
  seq?: number;
  record?: string;
}

function chain(records: string[]): { lines: Line[]; hashes: string[] } {
  let before = Buffer.from(zero, 'hex');
  const hashes: string[] = [];
  const rows = records.map((record, index) => {
    const seq = Buffer.alloc(8);
    seq.writeBigUInt64BE(BigInt(index + 1));
    before = createHash('sha256').update(before).update(seq).update(Buffer.from(record, 'hex')).digest();
    hashes.push(before.toString('hex'));
    return { seq: index + 1, hash: before.toString('hex'), record };
  });
  const lines = [
    { ekho_audit: 1, from_seq: 1, previous_hash: zero, head_seq: rows.length },
    ...rows,
    { end: true, head_seq: rows.length, head_hash: before.toString('hex') },
  ] as Line[];
  return { lines, hashes };
}

async function check(lines: object[], kept: string | null = null) {
  const checker = new ChainChecker(kept);
  for (const line of lines) await checker.line(JSON.stringify(line));
  return checker.verdict();
}

describe('ChainChecker', () => {
  const { lines, hashes } = chain(['01', '02ff', '03', '']);

  it('finds a whole chain good', async () =>
    expect(await check(lines)).toEqual({ kind: 'good', rows: 4, keptAt: null }));
  it('finds the hash that was kept', async () =>
    expect(await check(lines, hashes[1] ?? '')).toEqual({ kind: 'good', rows: 4, keptAt: 2 }));
  it('sees an altered row', async () => {
    const altered = lines.map((line) =>
      line.record !== undefined && line.seq === 2 ? { ...line, record: '02fe' } : line,
    );
    expect(await check(altered)).toEqual({ kind: 'broken', seq: 2 });
  });
  it('sees a row left out', async () => {
    expect(await check(lines.filter((line) => line.seq !== 3))).toEqual({
      kind: 'gap',
      expected: 3,
      found: 4,
    });
  });
  it('sees an export cut short', async () =>
    expect(await check(lines.slice(0, -1))).toEqual({ kind: 'cut' }));
  it('sees another head', async () => {
    expect(await check([...lines.slice(0, -1), { end: true, head_seq: 4, head_hash: zero }])).toEqual({
      kind: 'head_differs',
    });
  });
});
