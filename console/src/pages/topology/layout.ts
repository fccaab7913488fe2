// Where the agents of a graph are drawn: springs along edges, everybody pushing everybody else
// away. Starts from a circle in the order of ids and uses no chance, so that the same graph always
// looks the same.
import type { Edge } from '../../api/types';

export const OPERATORS = 'operators';
export const EDGES_DRAWN_MAX = 160;
export const NODES_DRAWN_MAX = 70;
const STEPS = 320;

export interface Spot {
  id: string;
  x: number;
  y: number;
  sent: number;
  received: number;
  failed: number;
}

export interface Line {
  from: string;
  to: string;
  messages: number;
  failed: number;
}

export interface Graph {
  spots: Spot[];
  lines: Line[];
}

/** The busiest pairs, as many as can be told apart, and the agents in them. */
export function graphOf(edges: Edge[]): { lines: Line[]; ids: string[] } {
  const lines: Line[] = [];
  const ids = new Set<string>();
  for (const edge of [...edges].sort((one, other) => other.messages - one.messages)) {
    const from = edge.sender_agent_id ?? OPERATORS;
    const to = edge.recipient_agent_id;
    const more = (ids.has(from) ? 0 : 1) + (ids.has(to) ? 0 : 1);
    if (lines.length >= EDGES_DRAWN_MAX || ids.size + more > NODES_DRAWN_MAX) continue;
    ids.add(from).add(to);
    lines.push({ from, to, messages: edge.messages, failed: edge.failed });
  }
  return { lines, ids: [...ids].sort() };
}

export function layOut(edges: Edge[], width: number, height: number): Graph {
  const { lines, ids } = graphOf(edges);
  const spots: Spot[] = ids.map((id, index) => {
    const angle = (index / ids.length) * 2 * Math.PI;
    const own = lines.filter((line) => line.from === id);
    const others = lines.filter((line) => line.to === id);
    const sum = (all: Line[], field: 'messages' | 'failed') =>
      all.reduce((total, line) => total + line[field], 0);
    return {
      id,
      x: Math.cos(angle),
      y: Math.sin(angle) * 0.75,
      sent: sum(own, 'messages'),
      received: sum(others, 'messages'),
      failed: sum(own, 'failed') + sum(others, 'failed'),
    };
  });
  const at = new Map(spots.map((spot) => [spot.id, spot]));
  const rest = 1.5 / Math.sqrt(Math.max(spots.length, 1));
  for (let step = 0; step < STEPS; step += 1) {
    // Ever smaller moves, so that it comes to rest.
    const most = 0.12 * (1 - step / STEPS);
    const push = new Map(spots.map((spot) => [spot.id, { x: -spot.x * 0.02, y: -spot.y * 0.05 }]));
    for (let i = 0; i < spots.length; i += 1) {
      for (let j = i + 1; j < spots.length; j += 1) repel(spots[i], spots[j], rest, push);
    }
    for (const line of lines) attract(at.get(line.from), at.get(line.to), rest, push);
    for (const spot of spots) {
      const by = push.get(spot.id);
      if (!by) continue;
      const size = Math.hypot(by.x, by.y) || 1;
      const move = Math.min(size, most) / size;
      spot.x += by.x * move;
      spot.y += by.y * move;
    }
  }
  return { spots: fitted(spots, width, height), lines };
}

type Push = Map<string, { x: number; y: number }>;

function add(push: Push, id: string, x: number, y: number): void {
  const by = push.get(id);
  if (by) {
    by.x += x;
    by.y += y;
  }
}

function repel(one: Spot | undefined, other: Spot | undefined, rest: number, push: Push): void {
  if (!one || !other) return;
  const dx = one.x - other.x || 0.001;
  const dy = one.y - other.y || 0.001;
  const away = Math.min((rest * rest) / (dx * dx + dy * dy), 4) * 0.09;
  const distance = Math.hypot(dx, dy);
  add(push, one.id, (dx / distance) * away, (dy / distance) * away);
  add(push, other.id, (-dx / distance) * away, (-dy / distance) * away);
}

function attract(one: Spot | undefined, other: Spot | undefined, rest: number, push: Push): void {
  if (!one || !other || one === other) return;
  const dx = other.x - one.x;
  const dy = other.y - one.y;
  const pull = (Math.hypot(dx, dy) - rest) * 0.08;
  const distance = Math.hypot(dx, dy) || 1;
  add(push, one.id, (dx / distance) * pull, (dy / distance) * pull);
  add(push, other.id, (-dx / distance) * pull, (-dy / distance) * pull);
}

const MARGIN_X = 90;
const MARGIN_Y = 44;

function fitted(spots: Spot[], width: number, height: number): Spot[] {
  if (spots.length === 0) return [];
  const xs = spots.map((spot) => spot.x);
  const ys = spots.map((spot) => spot.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = (value: number, low: number, high: number, size: number, margin: number) =>
    high - low < 1e-6 ? size / 2 : margin + ((value - low) / (high - low)) * (size - 2 * margin);
  return spots.map((spot) => ({
    ...spot,
    x: scale(spot.x, left, right, width, MARGIN_X),
    y: scale(spot.y, top, bottom, height, MARGIN_Y),
  }));
}
