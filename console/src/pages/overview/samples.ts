// How fast messages are accepted now: from counts as they were a moment ago. The relay keeps spans
// of five minutes; this is what happens in between.
import type { QueryClient } from '@tanstack/react-query';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useSyncExternalStore } from 'react';

export interface Sample {
  at: number;
  accepted: number;
}

const EVERY_MS = 2_000;
const KEPT = 30;
const RATE_OVER_MS = 10_000;
let samples: Sample[] = [];
let timer: ReturnType<typeof setInterval> | undefined;
const changed = new Set<() => void>();

function sample(client: QueryClient): void {
  const counts = client.getQueryData<Record<string, number>>(['counts']);
  if (!counts) return;
  samples = [...samples.slice(1 - KEPT), { at: Date.now(), accepted: counts['messages_accepted'] ?? 0 }];
  changed.forEach((tell) => tell());
}

/** Messages accepted a second, over the last ten; null before there is anything to compare with. */
export function rateOf(all: Sample[], now: number): number | null {
  const last = all[all.length - 1];
  const first = all.find((one) => now - one.at <= RATE_OVER_MS);
  if (!last || !first || last.at - first.at < 1_000) return null;
  return Math.max(0, ((last.accepted - first.accepted) * 1_000) / (last.at - first.at));
}

function subscribe(tell: () => void): () => void {
  changed.add(tell);
  return () => changed.delete(tell);
}

export function useRate(): number | null {
  const client = useQueryClient();
  useEffect(() => {
    if (timer !== undefined) return;
    // The counts may be on their way still: the first of them is not waited for a whole step.
    const first = setInterval(() => {
      sample(client);
      if (samples.length > 0) clearInterval(first);
    }, 200);
    // Runs on when the page is left, so that the rate is there at once on return.
    timer = setInterval(() => sample(client), EVERY_MS);
  }, [client]);
  const now = useSyncExternalStore(subscribe, () => samples);
  return rateOf(now, Date.now());
}
