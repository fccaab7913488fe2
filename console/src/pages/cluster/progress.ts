// How far an operation on the cluster has come, worked out from how the cluster is now. What is
// under way stands in the address of the page; so whichever node serves it tells the same.
import type { Cluster } from '../../api/types';

export const OPERATIONS = ['drain', 'transfer', 'remove', 'replace', 'promote', 'demote'] as const;
export type OperationName = (typeof OPERATIONS)[number];

export interface Operation {
  op: OperationName;
  node: number;
  /** The highest number of a node when it began: a higher one is the replacement. */
  above: number;
}

export type StepName =
  'asked' | 'elsewhere' | 'quiet' | 'stopped' | 'leads' | 'removed' | 'joined' | 'votes' | 'noVote';

export interface Step {
  name: StepName;
  done: boolean;
  /** The node that the step is about, where it is not the operation's own. */
  other?: number | undefined;
  /** Nothing waits for it: it may happen or not. */
  optional?: boolean;
  /** It can be done now. */
  ready?: boolean;
}

export function stepsOf({ op, node, above }: Operation, cluster: Cluster): Step[] {
  const asked: Step = { name: 'asked', done: true };
  const own = cluster.nodes.find((one) => one.node_id === node);
  const leads = cluster.leader === node;
  switch (op) {
    case 'drain': {
      const elsewhere = typeof cluster.leader === 'number' && !leads;
      const gone = own === undefined || !own.reachable;
      const quiet = elsewhere && (gone || own.health === 'draining');
      return [
        asked,
        { name: 'elsewhere', done: elsewhere, other: elsewhere ? (cluster.leader ?? undefined) : undefined },
        { name: 'quiet', done: quiet },
        { name: 'stopped', done: quiet && gone, optional: true, ready: quiet },
      ];
    }
    case 'transfer':
      return [asked, { name: 'leads', done: leads }];
    case 'promote':
      return [asked, { name: 'votes', done: own?.voter === true }];
    case 'demote':
      return [asked, { name: 'noVote', done: own !== undefined && !own.voter }];
    case 'remove':
      return [asked, { name: 'removed', done: own === undefined }];
    case 'replace': {
      const next = cluster.nodes.find((one) => one.node_id > above);
      return [
        asked,
        { name: 'removed', done: own === undefined },
        { name: 'joined', done: next !== undefined, other: next?.node_id },
        { name: 'votes', done: next !== undefined && next.voter && next.health === 'ok' },
      ];
    }
  }
}

export function isDone(steps: Step[]): boolean {
  return steps.every((step) => step.done || step.optional === true);
}

/** How many voters may still be lost before nothing can be decided. */
export function spare(cluster: Cluster): number {
  return Math.max(0, cluster.reachable_voters - cluster.needed_voters);
}
