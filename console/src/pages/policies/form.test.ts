import { describe, expect, it } from 'vitest';
import type { Policy } from '../../api/types';
import { changedFields, draftOf, EMPTY, type Form, formOf, isAdvanced } from './form';

const policy: Policy = {
  id: 'pol_1',
  name: 'no shouting',
  scope_kind: 'agent',
  scope_id: 'agent_1',
  enabled: true,
  dry_run: false,
  priority: 7,
  version: 2,
  created_at: '2026-01-31T12:00:00.000Z',
  updated_at: '2026-01-31T12:00:00.000Z',
  updated_by: 'opr_1',
  rule: {
    action: 'deny',
    conditions: {
      message_type: 'alert',
      priority: ['high', 'urgent'],
      body: [{ pointer: '/text', matches: 'x' }],
      rate: { max_messages: 3, window_seconds: 60 },
    },
  },
};
const form = (more: Partial<Form>): Form => ({ ...EMPTY, name: 'x', ...more });

describe('draftOf', () => {
  it('says again what a policy says', () => {
    const { draft, problems } = draftOf(formOf(policy));
    expect(problems).toEqual({});
    expect(draft).toEqual({
      name: 'no shouting',
      scope_kind: 'agent',
      scope_id: 'agent_1',
      enabled: true,
      dry_run: false,
      priority: 7,
      rule: { action: 'deny', conditions: { ...policy.rule.conditions, message_type: ['alert'] } },
    });
  });

  it('leaves out what does not count', () => {
    expect(draftOf(form({ scopeId: 'agent_1', tags: 'a', redirectTo: 'agent_2' })).draft).toMatchObject({
      scope_id: null,
      rule: { action: 'deny', conditions: {} },
    });
    expect(draftOf(form({})).draft.rule).not.toHaveProperty('tags');
  });

  it.each([
    [{ name: ' ' }, 'name'],
    [{ scope: 'agent' }, 'scopeId'],
    [{ action: 'tag' }, 'tags'],
    [{ action: 'redirect' }, 'redirectTo'],
    [{ body: '{' }, 'body'],
    [{ time: 'monday' }, 'time'],
    [{ rateMax: '3' }, 'rate'],
    [{ priority: '-1' }, 'priority'],
  ] as [Partial<Form>, string][])('finds fault with %j', (more, field) => {
    expect(Object.keys(draftOf(form(more)).problems)).toEqual([field]);
  });
});

it('knows what needs a licence', () => {
  expect(isAdvanced(draftOf(form({})).draft)).toBe(false);
  expect(isAdvanced(draftOf(form({ action: 'tag', tags: 'a' })).draft)).toBe(true);
  expect(isAdvanced(draftOf(form({ body: '[]' })).draft)).toBe(true);
});

it('names what changed between versions', () => {
  expect(changedFields({ ...policy, priority: 8, rule: { action: 'allow' } }, policy)).toEqual([
    'action',
    'conditions',
    'priority',
  ]);
});
