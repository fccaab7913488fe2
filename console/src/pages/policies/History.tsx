// The versions of a policy, what changed between them, and the way back.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Policy } from '../../api/types';
import { OperatorName } from '../../links/links';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { ConfirmDialog } from '../../ui/Dialog';
import { Panel } from '../../ui/Page';
import { Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { ActionBadge, Conditions, PolicyState } from './Conditions';
import { changedFields } from './form';

const t = text.policies.history;

export function History({ policy }: { policy: Policy }) {
  const [to, setTo] = useState<number | null>(null);
  const may = useMay('policies');
  const client = useQueryClient();
  const versions = useQuery({
    queryKey: ['policy', policy.id, 'versions'],
    queryFn: async ({ signal }) =>
      (
        await need(
          api.GET('/v1/operator/policies/{id}/versions', { params: { path: { id: policy.id } }, signal }),
        )
      ).versions,
  });
  return (
    <Panel title={text.policies.tabs['history']} flush>
      <Loaded query={versions}>
        {(all) => (
          <ul className="plain-rows">
            {all.map((version, index) => {
              const before = all[index + 1];
              const changes = before ? changedFields(version, before) : [];
              return (
                <li key={version.version} className="stack tight">
                  <div className="row wrap">
                    <span className="strong">
                      {t.version} {version.version}
                    </span>
                    {index === 0 && <Badge tone="accent">{t.current}</Badge>}
                    <span className="muted small">
                      <Time at={version.updated_at} /> {t.by.toLowerCase()}{' '}
                      <OperatorName id={version.updated_by} />
                    </span>
                    {changes.length > 0 && (
                      <span className="small muted">
                        {t.changes}:{' '}
                        {changes.map((field) => text.policyProblems.changed[field] ?? field).join(', ')}
                      </span>
                    )}
                    {may && index > 0 && (
                      <button
                        type="button"
                        className="button small"
                        style={{ marginLeft: 'auto' }}
                        onClick={() => setTo(version.version)}
                      >
                        {t.rollback}
                      </button>
                    )}
                  </div>
                  <div className="row wrap small">
                    <PolicyState policy={version} />
                    <ActionBadge action={version.rule.action} />
                    <Conditions rule={version.rule} />
                  </div>
                </li>
              );
            })}
          </ul>
        )}
      </Loaded>
      {to !== null && (
        <ConfirmDialog
          title={t.rollbackTitle(to)}
          about={t.rollbackAbout}
          submit={t.rollback}
          done={t.done}
          onClose={() => setTo(null)}
          onSubmit={async () => {
            await need(
              api.POST('/v1/operator/policies/{id}/rollback', {
                params: { path: { id: policy.id } },
                body: { version: to },
              }),
            );
            await Promise.all(
              ['policy', 'policies'].map((key) => client.invalidateQueries({ queryKey: [key] })),
            );
          }}
        />
      )}
    </Panel>
  );
}
