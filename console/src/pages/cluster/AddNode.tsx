// A token and the command that uses it, and a look-out for the node that joins.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { api, need } from '../../api/client';
import type { Cluster } from '../../api/types';
import { clusterQuery } from '../../layout/ClusterWatch';
import { text } from '../../text';
import { CopyBox } from '../../ui/Copy';
import { Dialog } from '../../ui/Dialog';
import { SelectField } from '../../ui/Field';
import { ErrorBox, Notice } from '../../ui/State';
import { Time } from '../../ui/Time';
import { Words } from '../../ui/Words';

const t = text.cluster;
const PARTS = ['voter', 'learner', 'edge'] as const;
const LOOK_EVERY_MS = 1_000;

export function AddNodeDialog({ cluster, onClose }: { cluster: Cluster; onClose: () => void }) {
  const [part, setPart] = useState<(typeof PARTS)[number]>('voter');
  const client = useQueryClient();
  // Numbers are never given again: whatever is above these is new.
  const above = useRef(Math.max(...cluster.nodes.map((node) => node.node_id)));
  const making = useMutation({
    mutationFn: () => need(api.POST('/v1/operator/cluster/tokens', { body: { part } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ['join-tokens'] }),
  });
  const now = useQuery({
    ...clusterQuery,
    refetchInterval: LOOK_EVERY_MS,
    enabled: making.data !== undefined,
  });
  const joined = now.data?.nodes.find((node) => node.node_id > above.current);
  const alone = cluster.nodes.every((node) => node.address === '');
  const made = making.data;
  return (
    <Dialog title={t.addTitle} onClose={onClose} wide>
      <div className="dialog-body">
        {alone ? (
          <Notice tone="warn">
            <Words of={t.noAddress} />
          </Notice>
        ) : (
          <p className="muted">{t.addAbout}</p>
        )}
        {!alone && !made && (
          <form
            className="stack"
            onSubmit={(event) => {
              event.preventDefault();
              making.mutate();
            }}
          >
            <SelectField
              label={t.part}
              hint={t.partsAbout[part]}
              value={part}
              choices={PARTS.map((value) => ({ value, label: t.parts[value] ?? value }))}
              onChange={(event) => setPart(PARTS.find((one) => one === event.target.value) ?? 'voter')}
            />
            {making.error && <ErrorBox error={making.error} />}
            <div>
              <button type="submit" className="button primary" disabled={making.isPending}>
                {t.makeToken}
              </button>
            </div>
          </form>
        )}
        {made && (
          <>
            <CopyBox
              label={t.command}
              value={`EKHO_NODE_ADDRESS=HOST:PORT ekho serve --join ${made.join} --token ${made.token}`}
            />
            <p className="small muted">
              {t.tokenOnce} {t.expires} <Time at={made.expires_at} />.
            </p>
            <div role="status">
              {joined ? (
                <Notice tone="ok">{t.nodeJoined(joined.node_id)}</Notice>
              ) : (
                <Notice>{t.waitingNode}</Notice>
              )}
            </div>
          </>
        )}
      </div>
    </Dialog>
  );
}
