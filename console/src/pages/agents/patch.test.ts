// @vitest-environment node
import { expect, it } from 'vitest';
import type { Agent } from '../../api/types';
import { replaced } from './patch';

const agent = (id: string, status: Agent['status']): Agent => ({
  id,
  status,
  fleet_id: 'flt_1',
  display_name: id,
  runtime: 'custom',
  capabilities: [],
  labels: [],
  created_at: '2026-01-31T12:00:00.000Z',
});

it('puts the agent that changed into its place, and leaves pages without it as they are', () => {
  const pages = [
    { rows: [agent('a', 'healthy'), agent('b', 'healthy')], last: null },
    { rows: [agent('c', 'healthy')], last: null },
  ];
  const after = replaced({ pages, pageParams: [] }, new Map([['b', agent('b', 'paused')]]));
  expect(after.pages[0]?.rows.map((one) => one.status)).toEqual(['healthy', 'paused']);
  expect(after.pages[1]).toBe(pages[1]);
});
