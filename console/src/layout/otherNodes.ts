// The other nodes of the cluster, as places where this page can go on.
import type { Cluster, ClusterNode } from '../api/types';

const ANSWER_MS = 2_500;

/** Nodes that a browser may reach: those last seen well first, the leader before others. */
export function otherNodes(cluster: Cluster): ClusterNode[] {
  const rank = (node: ClusterNode) =>
    (node.reachable ? 0 : 8) +
    (node.health === 'ok' ? 0 : 4) +
    (node.voter ? 0 : 2) +
    (node.role === 'leader' ? 0 : 1);
  return cluster.nodes
    .filter((node) => node.node_id !== cluster.node_id && /^https?:\/\//.test(node.base_url ?? ''))
    .sort((one, other) => rank(one) - rank(other));
}

export function samePageAt(node: ClusterNode, location: Location = window.location): string {
  return (node.base_url ?? '').replace(/\/$/, '') + location.pathname + location.search + location.hash;
}

/**
 * Whether a relay answers at an origin; '' is this one. Of another origin only that something
 * answered can be known, which is all that is needed. The content security policy allows exactly
 * the nodes of the cluster.
 */
export async function answers(origin: string): Promise<boolean> {
  try {
    await fetch(`${origin.replace(/\/$/, '')}/healthz`, {
      mode: origin === '' ? 'same-origin' : 'no-cors',
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return true;
  } catch {
    return false;
  }
}

/** Whoever of them answers first. All are asked at once: one that is gone shall not hold up the rest. */
export async function firstAnswering(nodes: ClusterNode[]): Promise<ClusterNode | null> {
  const asked = nodes.map(async (node) => {
    if (!node.base_url || !(await answers(node.base_url))) throw new Error(`node ${node.node_id} is silent`);
    return node;
  });
  // It fails where all are silent, and for no other reason.
  return Promise.any(asked).catch(() => null);
}
