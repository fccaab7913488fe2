// The work on messages: calls the handler, and tells the relay what came of it.

import { EkhoArgumentError } from '../errors.js';
import { readTraceContext } from '../telemetry.js';
import type { InboxMessage, NackInput, SendMessagePayload } from '../types.js';
import type { EkhoAgentAdapter } from './adapter.js';
import type { MessageContext } from './hooks.js';
import type { State } from './state.js';

/** Longest reason given to the relay. */
const MAX_REASON_CHARS = 200;
/** When a message that came while the agent is paused may come again. */
const PAUSED_DELAY_SECONDS = 60;

/** Works through one conversation's lane until it is empty. */
export async function runLane(state: State, conversationId: string): Promise<void> {
  for (;;) {
    const message = state.lanes.next(conversationId);
    if (!message) return;
    // Not begun, so left for the stop to hand back.
    if (!state.running) continue;
    let needsAck = false;
    if (state.controls.paused && message.message_type !== 'control') {
      await nack(state, {
        message_id: message.message_id,
        delay_seconds: PAUSED_DELAY_SECONDS,
        reason: 'the agent is paused',
      });
    } else {
      needsAck = await handle(state, message);
    }
    state.lanes.finished(message.message_id, needsAck);
    state.slotFreed();
  }
}

/** Acks a message whose work was done earlier. */
export async function ackAgain(state: State, messageId: string): Promise<void> {
  if (await ack(state, messageId)) state.lanes.ackedLate(messageId);
}

/** Hands back what a stopping adapter did not finish. */
export async function handBack(state: State, messageIds: readonly string[]): Promise<void> {
  const nacks = messageIds.map((message_id) => ({
    message_id,
    delay_seconds: 0,
    reason: 'the adapter stopped',
  }));
  await tell(state, 'handing messages back', () => state.adapter.client.nackMessages(nacks));
}

/** True if the work is done and the ack did not get through. */
async function handle(state: State, message: InboxMessage): Promise<boolean> {
  const { message_id } = message;
  try {
    await callHandler(state, message);
  } catch (error) {
    if (!state.lanes.isInWork(message_id)) return false;
    state.settings.onError(error, `message ${message_id} was not handled`);
    const reason = reasonOf(error, message.encryption.status !== 'none');
    await nack(state, { message_id, reason: reason.slice(0, MAX_REASON_CHARS) });
    return false;
  }
  // The adapter stopped meanwhile and handed the message back.
  if (!state.lanes.isInWork(message_id)) return false;
  return !(await ack(state, message_id));
}

class TookTooLong extends Error {
  constructor() {
    super('the handler took too long');
  }
}

/**
 * What a handler says may repeat what it read: of a body that the relay cannot read, the relay is
 * told no word of it but what kind of error it was.
 */
function reasonOf(error: unknown, wasEncrypted: boolean): string {
  const said = error instanceof Error ? error.message : String(error);
  if (!wasEncrypted || error instanceof TookTooLong) return said;
  return `the handler failed: ${error instanceof Error ? error.constructor.name : typeof error}`;
}

async function callHandler(state: State, message: InboxMessage): Promise<void> {
  const { onMessage } = state.hooks;
  if (!onMessage) return;
  const { adapter } = state;
  const { telemetry } = adapter.client.settings;
  await state.withController(async (controller) => {
    const context = contextOf(message, adapter, controller.signal);
    const run = async (): Promise<void> => onMessage(message, adapter, context);
    const handled = telemetry ? telemetry.run(readTraceContext(message.metadata), run) : run();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tooLong = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new TookTooLong();
        controller.abort(error);
        reject(error);
      }, state.settings.handlerTimeoutMs);
    });
    try {
      await Promise.race([handled, tooLong]);
    } finally {
      clearTimeout(timer);
    }
  });
}

function contextOf(
  message: InboxMessage,
  adapter: EkhoAgentAdapter,
  signal: AbortSignal,
): MessageContext {
  return {
    signal,
    task: adapter.client.taskOf(message),
    reply: async (body, more = {}, options = {}) => {
      if (message.sender_kind === 'operator') {
        throw new EkhoArgumentError('operators receive no messages: there is nobody to reply to');
      }
      const answer: SendMessagePayload = {
        recipient: { kind: 'agent', id: message.sender_agent_id },
        message_type: 'direct',
        conversation_id: message.conversation_id,
        correlation_id: message.correlation_id,
        body,
        // What came encrypted is not answered for all to read.
        ...(message.encryption.status === 'decrypted' && {
          encrypt_for: [message.sender_agent_id],
        }),
        ...more,
      };
      return adapter.send(answer, options);
    },
  };
}

function ack(state: State, messageId: string): Promise<boolean> {
  const { client } = state.adapter;
  return tell(state, 'an ack', () => client.ackMessages([{ message_id: messageId }]));
}

function nack(state: State, item: NackInput): Promise<boolean> {
  // Where it fails, the delivery timeout brings the message again all the same.
  return tell(state, 'a nack', () => state.adapter.client.nackMessages([item]));
}

async function tell(state: State, what: string, call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    state.settings.onError(error, `${what} did not get through`);
    return false;
  }
}
