// Series over time, drawn by hand in SVG: lines and an area, an axis, and the values under the
// pointer or the arrow keys in the legend.
import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef, useState } from 'react';
import { text } from '../text';
import { formatTime } from './format';
import { linePath, lonely, niceCeiling, ticksOf } from './scale';

export interface Series {
  name: string;
  colour: string;
  values: (number | null)[];
  /** Draws the ground below the line. */
  filled?: boolean;
}

interface Props {
  label: string;
  times: string[];
  series: Series[];
  format: (value: number) => string;
  height?: number;
  /** What the legend shows while nothing is pointed at. */
  summary?: 'last' | 'sum' | 'none';
}

const LEFT = 44;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 20;

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const box = ref.current;
    if (!box) return;
    const observer = new ResizeObserver(
      ([entry]) => entry && setWidth(Math.max(220, entry.contentRect.width)),
    );
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

export function Chart({ label, times, series, format, height = 170, summary = 'last' }: Props) {
  const [box, width] = useWidth();
  const [at, setAt] = useState<number | null>(null);
  const count = times.length;
  const top = useMemo(
    () => niceCeiling(Math.max(1, ...series.flatMap((one) => one.values.map((value) => value ?? 0)))),
    [series],
  );
  const x = (index: number) => LEFT + (count < 2 ? 0 : (index / (count - 1)) * (width - LEFT - RIGHT));
  const y = (value: number) => TOP + (1 - value / top) * (height - TOP - BOTTOM);

  const point = (event: PointerEvent<SVGSVGElement>) => {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const index = Math.round(((left - LEFT) / (width - LEFT - RIGHT)) * (count - 1));
    setAt(Math.max(0, Math.min(count - 1, index)));
  };
  const step = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (by === 0) return;
    event.preventDefault();
    setAt((now) => Math.max(0, Math.min(count - 1, (now ?? count - 1) + by)));
  };

  const valueOf = (one: Series): number | null => {
    if (at !== null) return one.values[at] ?? null;
    if (summary === 'none') return null;
    if (summary === 'last') return one.values.findLast((value) => value !== null) ?? null;
    return one.values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  };
  const shown = series.map((one) => ({ one, value: valueOf(one) }));
  const described = shown
    .filter(({ value }) => value !== null)
    .map(({ one, value }) => text.overview.chartPart(one.name, format(value ?? 0)));
  const labels = timeLabels(times, width);
  const pointed = at === null ? undefined : times[at];

  return (
    <div className="stack tight">
      <div className="chart-legend">
        {shown.map(({ one, value }) => (
          <span key={one.name}>
            <i style={{ background: one.colour }} />
            {one.name} {value !== null && <b>{format(value)}</b>}
          </span>
        ))}
        {pointed && (
          <span className="faint num" style={{ marginLeft: 'auto' }}>
            {formatTime(pointed, 'clock')}
          </span>
        )}
      </div>
      <div className="chart" ref={box}>
        <svg
          height={height}
          viewBox={`0 0 ${width} ${height}`}
          role="img"
          tabIndex={0}
          aria-label={text.overview.chart(label, described.join('; '))}
          onPointerMove={point}
          onPointerLeave={() => setAt(null)}
          onKeyDown={step}
          onBlur={() => setAt(null)}
        >
          {ticksOf(top).map((tick) => (
            <g key={tick}>
              <line className="grid-line" x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
              <text x={LEFT - 8} y={y(tick) + 4} textAnchor="end">
                {format(tick)}
              </text>
            </g>
          ))}
          {labels.map(({ index, label: shownTime }) => (
            <text
              key={index}
              x={x(index)}
              y={height - 4}
              textAnchor={index === 0 ? 'start' : index === count - 1 ? 'end' : 'middle'}
            >
              {shownTime}
            </text>
          ))}
          {series.map((one) => (
            <g key={one.name}>
              {one.filled && <path d={linePath(one.values, x, y, y(0))} fill={one.colour} opacity={0.12} />}
              <path
                d={linePath(one.values, x, y)}
                fill="none"
                stroke={one.colour}
                strokeWidth={2}
                strokeLinejoin="round"
                strokeLinecap="round"
              />
              {lonely(one.values).map((index) => (
                <circle key={index} cx={x(index)} cy={y(one.values[index] ?? 0)} r={3} fill={one.colour} />
              ))}
            </g>
          ))}
          {at !== null && (
            <g>
              <line className="cursor" x1={x(at)} x2={x(at)} y1={TOP} y2={height - BOTTOM} />
              {series.map((one) => {
                const value = one.values[at];
                return value === null || value === undefined ? null : (
                  <circle
                    key={one.name}
                    cx={x(at)}
                    cy={y(value)}
                    r={3.2}
                    fill={one.colour}
                    stroke="var(--surface)"
                    strokeWidth={1.5}
                  />
                );
              })}
            </g>
          )}
        </svg>
      </div>
    </div>
  );
}

function timeLabels(times: string[], width: number): { index: number; label: string }[] {
  if (times.length === 0) return [];
  const wanted = Math.max(2, Math.min(6, Math.floor(width / 110)));
  const first = times[0] ?? '';
  const last = times[times.length - 1] ?? '';
  const long = Date.parse(last) - Date.parse(first) > 2 * 86_400_000;
  const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
  const indexes = new Set(
    Array.from({ length: wanted }, (_, one) => Math.round((one / (wanted - 1)) * (times.length - 1))),
  );
  return [...indexes].map((index) => {
    const time = times[index] ?? first;
    return { index, label: long ? day.format(new Date(time)) : formatTime(time, 'minute') };
  });
}
