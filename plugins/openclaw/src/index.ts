// The plugin: three tools over an adapter that runs as long as the gateway does. OpenClaw finds it
// through openclaw.plugin.json, which names the tools as well.

import { EkhoAgentAdapter } from '@ekho/sdk';
import { type Config, credentialsOf, readConfig } from './config.js';
import type { Host } from './host.js';
import { Mailbox } from './mailbox.js';
import { tools } from './tools.js';

/** Messages that may wait for the agent; further ones wait at the relay. */
const MOST_WAITING = 50;

/** The agent's connection: made once, on the gateway's start or by the first tool that needs it. */
export class Connection {
  readonly mailbox = new Mailbox();
  readonly #config: () => Config;
  readonly #warn: (text: string) => void;
  #adapter: Promise<EkhoAgentAdapter> | undefined;

  constructor(config: () => Config, warn: (text: string) => void) {
    this.#config = config;
    this.#warn = warn;
  }

  adapter(): Promise<EkhoAgentAdapter> {
    this.#adapter ??= this.#start().catch((error: unknown) => {
      // The next tool call tries again.
      this.#adapter = undefined;
      throw error;
    });
    return this.#adapter;
  }

  async #start(): Promise<EkhoAgentAdapter> {
    const adapter = new EkhoAgentAdapter(
      await credentialsOf(this.#config()),
      { onMessage: (message, _, { signal }) => this.mailbox.hold(message, signal) },
      {
        concurrency: MOST_WAITING,
        onError: (error, doing) => this.#warn(`ekho: ${doing}: ${describe(error)}`),
      },
    );
    await adapter.start();
    return adapter;
  }

  async stop(): Promise<void> {
    const adapter = await this.#adapter?.catch(() => undefined);
    this.#adapter = undefined;
    // What the agent did not ask for goes back to the relay.
    await adapter?.stop({ deadlineMs: 0 });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export default {
  id: 'ekho',
  name: 'Ekho',
  description: 'Send, receive and answer messages of an Ekho fleet.',
  register(api: Host): void {
    const warn = (text: string): void => api.logger?.warn(text);
    const connection = new Connection(() => readConfig(api.pluginConfig), warn);
    for (const tool of tools(connection)) api.registerTool(tool);
    api.registerService?.({
      id: 'ekho',
      start: async () => {
        await connection.adapter().catch((error: unknown) => warn(`ekho: ${describe(error)}`));
      },
      stop: () => connection.stop(),
    });
  },
};
