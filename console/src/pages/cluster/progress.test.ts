import { describe, expect, it } from 'vitest';
import type { Cluster, ClusterNode } from '../../api/types';
import { isDone, spare, stepsOf } from './progress';

const node = (node_id: number, more: Partial<ClusterNode> = {}): ClusterNode => ({
  node_id,
  address: '',
  base_url: null,
  role: 'follower',
  part: 'voter',
  voter: true,
  reachable: true,
  health: 'ok',
  log_index: 1,
  applied_index: 1,
  lag_entries: 0,
  version: '0.1.0',
  ...more,
});
const cluster = (leader: number | null, ...nodes: ClusterNode[]): Cluster => ({
  cluster_id: 'clu_1',
  node_id: 1,
  leader,
  term: 2,
  feature_level: 3,
  changing: false,
  can_decide: true,
  reachable_voters: 3,
  needed_voters: 2,
  nodes,
});
const done = (steps: ReturnType<typeof stepsOf>) => steps.map((step) => step.done);

describe('drain', () => {
  const op = { op: 'drain', node: 1, above: 3 } as const;
  it('goes step by step', () => {
    expect(done(stepsOf(op, cluster(1, node(1), node(2), node(3))))).toEqual([true, false, false, false]);
    // Nobody leads for a moment: that is not yet elsewhere.
    expect(done(stepsOf(op, cluster(null, node(1), node(2))))).toEqual([true, false, false, false]);
    expect(done(stepsOf(op, cluster(2, node(1, { health: 'draining' }), node(2))))).toEqual([
      true,
      true,
      true,
      false,
    ]);
    expect(
      done(stepsOf(op, cluster(2, node(1, { health: 'unreachable', reachable: false }), node(2)))),
    ).toEqual([true, true, true, true]);
  });
  it('is done before the node is stopped', () => {
    expect(isDone(stepsOf(op, cluster(2, node(1, { health: 'draining' }), node(2))))).toBe(true);
  });
});

it('transfer waits for the node to lead', () => {
  expect(isDone(stepsOf({ op: 'transfer', node: 2, above: 3 }, cluster(1, node(1), node(2))))).toBe(false);
  expect(isDone(stepsOf({ op: 'transfer', node: 2, above: 3 }, cluster(2, node(1), node(2))))).toBe(true);
});

it('replace waits for a node of a higher number to vote', () => {
  const op = { op: 'replace', node: 3, above: 3 } as const;
  expect(done(stepsOf(op, cluster(1, node(1), node(2), node(3))))).toEqual([true, false, false, false]);
  expect(done(stepsOf(op, cluster(1, node(1), node(2))))).toEqual([true, true, false, false]);
  expect(done(stepsOf(op, cluster(1, node(1), node(2), node(4, { voter: false, role: 'learner' }))))).toEqual(
    [true, true, true, false],
  );
  expect(isDone(stepsOf(op, cluster(1, node(1), node(2), node(4))))).toBe(true);
});

it('says how many may fail', () => expect(spare(cluster(1))).toBe(1));
