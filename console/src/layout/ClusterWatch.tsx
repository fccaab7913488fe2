// Says above every page when the cluster or the node behind it is not well, and goes on at another
// node when this one is gone: same page, same query, as all that a page shows stands in its address.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { api, need } from '../api/client';
import type { Cluster, ClusterNode } from '../api/types';
import { useLiveState } from '../live/live';
import { refresh } from '../live/refresh';
import { useMe } from '../session/session';
import { text } from '../text';
import { Icon } from '../ui/Icon';
import { answers, firstAnswering, otherNodes, samePageAt } from './otherNodes';

const ASK_EVERY_MS = 5_000;
const LOOK_EVERY_MS = 1_500;
/** This many looks in a row without an answer: the node is gone, not just slow for a moment. */
const LOOKS_UNTIL_GONE = 2;

export const clusterQuery = {
  queryKey: ['cluster'],
  queryFn: ({ signal }: { signal: AbortSignal }) => need(api.GET('/v1/operator/cluster', { signal })),
  staleTime: 2_000,
};

export function ClusterWatch() {
  const me = useMe();
  const live = useLiveState();
  const cluster = useQuery({
    ...clusterQuery,
    enabled: me.first_fleet,
    refetchInterval: ASK_EVERY_MS,
    retry: false,
  });
  if (live === 'offline') return <Gone cluster={cluster.data} />;
  const own = cluster.data?.nodes.find((node) => node.node_id === cluster.data?.node_id);
  if (cluster.data && !cluster.data.can_decide) {
    return (
      <div className="banner bad" role="alert">
        <Icon name="warn" />
        <span>
          {text.failover.noLeader}{' '}
          {text.failover.reachable(cluster.data.reachable_voters, cluster.data.needed_voters)}
        </span>
      </div>
    );
  }
  if (cluster.data && own?.health === 'draining') {
    return (
      <div className="banner" role="status">
        <Icon name="warn" />
        <span>{text.failover.draining}</span>
        <GoOn nodes={otherNodes(cluster.data)} />
      </div>
    );
  }
  return null;
}

function GoOn({ nodes }: { nodes: ClusterNode[] }) {
  if (nodes.length === 0) return null;
  return (
    <span className="row wrap">
      {text.failover.goOn}
      {nodes.map((node) => (
        <a key={node.node_id} href={samePageAt(node)}>
          {text.failover.node(node.node_id)}
        </a>
      ))}
    </span>
  );
}

function Gone({ cluster }: { cluster: Cluster | undefined }) {
  const client = useQueryClient();
  const [gone, setGone] = useState(false);
  const [next, setNext] = useState<ClusterNode | null>(null);
  const others = cluster ? otherNodes(cluster) : [];
  const known = useRef(others);
  useEffect(() => {
    known.current = others;
  });

  useEffect(() => {
    let over = false;
    const watch = async () => {
      for (let looks = 0; !over;) {
        if (await answers('')) {
          looks = 0;
          if (over) return;
          // It was the stream alone, or the node is back: the stream opens anew by itself.
          setGone(false);
          refresh(client, null);
        } else {
          looks += 1;
        }
        if (looks >= LOOKS_UNTIL_GONE && !over) {
          setGone(true);
          const node = await firstAnswering(known.current);
          if (over) return;
          setNext(node);
          if (node) {
            // Another look before the browser has left could lead somewhere else.
            window.location.assign(samePageAt(node));
            return;
          }
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    };
    void watch();
    return () => {
      over = true;
    };
  }, [client]);

  if (!gone) return null;
  return (
    <div className="banner bad" role="alert">
      <Icon name="warn" />
      <span>
        {text.failover.gone}{' '}
        {next
          ? text.failover.goingOn(next.node_id)
          : others.length > 0
            ? text.failover.looking
            : text.failover.noOther}
      </span>
      {!next && <GoOn nodes={others} />}
    </div>
  );
}
