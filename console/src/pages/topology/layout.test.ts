import { describe, expect, it } from 'vitest';
import type { Edge } from '../../api/types';
import { EDGES_DRAWN_MAX, graphOf, layOut, NODES_DRAWN_MAX, OPERATORS } from './layout';

const edge = (from: number | null, to: number, messages = 1, failed = 0): Edge => ({
  sender_agent_id: from === null ? null : `agent_${from}`,
  recipient_agent_id: `agent_${to}`,
  messages,
  failed,
});

describe('layOut', () => {
  const edges = [edge(1, 2, 9), edge(2, 1, 5, 1), edge(2, 3), edge(null, 1)];

  it('is the same every time', () => expect(layOut(edges, 800, 500)).toEqual(layOut(edges, 800, 500)));
  it('stays inside, and keeps agents apart', () => {
    const { spots } = layOut(edges, 800, 500);
    expect(spots).toHaveLength(4);
    for (const spot of spots) {
      expect(spot.x).toBeGreaterThanOrEqual(0);
      expect(spot.x).toBeLessThanOrEqual(800);
      expect(spot.y).toBeGreaterThanOrEqual(0);
      expect(spot.y).toBeLessThanOrEqual(500);
      for (const other of spots)
        if (other !== spot) expect(Math.hypot(spot.x - other.x, spot.y - other.y)).toBeGreaterThan(40);
    }
  });
  it('counts what each sent and got', () => {
    expect(layOut(edges, 800, 500).spots.find((spot) => spot.id === 'agent_2')).toMatchObject({
      sent: 6,
      received: 9,
      failed: 1,
    });
    expect(layOut(edges, 800, 500).spots.some((spot) => spot.id === OPERATORS)).toBe(true);
  });
  it('draws no more than can be told apart, the busiest first', () => {
    const many = Array.from({ length: 1_000 }, (_, index) => edge(index % 300, (index * 7) % 300, index));
    const { lines, ids } = graphOf(many);
    expect(lines.length).toBeLessThanOrEqual(EDGES_DRAWN_MAX);
    expect(ids.length).toBeLessThanOrEqual(NODES_DRAWN_MAX);
    expect(lines[0]?.messages).toBe(999);
  });
  it('takes a graph of one', () =>
    expect(layOut([edge(1, 1)], 800, 500).spots[0]).toMatchObject({ x: 400, y: 250 }));
});
