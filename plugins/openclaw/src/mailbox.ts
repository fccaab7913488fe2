// Messages that wait for the agent to ask for them. A message is acked when it was handed to the
// agent, not before: until then its handler has not returned, and the adapter keeps its lease.

import type { InboxMessage } from '@ekho/sdk';

interface Waiting {
  message: InboxMessage;
  taken: () => void;
}

export class Mailbox {
  readonly #waiting = new Set<Waiting>();
  #onArrival: () => void = () => undefined;

  /** What an adapter's onMessage returns: settled once the agent has the message, or `signal` is aborted. */
  hold(message: InboxMessage, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { message, taken: resolve };
      this.#waiting.add(waiting);
      signal.addEventListener(
        'abort',
        () => {
          this.#waiting.delete(waiting);
          reject(new Error('the agent did not ask for it'));
        },
        { once: true },
      );
      this.#onArrival();
    });
  }

  /** All that waits; where nothing does, what comes within `waitMs`. */
  async take(waitMs: number, signal?: AbortSignal): Promise<InboxMessage[]> {
    if (this.#waiting.size === 0 && waitMs > 0) await this.#arrival(waitMs, signal);
    const taken = [...this.#waiting];
    this.#waiting.clear();
    for (const waiting of taken) waiting.taken();
    return taken.map(({ message }) => message);
  }

  #arrival(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      signal?.addEventListener('abort', end, { once: true });
      this.#onArrival = end;
    });
  }
}
