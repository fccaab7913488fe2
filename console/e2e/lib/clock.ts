// A relay's own clock, put forward by hand: some things take it hours. libfaketime reads the offset
// from a file; the monotonic clock goes on evenly, as where somebody sets the time.
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';

const MACHINES: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };

export class Clock {
  private ahead = 0;

  constructor(private readonly path: string) {}

  /** What a node that goes by this clock is started with. */
  get env(): NodeJS.ProcessEnv {
    const machine = MACHINES[process.arch] ?? process.arch;
    const library = `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`;
    if (!existsSync(library)) throw new Error(`${library} is missing: install the package libfaketime`);
    return {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.path,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      FAKETIME_CACHE_DURATION: '1',
      NO_FAKE_STAT: '1',
    };
  }

  async forward(seconds: number): Promise<void> {
    this.ahead += seconds;
    await writeFile(this.path, `+${this.ahead}\n`);
  }
}
