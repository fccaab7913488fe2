// The live view: one stream of events for the whole console, polling where it cannot be had.
// Pages say which further types of events they want; answers that an event makes old are asked
// for again, at most once a second.
import { useQueryClient } from '@tanstack/react-query';
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import type { Event } from '../api/types';
import { outdatedBy } from './invalidate';
import { notifies } from './notify';
import { eventsBehind, newest, oneAtATime } from './poll';
import { refetchStale, refresh, refreshOlder } from './refresh';
import { readEvents, type ServerEvent } from './sse';

export type LiveState = 'connecting' | 'live' | 'polling' | 'offline';

/** Always wanted. Accepted and acked messages are not: a busy relay has thousands a second. */
const BASE_TYPES = [
  'agent',
  'approval',
  'policy',
  'operator',
  'session',
  'node',
  'relay',
  'backup',
  'settings',
  'license',
  'hook',
  'fleet',
  'room',
  'dead_letter',
  'a2a_client',
  'a2a_token',
  'a2a_remote',
  'a2a_push',
  'a2a_task',
  'api_token',
  'join_token',
  'message.dead_lettered',
  'message.redriven',
  'message.policy_denied',
  'operator_key',
  'conversation',
];
const POLL_EVERY_MS = 5_000;
const FLUSH_EVERY_MS = 1_000;
/** Answers that are worked out from the log may lag behind the event that made them old. */
const OLDEST_MS = 20_000;
const SILENT_MAX_MS = 45_000;
const REST_AFTER_MS = 60_000;
const RECONNECT_MS = [300, 1_000, 2_000, 4_000, 8_000];

type Listener = (event: Event) => void;

interface Live {
  state: LiveState;
  listen: (listener: Listener) => () => void;
  want: (types: string[]) => () => void;
}

const LiveContext = createContext<Live | null>(null);

export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [state, setState] = useState<LiveState>('connecting');
  const [wanted, setWanted] = useState<string[][]>([]);
  const listeners = useRef(new Set<Listener>());
  const lastId = useRef<string | null>(null);
  const outdated = useRef(new Set<string>());

  const types = useMemo(() => typesOf(wanted), [wanted]);

  useEffect(() => {
    const timer = setInterval(() => {
      if (outdated.current.size === 0 || document.hidden) return;
      const keys = outdated.current;
      outdated.current = new Set();
      refresh(client, keys);
    }, FLUSH_EVERY_MS);
    return () => clearInterval(timer);
  }, [client]);

  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) refetchStale(client, Date.now() - OLDEST_MS);
    }, OLDEST_MS / 2);
    return () => clearInterval(timer);
  }, [client]);

  const tell = useCallback((event: Event) => {
    lastId.current = event.id;
    for (const key of outdatedBy(event.event_type)) outdated.current.add(key);
    for (const listener of listeners.current) listener(event);
  }, []);

  const onEvent = useCallback(
    (server: ServerEvent) => {
      if (server.event === 'counts') {
        // An answer that is still on its way would put older counts in place of these.
        void client.cancelQueries({ queryKey: ['counts'] });
        client.setQueryData(['counts'], JSON.parse(server.data) as Record<string, number>);
      } else if (server.event === 'reset') {
        refresh(client, null);
      } else if (server.event === 'event') {
        tell(JSON.parse(server.data) as Event);
      }
    },
    [client, tell],
  );

  const resting = useResting();
  useEffect(() => {
    if (resting) return;
    const stop = new AbortController();
    void follow(
      types,
      lastId,
      stop.signal,
      setState,
      onEvent,
      () => refreshOlder(client, Date.now()),
      () => void client.invalidateQueries({ queryKey: ['me'] }),
    );
    return () => stop.abort();
  }, [types, onEvent, client, resting]);

  useEffect(() => {
    if (state === 'live') return;
    const stop = new AbortController();
    // Whoever looks out for an event hears of it as by the stream, only later.
    const catchUp = oneAtATime(async () => {
      const from = lastId.current;
      const behind = await eventsBehind(from, stop.signal).catch(() => null);
      // Where the stream came meanwhile, it told of them.
      if (!behind || stop.signal.aborted || lastId.current !== from) return;
      behind.events.forEach(tell);
      lastId.current = behind.lastId;
      if (behind.gap) refresh(client, null);
    });
    if (state === 'polling') catchUp();
    const timer = setInterval(() => {
      if (!document.hidden) refresh(client, null);
      catchUp();
    }, POLL_EVERY_MS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [state, client, tell]);

  const live = useMemo<Live>(
    () => ({
      state,
      listen: (listener) => {
        listeners.current.add(listener);
        return () => listeners.current.delete(listener);
      },
      want: (more) => {
        setWanted((before) => [...before, more]);
        return () => setWanted((before) => before.filter((one) => one !== more));
      },
    }),
    [state],
  );
  return <LiveContext value={live}>{children}</LiveContext>;
}

/** What the stream is asked for; a type is not named where its family is. */
function typesOf(wanted: string[][]): string {
  const all = new Set([...BASE_TYPES, ...wanted.flat()]);
  const needed = [...all].filter((type) => !type.includes('.') || !all.has(type.split('.', 1)[0] ?? ''));
  return needed.sort().join(',');
}

/**
 * A tab that nobody has looked at for a while gives its stream back: browsers keep six connections
 * to a host, and the seventh tab would wait for ever. One that shall notify keeps it.
 */
function useResting(): boolean {
  const [resting, setResting] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onChange = () => {
      clearTimeout(timer);
      if (!document.hidden) setResting(false);
      else if (!notifies()) timer = setTimeout(() => setResting(true), REST_AFTER_MS);
    };
    document.addEventListener('visibilitychange', onChange);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', onChange);
    };
  }, []);
  return resting;
}

/** Keeps a stream open until told to stop, and says how it stands. */
async function follow(
  types: string,
  lastId: { current: string | null },
  signal: AbortSignal,
  setState: (state: LiveState) => void,
  onEvent: (event: ServerEvent) => void,
  onFresh: () => void,
  onRefused: () => void,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const once = new AbortController();
    const stop = () => once.abort();
    signal.addEventListener('abort', stop);
    let heard = Date.now();
    // A connection that died without a word: the relay sends a comment at least every 15 s.
    const watchdog = setInterval(() => Date.now() - heard > SILENT_MAX_MS && once.abort(), 5_000);
    let reached = false;
    // What is shown was read at no known place of the log.
    const fresh = lastId.current === null;
    if (fresh) {
      // From here on nothing is missed, also where the stream is opened anew before its first event.
      const id = await newest(signal).catch(() => null);
      lastId.current ??= id;
    }
    try {
      const status = await readEvents(
        `/v1/operator/stream?types=${encodeURIComponent(types)}`,
        lastId.current,
        once.signal,
        () => {
          reached = true;
          failures = 0;
          setState('live');
          if (fresh) onFresh();
        },
        onEvent,
        () => {
          heard = Date.now();
        },
      );
      if (status === 401) onRefused();
      if (!signal.aborted && !reached) setState('polling');
    } catch {
      if (!signal.aborted) setState('offline');
    } finally {
      clearInterval(watchdog);
      signal.removeEventListener('abort', stop);
    }
    if (signal.aborted) return;
    const wait = RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)] ?? 8_000;
    failures += 1;
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) throw new Error('used outside of LiveProvider');
  return live;
}

export const useLiveState = (): LiveState => useLive().state;

/** Asks for further types of events while the page is shown. */
export function useLiveTypes(types: string): void {
  const { want } = useLive();
  useEffect(() => (types === '' ? undefined : want(types.split(','))), [types, want]);
}

/** Calls back for each event of the stream. */
export function useLiveEvents(listener: Listener): void {
  const { listen } = useLive();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => listen((event) => latest.current(event)), [listen]);
}
