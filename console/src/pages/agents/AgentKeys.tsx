// Identity keys of an agent, and their revocation.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { CopyButton, Id } from '../../ui/Copy';
import { ReasonDialog } from '../../ui/Dialog';
import { Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.agents.keys;

export function AgentKeys({ id }: { id: string }) {
  const [revoking, setRevoking] = useState<string | null>(null);
  const client = useQueryClient();
  const may = useMay('agents');
  const keys = useQuery({
    queryKey: ['agent', id, 'keys'],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/agents/{id}/keys', { params: { path: { id } }, signal })),
  });
  return (
    <Panel title={t.title} flush>
      <Loaded query={keys}>
        {(data) =>
          data.keys.length === 0 ? (
            <Empty title={t.none} compact>
              <p>{t.noneAbout}</p>
            </Empty>
          ) : (
            <table className="table">
              <thead>
                <tr>
                  <th scope="col">{t.columns.key}</th>
                  <th scope="col" style={{ width: 130 }}>
                    {t.columns.registered}
                  </th>
                  <th scope="col" style={{ width: 120 }}>
                    {t.columns.state}
                  </th>
                  <th scope="col" className="low">
                    {t.columns.public}
                  </th>
                  <th scope="col" style={{ width: 96 }}>
                    <span className="hidden-visually">{t.revoke}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {data.keys.map((key) => (
                  <tr key={key.key_id}>
                    <td>
                      <Id id={key.key_id} />
                    </td>
                    <td>
                      <Time at={key.registered_at} />
                    </td>
                    <td>
                      {key.revoked_at ? (
                        <Badge tone="bad">{t.revoked}</Badge>
                      ) : key.current ? (
                        <Badge tone="ok">{t.current}</Badge>
                      ) : (
                        <Badge tone="idle">{t.former}</Badge>
                      )}
                    </td>
                    <td className="low">
                      <span className="row">
                        <span className="id cut" title={key.public_key}>
                          {key.public_key}
                        </span>
                        <CopyButton value={key.public_key} />
                      </span>
                    </td>
                    <td className="right">
                      {may && !key.revoked_at && (
                        <button
                          type="button"
                          className="button danger small"
                          onClick={() => setRevoking(key.key_id)}
                        >
                          {t.revoke}
                        </button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Loaded>
      {revoking && (
        <ReasonDialog
          title={t.revokeTitle}
          about={t.revokeAbout}
          submit={t.revoke}
          danger
          done={t.done}
          onClose={() => setRevoking(null)}
          onSubmit={async (reason) => {
            await need(
              api.POST('/v1/operator/agents/{id}/keys/{key}/revoke', {
                params: { path: { id, key: revoking } },
                body: { reason },
              }),
            );
            await client.invalidateQueries({ queryKey: ['agent', id, 'keys'] });
          }}
        />
      )}
    </Panel>
  );
}
