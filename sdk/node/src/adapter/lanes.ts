// Who works on what: messages of one conversation go through a lane, one after the other, in the
// order of the inbox; lanes run side by side. Bookkeeping only.

import type { InboxMessage } from '../types.js';

/** How many finished messages whose ack was lost are remembered. */
const MAX_UNACKED = 1000;
/** How many conversations one heartbeat names. */
const MAX_ACTIVE_CONVERSATIONS = 100;

/**
 * `new_lane`: start a worker for the conversation. `queued`: a worker comes to it. `in_work`: this
 * copy is dropped. `ack_again`: its work is done and only the ack was lost.
 */
export type Offer = 'new_lane' | 'queued' | 'in_work' | 'ack_again';

export class Lanes {
  readonly #waiting = new Map<string, InboxMessage[]>();
  readonly #inWork = new Map<string, number>();
  readonly #unacked = new Set<string>();
  #touched = new Set<string>();

  /** How many messages are in work or waiting. */
  get size(): number {
    return this.#inWork.size;
  }

  offer(message: InboxMessage): Offer {
    const { message_id, conversation_id } = message;
    if (this.#inWork.has(message_id)) return 'in_work';
    if (this.#unacked.has(message_id)) return 'ack_again';
    this.#inWork.set(message_id, performance.now());
    this.touch(conversation_id);
    const lane = this.#waiting.get(conversation_id);
    if (lane) {
      lane.push(message);
      return 'queued';
    }
    this.#waiting.set(conversation_id, [message]);
    return 'new_lane';
  }

  /** The next message of a lane. Undefined closes the lane: its worker must end. */
  next(conversationId: string): InboxMessage | undefined {
    const message = this.#waiting.get(conversationId)?.shift();
    if (!message) this.#waiting.delete(conversationId);
    return message;
  }

  /** Without its ack a message is remembered, so that it is not worked on again. */
  finished(messageId: string, needsAck: boolean): void {
    this.#inWork.delete(messageId);
    if (!needsAck) return;
    if (this.#unacked.size >= MAX_UNACKED) {
      for (const oldest of this.#unacked) {
        this.#unacked.delete(oldest);
        break;
      }
    }
    this.#unacked.add(messageId);
  }

  ackedLate(messageId: string): void {
    this.#unacked.delete(messageId);
  }

  isInWork(messageId: string): boolean {
    return this.#inWork.has(messageId);
  }

  /** Messages taken before this time of performance.now() and not finished. */
  takenBefore(time: number): string[] {
    return [...this.#inWork].filter(([, taken]) => taken < time).map(([id]) => id);
  }

  /** Forgets all work; gives back the messages that were not finished. */
  takeAll(): string[] {
    const ids = [...this.#inWork.keys()];
    this.#waiting.clear();
    this.#inWork.clear();
    return ids;
  }

  touch(conversationId: string): void {
    if (this.#touched.size < MAX_ACTIVE_CONVERSATIONS) this.#touched.add(conversationId);
  }

  /** Conversations touched since the last call, and those still in work. */
  activeConversations(): string[] {
    const active = new Set([...this.#touched, ...this.#waiting.keys()]);
    this.#touched = new Set();
    active.delete('');
    return [...active].sort().slice(0, MAX_ACTIVE_CONVERSATIONS);
  }
}
