// Browser tests against real relays: one relay with data for all pages, three nodes for the cluster.
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { WAIT_MS } from './lib/wait';

/** By name, wherever and how often it runs: what one file leaves behind, the next finds the same. */
class ByName extends BaseSequencer {
  override sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return Promise.resolve([...files].sort((one, other) => (one.moduleId < other.moduleId ? -1 : 1)));
  }
}

export default defineConfig({
  test: {
    include: ['e2e/**/*.e2e.ts'],
    globalSetup: ['e2e/lib/setup.ts'],
    environment: 'node',
    // One browser and one relay: the machine that runs this has two cores.
    fileParallelism: false,
    sequence: { sequencer: ByName },
    // Deadlines, not durations: they are there for a machine that does much else.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: WAIT_MS, interval: 100 } },
    reporters: ['verbose'],
  },
});
