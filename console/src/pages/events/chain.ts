// Checking the audit log in the browser: each row's hash is SHA-256 of the hash before it, its
// number (8 bytes, big-endian) and its record as stored. Reads an export line by line.

export interface Row {
  seq: number;
  hash: string;
  record: string;
}

export type Verdict =
  | { kind: 'good'; rows: number; keptAt: number | null }
  | { kind: 'broken'; seq: number }
  | { kind: 'gap'; expected: number; found: number }
  | { kind: 'cut' }
  | { kind: 'head_differs' };

export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(hex.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export async function link(before: Uint8Array, seq: number, record: Uint8Array): Promise<Uint8Array> {
  const input = new Uint8Array(before.length + 8 + record.length);
  input.set(before, 0);
  new DataView(input.buffer).setBigUint64(before.length, BigInt(seq));
  input.set(record, before.length + 8);
  return new Uint8Array(await crypto.subtle.digest('SHA-256', input));
}

interface Head {
  from_seq: number;
  previous_hash: string;
  head_seq: number;
}

interface End {
  end: true;
  head_hash: string;
}

/** Feeds on lines; says how it went at the end. */
export class ChainChecker {
  private head: Head | null = null;
  private hash: Uint8Array = new Uint8Array(32);
  private next = 0;
  private ended: End | null = null;
  private failed: Verdict | null = null;
  private keptAt: number | null = null;
  rows = 0;

  constructor(private readonly kept: string | null) {}

  get total(): number {
    return this.head ? Math.max(0, this.head.head_seq - this.head.from_seq + 1) : 0;
  }

  async line(text: string): Promise<boolean> {
    if (text === '' || this.failed) return this.failed === null;
    const value = JSON.parse(text) as Head | Row | End;
    if (!this.head) {
      this.head = value as Head;
      this.hash = bytesOf(this.head.previous_hash);
      this.next = this.head.from_seq;
      return true;
    }
    if ('end' in value) {
      this.ended = value;
      return true;
    }
    const row = value as Row;
    if (row.seq !== this.next) {
      this.failed = { kind: 'gap', expected: this.next, found: row.seq };
      return false;
    }
    this.hash = await link(this.hash, row.seq, bytesOf(row.record));
    const hex = hexOf(this.hash);
    if (hex !== row.hash.toLowerCase()) {
      this.failed = { kind: 'broken', seq: row.seq };
      return false;
    }
    if (hex === this.kept) this.keptAt = row.seq;
    this.next += 1;
    this.rows += 1;
    return true;
  }

  verdict(): Verdict {
    if (this.failed) return this.failed;
    if (!this.head || !this.ended) return { kind: 'cut' };
    if (this.ended.head_hash.toLowerCase() !== hexOf(this.hash)) return { kind: 'head_differs' };
    return { kind: 'good', rows: this.rows, keptAt: this.keptAt };
  }
}
