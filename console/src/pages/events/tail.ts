// The live tail: events of the stream that pass the filters, newest first, as many as can be shown.
import { useEffect, useRef, useState } from 'react';
import type { Event } from '../../api/types';
import { useLiveEvents, useLiveTypes } from '../../live/live';

const KEPT = 1_000;
/** More than these in one flush would only flicker by. */
const FLUSHED_MAX = 200;
const FLUSH_MS = 250;

export interface Filter {
  type?: string | undefined;
  actor_id?: string | undefined;
  resource_id?: string | undefined;
  conversation_id?: string | undefined;
  search?: string | undefined;
}

/** The relay's own filters, for what comes by the stream. */
export function passes(event: Event, filter: Filter): boolean {
  if (filter.type && event.event_type !== filter.type && !event.event_type.startsWith(`${filter.type}.`))
    return false;
  if (filter.actor_id && event.actor_id !== filter.actor_id) return false;
  if (filter.resource_id && event.resource_id !== filter.resource_id) return false;
  if (filter.conversation_id && event.conversation_id !== filter.conversation_id) return false;
  if (!filter.search) return true;
  const words = filter.search.toLowerCase();
  return [
    event.event_type,
    event.id,
    event.actor_id,
    event.resource_id,
    event.conversation_id,
    JSON.stringify(event.payload),
  ].some((part) => part?.toLowerCase().includes(words));
}

export function useTail(filter: Filter, on: boolean): { events: Event[]; skipped: number } {
  const [state, setState] = useState<{ events: Event[]; skipped: number }>({ events: [], skipped: 0 });
  const waiting = useRef<Event[]>([]);
  const skipped = useRef(0);
  useLiveTypes(on ? 'message,enrollment_token,action' : '');
  useLiveEvents((event) => {
    if (!on || !passes(event, filter)) return;
    if (waiting.current.length < FLUSHED_MAX) waiting.current.push(event);
    else skipped.current += 1;
  });
  const key = JSON.stringify(filter);
  useEffect(() => {
    waiting.current = [];
    skipped.current = 0;
    setState({ events: [], skipped: 0 });
    if (!on) return;
    const timer = setInterval(() => {
      if (waiting.current.length === 0) return;
      const fresh = waiting.current.reverse();
      waiting.current = [];
      setState((before) => ({
        events: [...fresh, ...before.events].slice(0, KEPT),
        skipped: skipped.current,
      }));
    }, FLUSH_MS);
    return () => clearInterval(timer);
  }, [on, key]);
  return state;
}
