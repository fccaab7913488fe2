// The graph itself, in SVG: agents as circles, messages as arrows as thick as they are many, what
// failed as a red part of the arrow. Agents are buttons, so the keyboard goes from one to the next.
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react';
import type { Edge } from '../../api/types';
import { useAgentName } from '../../links/names';
import { text } from '../../text';
import { formatNumber, formatShort, shortId } from '../../ui/format';
import { layOut, type Line, OPERATORS, type Spot } from './layout';

const t = text.topology;
const HEIGHT = 580;

interface Props {
  edges: Edge[];
  chosen: string | undefined;
  onChoose: (id: string | undefined) => void;
}

export function Drawing({ edges, chosen, onChoose }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(900);
  const [pointed, setPointed] = useState<string | null>(null);
  useEffect(() => {
    if (!box.current) return;
    const observer = new ResizeObserver(
      ([entry]) => entry && setWidth(Math.max(320, Math.round(entry.contentRect.width))),
    );
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const { spots, lines } = useMemo(() => layOut(edges, width, HEIGHT), [edges, width]);
  const at = useMemo(() => new Map(spots.map((spot) => [spot.id, spot])), [spots]);
  const most = Math.max(1, ...lines.map((line) => line.messages));
  const lit = pointed ?? chosen ?? null;
  const both = useMemo(() => new Set(lines.map((line) => `${line.from}>${line.to}`)), [lines]);
  const near = useMemo(
    () =>
      new Set(lines.flatMap((line) => (line.from === lit || line.to === lit ? [line.from, line.to] : []))),
    [lines, lit],
  );
  return (
    <div className="panel topology" ref={box}>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        height={HEIGHT}
        role="group"
        aria-label={t.label(spots.length, lines.length)}
      >
        {(['line', 'label'] as const).map((part) =>
          lines.map((line) => (
            <Arrow
              key={`${part} ${line.from}>${line.to}`}
              part={part}
              line={line}
              from={at.get(line.from)}
              to={at.get(line.to)}
              most={most}
              bent={both.has(`${line.to}>${line.from}`)}
              dim={lit !== null && line.from !== lit && line.to !== lit}
              lit={lit !== null && (line.from === lit || line.to === lit)}
            />
          )),
        )}
        {spots.map((spot) => (
          <AgentSpot
            key={spot.id}
            spot={spot}
            chosen={spot.id === chosen}
            dim={lit !== null && spot.id !== lit && !near.has(spot.id)}
            onPoint={setPointed}
            onChoose={() => onChoose(spot.id === chosen ? undefined : spot.id)}
          />
        ))}
      </svg>
      {lines.length < edges.length && (
        <p className="small muted topology-note">
          {t.showing(formatNumber(lines.length), formatNumber(edges.length))}
        </p>
      )}
    </div>
  );
}

const radiusOf = (spot: Spot): number => 9 + Math.min(13, Math.sqrt(spot.sent + spot.received));
const widthOf = (messages: number, most: number): number =>
  1.2 + 5 * (Math.log1p(messages) / Math.log1p(most));

/** Lines come first and their labels above all lines, so that no line runs through a number. */
function Arrow({
  part,
  line,
  from,
  to,
  most,
  bent,
  dim,
  lit,
}: {
  part: 'line' | 'label';
  line: Line;
  from: Spot | undefined;
  to: Spot | undefined;
  most: number;
  bent: boolean;
  dim: boolean;
  lit: boolean;
}) {
  if (!from || !to || from === to) return null;
  const width = widthOf(line.messages, most);
  const { path, middle, head } = curve(from, to, bent, width);
  if (part === 'label') {
    if (!lit && (line.failed === 0 || dim)) return null;
    return (
      <text className="topology-label" x={middle.x} y={middle.y} textAnchor="middle">
        {formatShort(line.messages)}
        {line.failed > 0 && (
          <tspan className="topology-failed-text">{` · ${formatShort(line.failed)} ${t.failed.toLowerCase()}`}</tspan>
        )}
      </text>
    );
  }
  const share = line.messages === 0 ? 0 : Math.min(1, line.failed / line.messages);
  return (
    <g className="topology-edge" data-dim={dim} data-lit={lit}>
      <path d={path} strokeWidth={width} />
      {share > 0 && (
        <path
          d={path}
          strokeWidth={width}
          className="topology-failed"
          pathLength={100}
          strokeDasharray={`${Math.max(8, share * 100)} 100`}
        />
      )}
      <path d={head} className={share === 1 ? 'topology-head topology-failed' : 'topology-head'} />
    </g>
  );
}

/** From rim to rim; bent to one side where there is an arrow the other way too. */
function curve(
  from: Spot,
  to: Spot,
  bent: boolean,
  width: number,
): { path: string; head: string; middle: { x: number; y: number } } {
  const dx = to.x - from.x;
  const dy = to.y - from.y;
  const distance = Math.hypot(dx, dy) || 1;
  const side = bent ? Math.min(26, distance * 0.14) : 0;
  const cx = (from.x + to.x) / 2 - (dy / distance) * side;
  const cy = (from.y + to.y) / 2 + (dx / distance) * side;
  const start = toRim(from, cx, cy, radiusOf(from) + 2);
  const length = 6 + width * 1.6;
  const tip = toRim(to, cx, cy, radiusOf(to) + 3);
  const end = toRim(to, cx, cy, radiusOf(to) + 3 + length * 0.8);
  // Across the direction in which the arrow arrives.
  const across = {
    x: ((cy - to.y) / (Math.hypot(cx - to.x, cy - to.y) || 1)) * length * 0.5,
    y: (-(cx - to.x) / (Math.hypot(cx - to.x, cy - to.y) || 1)) * length * 0.5,
  };
  const back = toRim(to, cx, cy, radiusOf(to) + 3 + length);
  const one = (value: number) => Math.round(value * 10) / 10;
  return {
    path: `M${one(start.x)} ${one(start.y)}Q${one(cx)} ${one(cy)} ${one(end.x)} ${one(end.y)}`,
    head: `M${one(tip.x)} ${one(tip.y)}L${one(back.x + across.x)} ${one(back.y + across.y)}L${one(back.x - across.x)} ${one(back.y - across.y)}Z`,
    middle: { x: one((start.x + 2 * cx + end.x) / 4), y: one((start.y + 2 * cy + end.y) / 4 - 5) },
  };
}

function toRim(spot: Spot, x: number, y: number, radius: number): { x: number; y: number } {
  const distance = Math.hypot(x - spot.x, y - spot.y) || 1;
  return { x: spot.x + ((x - spot.x) / distance) * radius, y: spot.y + ((y - spot.y) / distance) * radius };
}

function AgentSpot({
  spot,
  chosen,
  dim,
  onPoint,
  onChoose,
}: {
  spot: Spot;
  chosen: boolean;
  dim: boolean;
  onPoint: (id: string | null) => void;
  onChoose: () => void;
}) {
  const found = useAgentName(spot.id === OPERATORS ? null : spot.id);
  const name = spot.id === OPERATORS ? text.operators.title : (found ?? shortId(spot.id));
  const onKey = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    onChoose();
  };
  const radius = radiusOf(spot);
  return (
    <g
      className="topology-spot"
      role="button"
      tabIndex={0}
      aria-pressed={chosen}
      aria-label={t.node(name, formatNumber(spot.sent), formatNumber(spot.received))}
      data-dim={dim}
      data-failed={spot.failed > 0}
      data-operators={spot.id === OPERATORS}
      onPointerEnter={() => onPoint(spot.id)}
      onPointerLeave={() => onPoint(null)}
      onFocus={() => onPoint(spot.id)}
      onBlur={() => onPoint(null)}
      onClick={onChoose}
      onKeyDown={onKey}
    >
      <circle cx={spot.x} cy={spot.y} r={radius} />
      <text x={spot.x} y={spot.y + radius + 15} textAnchor="middle">
        {name.length > 22 ? `${name.slice(0, 21)}…` : name}
      </text>
    </g>
  );
}
