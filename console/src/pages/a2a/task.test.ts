import { expect, it } from 'vitest';
import { artifactsOf, historyOf, stateOf, updateOf } from './task';

it('reads history and artifacts', () => {
  const task = {
    history: [
      {
        messageId: 'm-1',
        role: 'ROLE_USER',
        parts: [{ text: 'Hello' }, { text: 'there' }, { data: { a: 1 } }],
      },
      { messageId: 'm-2', role: 'ROLE_AGENT', parts: [] },
    ],
    artifacts: [{ artifactId: 'report', parts: [{ text: 'All is well.' }] }],
  };
  expect(historyOf(task)).toEqual([
    { id: 'm-1', fromClient: true, text: 'Hello\nthere', other: [{ data: { a: 1 } }] },
    { id: 'm-2', fromClient: false, text: '', other: [] },
  ]);
  expect(artifactsOf(task)).toEqual([{ id: 'report', name: 'report', text: 'All is well.', other: [] }]);
});

it('reads updates', () => {
  expect(
    updateOf({
      statusUpdate: {
        status: { state: 'TASK_STATE_INPUT_REQUIRED', message: { parts: [{ text: 'Which?' }] } },
      },
    }),
  ).toEqual({ kind: 'status', state: 'input-required', says: 'Which?' });
  expect(
    updateOf({ artifactUpdate: { append: true, artifact: { artifactId: 'a', parts: [{ text: 'x' }] } } }),
  ).toEqual({ kind: 'artifact', id: 'a', append: true, text: 'x' });
});

it('stumbles over nothing', () => {
  for (const odd of [null, 7, 'text', [], { history: 'no' }, { history: [null, 3] }]) {
    expect(() => [historyOf(odd), artifactsOf(odd), updateOf(odd)]).not.toThrow();
  }
  expect(stateOf('')).toBe('');
});
