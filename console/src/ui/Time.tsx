// A moment in the reader's own zone, the same in UTC on hover, and how long ago it is.
import { useEffect, useState } from 'react';
import { formatAge, formatTime, formatUtc } from './format';

/** One clock for all ages on the page. */
const tickers = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const tick = () => setNow(Date.now());
    tickers.add(tick);
    timer ??= setInterval(() => tickers.forEach((one) => one()), 5_000);
    return () => {
      tickers.delete(tick);
      if (tickers.size === 0) {
        clearInterval(timer);
        timer = undefined;
      }
    };
  }, []);
  return now;
}

interface Props {
  at: string | null | undefined;
  /** `age` reads "3 min ago", `full` the date and time, `clock` the time of day. */
  as?: 'age' | 'full' | 'clock';
  none?: string;
}

export function Time({ at, as = 'age', none = '–' }: Props) {
  const now = useNow();
  if (!at) return <span className="faint">{none}</span>;
  const shown = as === 'age' ? formatAge(at, now) : formatTime(at, as === 'clock' ? 'clock' : 'full', now);
  const title = as === 'age' ? `${formatTime(at, 'full', now)}\n${formatUtc(at)}` : formatUtc(at);
  return (
    <time dateTime={at} title={title} className="num">
      {shown}
    </time>
  );
}
