// The inbox loop: takes as many messages as can be worked on now, by long poll, and gives them to
// lanes. Works on nothing itself.

import { EkhoRequestError } from '../errors.js';
import { Backoff, sleep } from '../retry.js';
import type { InboxQuery, InboxResponse } from '../types.js';
import type { State } from './state.js';
import { ackAgain, runLane } from './work.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const MOST_AT_ONCE = 100;

export async function inboxLoop(state: State): Promise<void> {
  const { client } = state.adapter;
  const signal = state.draining.signal;
  const backoff = new Backoff(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
  // The first poll does not wait: an agent that was paused before it started should know at once.
  let waitSeconds = 0;
  while (state.running) {
    // What waits here would run into its delivery timeout.
    await state.untilFree();
    const query: InboxQuery = { limit: Math.min(state.free, MOST_AT_ONCE), waitSeconds };
    // A paused agent works on nothing but controls, and listens for its resume.
    if (state.controls.paused) query.types = ['control'];
    const asked = performance.now();
    let pauseMs: number;
    try {
      if (!state.running) return;
      const inbox = await client.getInbox(query, { signal });
      state.consecutiveFailures = 0;
      state.lastError = undefined;
      backoff.reset();
      const anythingNew = await take(state, inbox);
      const waited = waitSeconds > 0;
      waitSeconds = state.settings.waitSeconds;
      if (anythingNew || (!waited && waitSeconds > 0)) continue;
      // A poll that came back early with nothing new was not held open: the relay does not wait, or
      // lists a control that was obeyed long ago.
      pauseMs = client.pollIntervalSeconds * 1000 - (performance.now() - asked);
    } catch (error) {
      if (!state.running) return;
      state.consecutiveFailures += 1;
      state.lastError = error instanceof Error ? error.message : String(error);
      state.settings.onError(error, 'inbox loop failed');
      const asks = error instanceof EkhoRequestError ? (error.retryAfterSeconds ?? 0) : 0;
      pauseMs = backoff.nextDelayMs(Math.min(asks * 1000, LONGEST_PAUSE_MS));
    }
    await sleep(Math.max(pauseMs, 0), signal).catch(() => undefined);
  }
}

/** True where the answer held anything that was not known. */
async function take(state: State, inbox: InboxResponse): Promise<boolean> {
  const fresh = state.controls.update(inbox.controls);
  for (const control of fresh) {
    try {
      await state.hooks.onControl?.(control, state.adapter);
    } catch (error) {
      state.settings.onError(error, 'onControl failed');
    }
  }
  let anythingNew = fresh.length > 0;
  // Of a view nothing was handed out: it comes again when the node is not cut off any more.
  if (inbox.view_age_ms !== undefined) return anythingNew;
  for (const message of inbox.messages) {
    // More than was asked for: the delivery timeout brings them again.
    if (state.free <= 0) break;
    switch (state.lanes.offer(message)) {
      case 'new_lane':
        anythingNew = true;
        state.addWorker(runLane(state, message.conversation_id));
        break;
      case 'queued':
        anythingNew = true;
        break;
      case 'ack_again':
        anythingNew = true;
        state.addWorker(ackAgain(state, message.message_id));
        break;
      case 'in_work':
        break;
    }
  }
  return anythingNew;
}
