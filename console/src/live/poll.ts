// What happened since an event, asked for where the stream cannot be had.
import { api, need } from '../api/client';
import type { Event } from '../api/types';

const PAGE = 100;
/** Further behind than this, one looks at where the log ends, as the stream does. */
const PAGES_MAX = 5;

interface Behind {
  events: Event[];
  lastId: string | null;
  /** Events were left out: what is shown has to be read again. */
  gap: boolean;
}

/** The id of the newest event; null where there is none yet. */
export async function newest(signal: AbortSignal): Promise<string | null> {
  const { events } = await need(api.GET('/v1/operator/events', { params: { query: { limit: 1 } }, signal }));
  return events[0]?.id ?? null;
}

/** The events behind `lastId`, oldest first; without one, where the log ends now and no events. */
export async function eventsBehind(lastId: string | null, signal: AbortSignal): Promise<Behind> {
  if (lastId === null) return { events: [], lastId: await newest(signal), gap: false };
  const events: Event[] = [];
  let at = lastId;
  for (let pages = 0; pages < PAGES_MAX; pages += 1) {
    const page = await need(
      api.GET('/v1/operator/events', {
        params: { query: { sortOrder: 'asc', cursor: at, limit: PAGE } },
        signal,
      }),
    );
    events.push(...page.events);
    at = page.events[page.events.length - 1]?.id ?? at;
    if (!page.next_cursor) return { events, lastId: at, gap: false };
  }
  return { events, lastId: await newest(signal), gap: true };
}

/** Does it once more only when it is through: two at once would tell of the same events twice. */
export function oneAtATime(act: () => Promise<void>): () => void {
  let busy = false;
  return () => {
    if (busy) return;
    busy = true;
    void act().finally(() => {
      busy = false;
    });
  };
}
