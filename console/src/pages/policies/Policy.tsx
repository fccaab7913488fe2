// One policy, or a new one: what it says, what it would do, what it would have done, what it said.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Policy } from '../../api/types';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { POLICY_TABS } from '../../url/searches';
import { Id } from '../../ui/Copy';
import { ConfirmDialog } from '../../ui/Dialog';
import { PageHead } from '../../ui/Page';
import { Loaded } from '../../ui/State';
import { Tabs } from '../../ui/Tabs';
import { useErrorToast, useToast } from '../../ui/Toast';
import { PolicyState } from './Conditions';
import { DryRun } from './DryRun';
import { Editor } from './Editor';
import { draftOf, EMPTY, type Form, formOf } from './form';
import { History } from './History';
import { PreviewTab } from './Preview';

const route = getRouteApi('/app/policies/$id');
const t = text.policies;

export function PolicyPage() {
  const { id } = route.useParams();
  if (id === 'new') return <OnePolicy key="new" policy={null} />;
  return <ExistingPolicy key={id} id={id} />;
}

function ExistingPolicy({ id }: { id: string }) {
  const query = useQuery({
    queryKey: ['policy', id],
    queryFn: async ({ signal }) =>
      (await need(api.GET('/v1/operator/policies/{id}', { params: { path: { id } }, signal }))).policy,
  });
  return (
    <Loaded query={query} lines={10}>
      {(policy) => <OnePolicy policy={policy} />}
    </Loaded>
  );
}

function OnePolicy({ policy }: { policy: Policy | null }) {
  const tab = route.useSearch().tab ?? 'rule';
  const may = useMay('policies');
  // The form outlives a change of tab, so that the preview judges what is typed here.
  const [form, setForm] = useState<Form | null>(null);
  const saved = policy ? formOf(policy) : EMPTY;
  const current = form ?? saved;
  const { draft } = draftOf(current);
  const id = policy?.id ?? 'new';
  const tabs = policy ? POLICY_TABS : (['rule', 'preview'] as const);
  return (
    <>
      <PageHead
        title={policy?.name ?? t.new}
        above={<Link to="/policies">{text.common.back(t.title)}</Link>}
        badge={policy && <PolicyState policy={policy} />}
        about={policy && <Id id={policy.id} whole />}
        actions={policy && may && <Actions policy={policy} />}
      />
      <Tabs
        label={t.title}
        current={tab}
        tabs={tabs.map((value) => ({
          value,
          label: t.tabs[value] ?? value,
          to: '/policies/$id',
          params: { id },
          search: value === 'rule' ? {} : { tab: value },
        }))}
      />
      {tab === 'rule' && (
        <Editor
          policy={policy}
          form={current}
          changed={form !== null}
          onChange={setForm}
          onSaved={() => setForm(null)}
        />
      )}
      {tab === 'preview' && (
        <PreviewTab draft={form !== null || policy === null ? draft : null} replaces={policy?.id} />
      )}
      {tab === 'dry-run' && policy && <DryRun policy={policy} />}
      {tab === 'history' && policy && <History policy={policy} />}
    </>
  );
}

/** The whole policy anew, with one thing changed. */
export function useChange(policy: Policy): (change: Partial<Form>) => Promise<void> {
  const client = useQueryClient();
  return async (change) => {
    const { draft } = draftOf({ ...formOf(policy), ...change });
    await need(api.PUT('/v1/operator/policies/{id}', { params: { path: { id: policy.id } }, body: draft }));
    await Promise.all(['policy', 'policies'].map((key) => client.invalidateQueries({ queryKey: [key] })));
  };
}

function Actions({ policy }: { policy: Policy }) {
  const [removing, setRemoving] = useState(false);
  const change = useChange(policy);
  const toast = useToast();
  const failed = useErrorToast();
  const navigate = useNavigate();
  const client = useQueryClient();
  return (
    <>
      <button
        type="button"
        className="button"
        onClick={() =>
          void change({ enabled: !policy.enabled })
            .then(() => toast(t.saved))
            .catch(failed)
        }
      >
        {policy.enabled ? t.turnOff : t.turnOn}
      </button>
      <button type="button" className="button danger" onClick={() => setRemoving(true)}>
        {t.remove}
      </button>
      {removing && (
        <ConfirmDialog
          title={t.removeTitle(policy.name)}
          about={t.removeAbout}
          submit={t.remove}
          danger
          done={t.removed}
          onClose={() => setRemoving(false)}
          onSubmit={async () => {
            await need(api.DELETE('/v1/operator/policies/{id}', { params: { path: { id: policy.id } } }));
            await client.invalidateQueries({ queryKey: ['policies'] });
            await navigate({ to: '/policies' });
          }}
        />
      )}
    </>
  );
}
