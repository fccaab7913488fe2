// What can be done with one node. What the relay would refuse anyway is not offered; what it
// refuses all the same (409, with the reason) is shown in the dialog.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Cluster, ClusterNode } from '../../api/types';
import { text } from '../../text';
import { ConfirmDialog } from '../../ui/Dialog';
import { Menu } from '../../ui/Menu';
import type { Operation, OperationName } from './progress';

const t = text.cluster;

interface Action {
  op: OperationName;
  label: string;
  danger?: boolean;
  title: string;
  about: string;
}

function actionsFor(node: ClusterNode, cluster: Cluster): Action[] {
  const id = node.node_id;
  const many = cluster.nodes.length > 1;
  const actions: (Action | false)[] = [
    node.voter &&
      many &&
      cluster.leader !== id &&
      node.reachable && {
        op: 'transfer',
        label: t.transfer,
        title: t.transferTitle(id),
        about: t.transferAbout,
      },
    node.reachable &&
      node.health !== 'draining' &&
      many && { op: 'drain', label: t.drain, title: t.drainTitle(id), about: t.drainAbout },
    !node.voter &&
      node.part !== 'edge' && {
        op: 'promote',
        label: t.promote,
        title: t.promoteTitle(id),
        about: t.promoteAbout,
      },
    node.voter && many && { op: 'demote', label: t.demote, title: t.demoteTitle(id), about: t.demoteAbout },
    many && {
      op: 'replace',
      label: t.replace,
      danger: true,
      title: t.replaceTitle(id),
      about: t.replaceAbout,
    },
    many && { op: 'remove', label: t.remove, danger: true, title: t.removeTitle(id), about: t.removeAbout },
  ];
  return actions.filter((action) => action !== false);
}

async function ask(op: OperationName, id: number): Promise<void> {
  const params = { path: { id: String(id) } };
  switch (op) {
    case 'transfer':
      await need(api.POST('/v1/operator/cluster/transfer', { body: { node_id: id } }));
      return;
    case 'drain':
      await need(api.POST('/v1/operator/cluster/nodes/{id}/drain', { params }));
      return;
    case 'promote':
      await need(api.POST('/v1/operator/cluster/nodes/{id}/promote', { params }));
      return;
    case 'demote':
      await need(api.POST('/v1/operator/cluster/nodes/{id}/demote', { params }));
      return;
    case 'replace':
    case 'remove':
      await need(api.DELETE('/v1/operator/cluster/nodes/{id}', { params }));
      return;
  }
}

export function NodeActions({
  node,
  cluster,
  onBegin,
}: {
  node: ClusterNode;
  cluster: Cluster;
  onBegin: (operation: Operation) => void;
}) {
  const [asking, setAsking] = useState<Action | null>(null);
  const client = useQueryClient();
  const actions = actionsFor(node, cluster);
  if (actions.length === 0) return null;
  const above = Math.max(...cluster.nodes.map((one) => one.node_id));
  return (
    <>
      <Menu
        label={t.more(node.node_id)}
        items={actions.map((action) => ({
          label: action.label,
          danger: action.danger ?? false,
          onChoose: () => setAsking(action),
        }))}
      />
      {asking && (
        <ConfirmDialog
          title={asking.title}
          about={asking.about}
          submit={asking.label}
          danger={asking.danger ?? false}
          onClose={() => setAsking(null)}
          onSubmit={async () => {
            await ask(asking.op, node.node_id);
            onBegin({ op: asking.op, node: node.node_id, above });
            await client.invalidateQueries({ queryKey: ['cluster'] });
          }}
        />
      )}
    </>
  );
}
