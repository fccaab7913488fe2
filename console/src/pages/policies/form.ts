// A policy as its form holds it, and back. Everything that can be mistyped is text until it is read.
import type { Policy, PolicyDraft, Rule } from '../../api/types';
import { text } from '../../text';

export const ACTIONS = ['deny', 'allow', 'require_approval', 'redirect', 'quarantine', 'tag'] as const;
export const MESSAGE_TYPES = [
  'direct',
  'broadcast',
  'alert',
  'handoff',
  'claim',
  'complete',
  'heartbeat',
  'control',
  'a2a.message',
  'a2a.update',
] as const;
export const PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const;
/** Conditions that are lists of texts. */
export const LISTS = [
  'sender_agent_id',
  'recipient_agent_id',
  'message_type',
  'priority',
  'conversation_id',
  'sender_labels',
  'recipient_labels',
  'sender_capabilities',
  'recipient_capabilities',
] as const;
export type ListCondition = (typeof LISTS)[number];
/** Free without a licence; a policy with any other condition or action needs `advanced_policies`. */
const BASIC: readonly string[] = ['sender_agent_id', 'recipient_agent_id', 'message_type', 'priority'];

export interface Form {
  name: string;
  scope: 'fleet' | 'agent';
  scopeId: string;
  action: Rule['action'];
  tags: string;
  redirectTo: string;
  lists: Record<ListCondition, string[]>;
  body: string;
  time: string;
  rateMax: string;
  rateSeconds: string;
  enabled: boolean;
  dryRun: boolean;
  priority: string;
}

export const EMPTY: Form = {
  name: '',
  scope: 'fleet',
  scopeId: '',
  action: 'deny',
  tags: '',
  redirectTo: '',
  lists: Object.fromEntries(LISTS.map((name) => [name, []])) as unknown as Form['lists'],
  body: '',
  time: '',
  rateMax: '',
  rateSeconds: '',
  enabled: true,
  dryRun: true,
  priority: '100',
};

const asList = (value: string | string[] | null | undefined): string[] =>
  value === null || value === undefined ? [] : Array.isArray(value) ? value : [value];
const asText = (value: unknown): string =>
  value === null || value === undefined ? '' : JSON.stringify(value);

export function formOf(policy: Policy): Form {
  const { rule } = policy;
  const conditions = rule.conditions ?? {};
  return {
    name: policy.name,
    scope: policy.scope_kind,
    scopeId: policy.scope_id ?? '',
    action: rule.action,
    tags: (rule.tags ?? []).join(', '),
    redirectTo: rule.redirect_agent_id ?? '',
    lists: Object.fromEntries(
      LISTS.map((name) => [name, asList(conditions[name])]),
    ) as unknown as Form['lists'],
    body: asText(conditions.body),
    time: asText(conditions.time),
    rateMax: conditions.rate ? String(conditions.rate.max_messages) : '',
    rateSeconds: conditions.rate ? String(conditions.rate.window_seconds) : '',
    enabled: policy.enabled,
    dryRun: policy.dry_run,
    priority: String(policy.priority),
  };
}

export type Problems = Partial<
  Record<'name' | 'scopeId' | 'tags' | 'redirectTo' | 'body' | 'time' | 'rate' | 'priority', string>
>;

/** The draft that the form says, or what is wrong with it. The relay looks once more, and closer. */
export function draftOf(form: Form): { draft: PolicyDraft; problems: Problems } {
  const problems: Problems = {};
  const t = text.policyProblems;
  const conditions: Record<string, unknown> = {};
  for (const name of LISTS) if (form.lists[name].length > 0) conditions[name] = form.lists[name];
  for (const name of ['body', 'time'] as const) {
    if (form[name].trim() === '') continue;
    try {
      conditions[name] = JSON.parse(form[name]);
    } catch {
      problems[name] = t.notJson;
    }
  }
  if (form.rateMax !== '' || form.rateSeconds !== '') {
    const rate = { max_messages: Number(form.rateMax), window_seconds: Number(form.rateSeconds) };
    if (!(
      Number.isInteger(rate.max_messages) &&
      Number.isInteger(rate.window_seconds) &&
      rate.window_seconds > 0
    ))
      problems.rate = t.rate;
    conditions['rate'] = rate;
  }
  const tags = form.tags
    .split(',')
    .map((tag) => tag.trim())
    .filter(Boolean);
  if (form.name.trim() === '') problems.name = t.name;
  if (form.scope === 'agent' && form.scopeId === '') problems.scopeId = t.agent;
  if (form.action === 'tag' && tags.length === 0) problems.tags = t.tags;
  if (form.action === 'redirect' && form.redirectTo === '') problems.redirectTo = t.redirect;
  if (!/^\d{1,9}$/.test(form.priority)) problems.priority = t.priority;
  const draft: PolicyDraft = {
    name: form.name.trim(),
    scope_kind: form.scope,
    scope_id: form.scope === 'agent' ? form.scopeId : null,
    rule: {
      action: form.action,
      conditions: conditions as Rule['conditions'],
      ...(form.action === 'tag' ? { tags } : {}),
      ...(form.action === 'redirect' ? { redirect_agent_id: form.redirectTo } : {}),
    },
    enabled: form.enabled,
    dry_run: form.dryRun,
    priority: Number(form.priority),
  };
  return { draft, problems };
}

/** Whether it needs a licence with `advanced_policies`. */
export function isAdvanced(draft: PolicyDraft): boolean {
  const { action, conditions } = draft.rule;
  return (
    (action !== 'deny' && action !== 'allow') ||
    Object.keys(conditions ?? {}).some((name) => !BASIC.includes(name))
  );
}

/** Names of the fields in which two versions differ. */
export function changedFields(now: Policy, before: Policy): string[] {
  const flat = (policy: Policy): Record<string, string> => ({
    name: policy.name,
    action: policy.rule.action,
    conditions: JSON.stringify(policy.rule.conditions ?? {}),
    tags: JSON.stringify(policy.rule.tags ?? []),
    redirectTo: policy.rule.redirect_agent_id ?? '',
    scope: `${policy.scope_kind} ${policy.scope_id ?? ''}`,
    enabled: String(policy.enabled),
    dryRun: String(policy.dry_run),
    priority: String(policy.priority),
  });
  const one = flat(now);
  const other = flat(before);
  return Object.keys(one).filter((name) => one[name] !== other[name]);
}
