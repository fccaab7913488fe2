// The live inbox (GET /v1/inbox/stream): opens it, reads its events, and opens it anew after the
// last event seen whenever it breaks.

import { EkhoConnectionError, EkhoRequestError, isTransient } from './errors.js';
import { Backoff, sleep } from './retry.js';
import { type SseEvent, SseEventTooLarge, SseParser } from './sse.js';
import type { Call, Transport } from './transport.js';
import type { ControlMessage, InboxMessage } from './types.js';

const PATH = '/v1/inbox/stream';
/** One event holds one message; the relay's own limit on bodies is far below this. */
const MAX_EVENT_CHARS = 16 * 1024 * 1024;

export type StreamEvent =
  | { kind: 'message'; eventId: string | undefined; message: InboxMessage }
  | { kind: 'control'; eventId: string | undefined; control: ControlMessage };

export interface StreamQuery {
  types?: readonly string[];
  /** Go on after this event: what was handed out after it and not acked comes again. */
  lastEventId?: string;
  signal?: AbortSignal;
  /** Is told why the stream was opened anew. */
  onReconnect?: (error: unknown) => void;
}

export interface StreamSource {
  transport: Transport;
  idleMs: number;
  call(target: string, headers: Record<string, string>): Call;
  readMessage(message: InboxMessage): Promise<InboxMessage>;
}

/** Messages and controls as they come, until `signal` is aborted or the relay refuses for good. */
export async function* openStream(
  source: StreamSource,
  query: StreamQuery,
): AsyncGenerator<StreamEvent, void, undefined> {
  const { baseDelayMs, maxDelayMs } = source.transport.retryPolicy;
  const backoff = new Backoff(baseDelayMs, maxDelayMs);
  const target = query.types?.length
    ? `${PATH}?types=${query.types.map(encodeURIComponent).join(',')}`
    : PATH;
  let lastEventId = query.lastEventId;
  for (;;) {
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' };
      if (lastEventId !== undefined) headers['last-event-id'] = headerSafe(lastEventId);
      for await (const event of events(source, source.call(target, headers), query.signal)) {
        backoff.reset();
        if (event.id !== undefined) lastEventId = event.id;
        const item = await readEvent(source, event);
        if (item) yield item;
      }
    } catch (error) {
      query.signal?.throwIfAborted();
      if (!isTransient(error)) throw error;
      query.onReconnect?.(error);
    }
    await sleep(backoff.nextDelayMs(), query.signal);
  }
}

async function* events(
  source: StreamSource,
  call: Call,
  signal: AbortSignal | undefined,
): AsyncGenerator<SseEvent, void, undefined> {
  const { response, close } = await source.transport.open(call, signal);
  const reader = response.body?.getReader();
  try {
    const decoder = new TextDecoder();
    const parser = new SseParser(MAX_EVENT_CHARS);
    while (reader) {
      const { done, value } = await untilIdle(reader.read(), source.idleMs);
      // The relay ended the stream, as it does before it stops.
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof SseEventTooLarge) {
      const message = `an event has more than ${MAX_EVENT_CHARS} characters`;
      throw new EkhoConnectionError('answer_too_large', PATH, message);
    }
    if (error instanceof EkhoConnectionError) throw error;
    throw new EkhoConnectionError('connection_failed', PATH, 'the stream broke', { cause: error });
  } finally {
    // The reader's own cancel would wait for the connection; closing ends both.
    close();
  }
}

/** Keep-alives come every 15 s, so a silent connection is a dead one. */
async function untilIdle<T>(read: Promise<T>, idleMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const idle = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new EkhoConnectionError('timeout', PATH, `nothing from the relay for ${idleMs} ms`));
    }, idleMs);
  });
  try {
    return await Promise.race([read, idle]);
  } finally {
    clearTimeout(timer);
    // Where the clock won, the read fails later, and nobody listens.
    read.catch(() => undefined);
  }
}

/** Undefined for kinds of event that this version does not know. */
async function readEvent(source: StreamSource, event: SseEvent): Promise<StreamEvent | undefined> {
  const eventId = event.id;
  switch (event.name) {
    case 'message':
      return {
        kind: 'message',
        eventId,
        message: await source.readMessage(parse<InboxMessage>(event.data)),
      };
    case 'control':
      return { kind: 'control', eventId, control: parse<ControlMessage>(event.data) };
    case 'error': {
      const { status_code } = parse<{ status_code: number }>(event.data);
      throw new EkhoRequestError(PATH, status_code, event.data);
    }
    default:
      return undefined;
  }
}

function parse<T>(data: string): T {
  try {
    return JSON.parse(data) as T;
  } catch (cause) {
    throw new EkhoConnectionError('answer_not_understood', PATH, 'an event is not JSON', { cause });
  }
}

/** Sequence numbers pass as they are; anything a header cannot carry is escaped. */
function headerSafe(id: string): string {
  return /^[\x21-\x7e]+$/.test(id) ? id : encodeURIComponent(id);
}
