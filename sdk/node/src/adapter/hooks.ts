// What a program supplies to an adapter, and what it is given in turn.

import type { SendOptions } from '../client.js';
import type { EkhoTask } from '../tasks.js';
import type {
  ControlMessage,
  InboxMessage,
  MessageType,
  ProposeActionPayload,
  SendMessagePayload,
  SendMessageResult,
} from '../types.js';
import type { EkhoAgentAdapter } from './adapter.js';

/** What a handler has at hand for the message it works on. */
export interface MessageContext {
  /** Aborted when the handler takes too long, or the adapter stops and does not wait any more. */
  signal: AbortSignal;
  /** The A2A task that the message belongs to. */
  task: EkhoTask | undefined;
  /** Answers the sender, in the same conversation. A repeated answer is one message. */
  reply(
    body: SendMessagePayload['body'],
    more?: Partial<SendMessagePayload> & { message_type?: MessageType },
    options?: SendOptions,
  ): Promise<SendMessageResult>;
}

export interface AdapterHooks {
  /**
   * Works on one message. Returning acks it; throwing hands it back, and it comes again. A message
   * can come more than once, so make handling it twice harmless.
   */
  onMessage?: (
    message: InboxMessage,
    adapter: EkhoAgentAdapter,
    context: MessageContext,
  ) => Promise<void> | void;
  /** Looks at an action before it is proposed; throwing keeps it from the relay. */
  beforeAction?: (
    action: ProposeActionPayload,
    adapter: EkhoAgentAdapter,
  ) => Promise<void> | void;
  /** Is told of each control once, after it was obeyed. */
  onControl?: (control: ControlMessage, adapter: EkhoAgentAdapter) => Promise<void> | void;
  /** Is told that an operator has to decide on an action. */
  onApprovalPending?: (approvalId: string, adapter: EkhoAgentAdapter) => Promise<void> | void;
}

export interface AdapterOptions {
  /** Messages worked on at once, 1 to 100. Those of one conversation come one after the other. Default: 8. */
  concurrency?: number;
  /** How long a poll waits for something to come, 0 to 60. Default: 25. */
  waitSeconds?: number;
  /** After this time a handler's message is handed back. Default: an hour. */
  handlerTimeoutMs?: number;
  /** Is told what went wrong in the background. Default: console.error. */
  onError?: (error: unknown, doing: string) => void;
}

export interface StopReport {
  /** False where handlers still ran at the deadline. */
  finished: boolean;
  /** Messages that were handed back. */
  handedBack: string[];
}
