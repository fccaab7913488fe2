import { expect, it } from 'vitest';
import type { Event } from '../../api/types';
import { csvOf } from './csv';

it('quotes what needs it, and disarms formulas', () => {
  const event = {
    id: 'evt_1',
    created_at: 'T',
    event_type: '=cmd()',
    actor_kind: 'a,b',
    actor_id: null,
    resource_kind: '',
    resource_id: 'line\nbreak',
    conversation_id: '',
    request_id: null,
    payload: { reason: 'say "no"' },
  } as unknown as Event;
  expect(csvOf([event]).split('\r\n').slice(1).join('\n')).toBe(
    `evt_1,T,'=cmd(),"a,b",,,"line\nbreak",,,"{""reason"":""say \\""no\\""""}"\n`,
  );
});
