// What the loops and workers of one run of an adapter share. No network.

import type { EkhoAgentAdapter } from './adapter.js';
import { Controls } from './controls.js';
import type { AdapterHooks } from './hooks.js';
import { Lanes } from './lanes.js';

export interface Settings {
  concurrency: number;
  waitSeconds: number;
  handlerTimeoutMs: number;
  onError: (error: unknown, doing: string) => void;
}

export class State {
  readonly adapter: EkhoAgentAdapter;
  readonly hooks: AdapterHooks;
  readonly settings: Settings;
  readonly lanes = new Lanes();
  readonly controls = new Controls();
  /** Aborted when no more messages are to be taken. */
  readonly draining = new AbortController();
  consecutiveFailures = 0;
  lastError: string | undefined;
  readonly #workers = new Set<Promise<void>>();
  readonly #controllers = new Set<AbortController>();
  #onFree: () => void = () => undefined;

  constructor(adapter: EkhoAgentAdapter, hooks: AdapterHooks, settings: Settings) {
    this.adapter = adapter;
    this.hooks = hooks;
    this.settings = settings;
    this.draining.signal.addEventListener('abort', () => this.#onFree());
  }

  get running(): boolean {
    return !this.draining.signal.aborted;
  }

  get free(): number {
    return this.settings.concurrency - this.lanes.size;
  }

  /** Returns once a message more can be worked on, or the adapter drains. */
  async untilFree(): Promise<void> {
    while (this.free <= 0 && this.running) {
      await new Promise<void>((resolve) => {
        this.#onFree = resolve;
      });
    }
  }

  slotFreed(): void {
    this.#onFree();
  }

  /**
   * Runs with a controller that is aborted when nothing is waited for any more. One for each: Node
   * warns of a leak where many listen to the same signal.
   */
  async withController<T>(run: (controller: AbortController) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    this.#controllers.add(controller);
    try {
      return await run(controller);
    } finally {
      this.#controllers.delete(controller);
    }
  }

  close(reason: Error): void {
    for (const controller of this.#controllers) controller.abort(reason);
  }

  addWorker(worker: Promise<void>): void {
    const done = worker.finally(() => this.#workers.delete(done));
    this.#workers.add(done);
  }

  /** True once no worker runs any more, false where one still does at the deadline. */
  async workersDone(deadlineMs: number): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), deadlineMs);
    });
    const done = Promise.all(this.#workers).then(() => true as const);
    const finished = await Promise.race([done, late]);
    clearTimeout(timer);
    return finished;
  }
}
