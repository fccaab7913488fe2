import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Cluster, ClusterNode } from '../api/types';
import { firstAnswering, otherNodes, samePageAt } from './otherNodes';

const node = (node_id: number, more: Partial<ClusterNode>): ClusterNode => ({
  node_id,
  address: `10.0.0.${node_id}:4001`,
  base_url: `http://10.0.0.${node_id}:4000`,
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

const cluster = (nodes: ClusterNode[]): Cluster => ({
  cluster_id: 'clu_1',
  node_id: 1,
  leader: 2,
  term: 2,
  feature_level: 3,
  changing: false,
  can_decide: true,
  reachable_voters: 3,
  needed_voters: 2,
  nodes,
});

describe('otherNodes', () => {
  it('leaves out this node and those nobody can browse to', () => {
    expect(
      otherNodes(
        cluster([
          node(1, {}),
          node(2, { base_url: null }),
          node(3, {}),
          node(4, { base_url: 'javascript:alert(1)//' }),
        ]),
      ).map((one) => one.node_id),
    ).toEqual([3]);
  });

  it('prefers the leader, then what is well, then what can be reached', () => {
    const nodes = [
      node(2, { reachable: false, health: 'unreachable' }),
      node(3, { health: 'draining' }),
      node(4, {}),
      node(5, { role: 'leader' }),
    ];
    expect(otherNodes(cluster(nodes)).map((one) => one.node_id)).toEqual([5, 4, 3, 2]);
  });
});

it('keeps page and query', () => {
  const here = { pathname: '/ui/agents', search: '?status=paused', hash: '' } as Location;
  expect(samePageAt(node(2, { base_url: 'http://10.0.0.2:4000/' }), here)).toBe(
    'http://10.0.0.2:4000/ui/agents?status=paused',
  );
});

describe('firstAnswering', () => {
  afterEach(() => vi.unstubAllGlobals());

  it('takes whoever answers first, and waits for nobody else', async () => {
    const asked: string[] = [];
    vi.stubGlobal('fetch', (url: string) => {
      asked.push(url);
      // The others are gone: they say nothing for as long as the test runs.
      return url.includes('10.0.0.3') ? Promise.resolve(new Response()) : new Promise(() => undefined);
    });
    const found = firstAnswering([node(2, {}), node(3, {}), node(4, {})]);
    expect(asked).toHaveLength(3);
    expect((await found)?.node_id).toBe(3);
  });

  it('leaves out who cannot be reached, and says where that is all', async () => {
    vi.stubGlobal('fetch', (url: string) =>
      url.includes('10.0.0.4') ? Promise.resolve(new Response()) : Promise.reject(new TypeError('refused')),
    );
    expect((await firstAnswering([node(2, {}), node(4, {})]))?.node_id).toBe(4);
    expect(await firstAnswering([node(2, {}), node(3, { base_url: null })])).toBeNull();
    expect(await firstAnswering([])).toBeNull();
  });
});
