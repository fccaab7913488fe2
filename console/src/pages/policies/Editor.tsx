// The form of a policy. What is plainly wrong is said at its field before it is sent; what only
// the relay can know comes back from it and is said there too.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';
import { api, need } from '../../api/client';
import { ApiError } from '../../api/error';
import type { Policy } from '../../api/types';
import { AgentPicker } from '../../links/AgentPicker';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Check, SelectField, TextArea, TextField } from '../../ui/Field';
import { Panel } from '../../ui/Page';
import { ErrorBox, Notice } from '../../ui/State';
import { useToast } from '../../ui/Toast';
import {
  ACTIONS,
  draftOf,
  type Form,
  isAdvanced,
  type ListCondition,
  MESSAGE_TYPES,
  PRIORITIES,
} from './form';
import { AgentsField, ChoicesField, WordsField } from './ListFields';

const t = text.policies;

export function Editor({
  policy,
  form,
  changed,
  onChange,
  onSaved,
}: {
  policy: Policy | null;
  form: Form;
  changed: boolean;
  onChange: (form: Form | null) => void;
  onSaved: () => void;
}) {
  const may = useMay('policies');
  const client = useQueryClient();
  const navigate = useNavigate();
  const toast = useToast();
  const [tried, setTried] = useState(false);
  const license = useQuery({
    queryKey: ['license'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/license', { signal })),
  });
  const { draft, problems } = draftOf(form);
  const wrong = tried ? problems : {};
  const set = (change: Partial<Form>) => onChange({ ...form, ...change });
  const setList = (name: ListCondition) => (values: string[]) =>
    set({ lists: { ...form.lists, [name]: values } });
  const saving = useMutation({
    mutationFn: async () => {
      if (policy) {
        await need(
          api.PUT('/v1/operator/policies/{id}', { params: { path: { id: policy.id } }, body: draft }),
        );
        return policy.id;
      }
      return (await need(api.POST('/v1/operator/policies', { body: draft }))).policyId;
    },
    onSuccess: async (id) => {
      await Promise.all(['policy', 'policies'].map((key) => client.invalidateQueries({ queryKey: [key] })));
      toast(policy ? t.saved : t.created);
      onSaved();
      if (!policy) await navigate({ to: '/policies/$id', params: { id }, replace: true });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(problems).length === 0 && !saving.isPending) saving.mutate();
  };
  // The relay names fields by path, such as `rule.conditions.body.0.matches`.
  const refused = saving.error instanceof ApiError ? saving.error.fields : {};
  const ofRelay = (...paths: string[]): string | undefined =>
    Object.entries(refused).find(([field]) =>
      paths.some((path) => field === path || field.startsWith(`${path}.`)),
    )?.[1];
  const needsLicence =
    isAdvanced(draft) && license.data !== undefined && !license.data.features.includes('advanced_policies');

  return (
    <form onSubmit={submit} noValidate>
      <fieldset disabled={!may} className="stack">
        <div className="grid-2">
          <Panel title={t.action}>
            <div className="form-grid">
              <TextField
                label={t.name}
                hint={t.nameHint}
                value={form.name}
                maxLength={200}
                required
                wide
                wrong={wrong.name ?? ofRelay('name')}
                onChange={(event) => set({ name: event.target.value })}
              />
              <SelectField
                label={t.action}
                value={form.action}
                wide
                hint={t.actionsAbout[form.action]}
                wrong={ofRelay('rule.action')}
                choices={ACTIONS.map((value) => ({ value, label: t.actions[value] ?? value }))}
                onChange={(event) =>
                  set({ action: ACTIONS.find((one) => one === event.target.value) ?? 'deny' })
                }
              />
              {form.action === 'redirect' && (
                <AgentPicker
                  label={t.redirectTo}
                  value={form.redirectTo}
                  hint={wrong.redirectTo}
                  onChange={(redirectTo) => set({ redirectTo })}
                  required
                />
              )}
              {form.action === 'tag' && (
                <TextField
                  label={t.tags}
                  value={form.tags}
                  wide
                  wrong={wrong.tags ?? ofRelay('rule.tags')}
                  onChange={(event) => set({ tags: event.target.value })}
                />
              )}
              <SelectField
                label={t.scope}
                value={form.scope}
                choices={Object.entries(t.scopes).map(([value, label]) => ({ value, label }))}
                onChange={(event) => set({ scope: event.target.value === 'agent' ? 'agent' : 'fleet' })}
              />
              {form.scope === 'agent' ? (
                <AgentPicker
                  label={t.agent}
                  value={form.scopeId}
                  hint={wrong.scopeId}
                  onChange={(scopeId) => set({ scopeId })}
                  required
                />
              ) : (
                <TextField
                  label={t.priority}
                  hint={t.priorityHint}
                  value={form.priority}
                  inputMode="numeric"
                  wrong={wrong.priority ?? ofRelay('priority')}
                  onChange={(event) => set({ priority: event.target.value })}
                />
              )}
              {form.scope === 'agent' && (
                <TextField
                  label={t.priority}
                  hint={t.priorityHint}
                  value={form.priority}
                  inputMode="numeric"
                  wrong={wrong.priority ?? ofRelay('priority')}
                  onChange={(event) => set({ priority: event.target.value })}
                />
              )}
              <div className="stack tight form-wide">
                <Check
                  label={t.enabled}
                  checked={form.enabled}
                  onChange={(event) => set({ enabled: event.target.checked })}
                />
                <Check
                  label={t.dryRun}
                  hint={t.dryRunHint}
                  checked={form.dryRun}
                  onChange={(event) => set({ dryRun: event.target.checked })}
                />
              </div>
            </div>
          </Panel>
          <Panel title={t.conditions} about={t.conditionsAbout}>
            <div className="form-grid">
              <AgentsField
                label={t.condition['sender_agent_id'] ?? ''}
                ids={form.lists.sender_agent_id}
                onChange={setList('sender_agent_id')}
              />
              <AgentsField
                label={t.condition['recipient_agent_id'] ?? ''}
                ids={form.lists.recipient_agent_id}
                onChange={setList('recipient_agent_id')}
              />
              <ChoicesField
                label={t.condition['message_type'] ?? ''}
                choices={MESSAGE_TYPES}
                values={form.lists.message_type}
                onChange={setList('message_type')}
              />
              <ChoicesField
                label={t.condition['priority'] ?? ''}
                choices={PRIORITIES}
                values={form.lists.priority}
                onChange={setList('priority')}
              />
              {(
                [
                  'conversation_id',
                  'sender_labels',
                  'recipient_labels',
                  'sender_capabilities',
                  'recipient_capabilities',
                ] as const
              ).map((name) => (
                <WordsField
                  key={name}
                  label={t.condition[name] ?? name}
                  hint={t.commas}
                  values={form.lists[name]}
                  wrong={ofRelay(`rule.conditions.${name}`)}
                  onChange={setList(name)}
                />
              ))}
              <TextField
                label={t.rateMax}
                value={form.rateMax}
                inputMode="numeric"
                wrong={wrong.rate ?? ofRelay('rule.conditions.rate')}
                onChange={(event) => set({ rateMax: event.target.value })}
              />
              <TextField
                label={t.rateSeconds}
                value={form.rateSeconds}
                inputMode="numeric"
                onChange={(event) => set({ rateSeconds: event.target.value })}
              />
              <TextArea
                label={t.body}
                hint={t.bodyHint}
                value={form.body}
                mono
                rows={2}
                spellCheck={false}
                wrong={wrong.body ?? ofRelay('rule.conditions.body')}
                onChange={(event) => set({ body: event.target.value })}
              />
              <TextArea
                label={t.time}
                hint={t.timeHint}
                value={form.time}
                mono
                rows={2}
                spellCheck={false}
                wrong={wrong.time ?? ofRelay('rule.conditions.time')}
                onChange={(event) => set({ time: event.target.value })}
              />
            </div>
          </Panel>
        </div>
        {needsLicence && <Notice tone="warn">{t.advanced}.</Notice>}
        {saving.error && <ErrorBox error={saving.error} />}
        {may && (
          <div className="row">
            <button
              type="submit"
              className="button primary"
              disabled={saving.isPending || (policy !== null && !changed)}
            >
              {saving.isPending ? text.common.working : policy ? t.save : t.create}
            </button>
            {changed && policy && (
              <button
                type="button"
                className="button"
                onClick={() => {
                  onChange(null);
                  setTried(false);
                  saving.reset();
                }}
              >
                {t.discard}
              </button>
            )}
          </div>
        )}
      </fieldset>
    </form>
  );
}
