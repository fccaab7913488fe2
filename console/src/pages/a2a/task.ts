// Tasks as the A2A specification writes them (1.0, section 4), read with care: what an agent or a
// client put in is theirs, so nothing is taken for granted.

export interface TaskMessage {
  id: string;
  fromClient: boolean;
  text: string;
  other: unknown[];
}

export interface Artifact {
  id: string;
  name: string;
  text: string;
  other: unknown[];
}

export type Update =
  | { kind: 'status'; state: string; says: string }
  | { kind: 'artifact'; id: string; append: boolean; text: string }
  | { kind: 'other'; value: unknown };

type Shape = Record<string, unknown>;
const shape = (value: unknown): Shape =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Shape) : {};
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const word = (value: unknown): string => (typeof value === 'string' ? value : '');

function partsOf(value: unknown): { text: string; other: unknown[] } {
  const parts = list(value);
  const texts = parts.flatMap((part) =>
    typeof shape(part)['text'] === 'string' ? [word(shape(part)['text'])] : [],
  );
  return { text: texts.join('\n'), other: parts.filter((part) => typeof shape(part)['text'] !== 'string') };
}

/** `TASK_STATE_INPUT_REQUIRED` is `input-required` everywhere else. */
export function stateOf(name: string): string {
  return name
    .replace(/^TASK_STATE_/, '')
    .toLowerCase()
    .replaceAll('_', '-');
}

export function historyOf(task: unknown): TaskMessage[] {
  return list(shape(task)['history']).map((one) => {
    const message = shape(one);
    return {
      id: word(message['messageId']),
      fromClient: word(message['role']) !== 'ROLE_AGENT',
      ...partsOf(message['parts']),
    };
  });
}

export function artifactsOf(task: unknown): Artifact[] {
  return list(shape(task)['artifacts']).map((one) => {
    const artifact = shape(one);
    const id = word(artifact['artifactId']);
    return { id, name: word(artifact['name']) || id, ...partsOf(artifact['parts']) };
  });
}

export function updateOf(value: unknown): Update {
  const update = shape(value);
  if ('statusUpdate' in update) {
    const status = shape(shape(update['statusUpdate'])['status']);
    return {
      kind: 'status',
      state: stateOf(word(status['state'])),
      says: partsOf(shape(status['message'])['parts']).text,
    };
  }
  if ('artifactUpdate' in update) {
    const of = shape(update['artifactUpdate']);
    const artifact = shape(of['artifact']);
    return {
      kind: 'artifact',
      id: word(artifact['artifactId']),
      append: of['append'] === true,
      text: partsOf(artifact['parts']).text,
    };
  }
  return { kind: 'other', value };
}
