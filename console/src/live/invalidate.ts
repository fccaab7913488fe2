// Which answers an event makes old. The first part of a query's key names what it shows.
const BY_FAMILY: Record<string, string[]> = {
  agent: ['agents', 'agent', 'overview'],
  message: ['conversation', 'conversations', 'message', 'inbox', 'messages'],
  approval: ['approvals', 'approval', 'conversation', 'overview', 'message'],
  conversation: ['conversation'],
  dead_letter: ['dead-letters', 'overview'],
  policy: ['policies', 'policy'],
  operator: ['operators', 'sessions', 'totp', 'me'],
  session: ['sessions'],
  operator_key: ['keys'],
  enrollment_token: [],
  room: ['rooms'],
  node: ['cluster', 'join-tokens'],
  relay: ['cluster'],
  backup: ['backups'],
  settings: ['settings'],
  license: ['license', 'overview'],
  hook: ['hooks', 'hook'],
  fleet: ['fleets'],
  a2a_task: ['a2a-tasks', 'a2a-task'],
  a2a_client: ['a2a-clients'],
  a2a_token: ['a2a-clients'],
  a2a_remote: ['a2a-remotes'],
  a2a_push: ['a2a-pushes'],
  api_token: ['sessions'],
  join_token: ['join-tokens'],
};

/** Events of messages that also change the dead letters. */
const OF_LETTERS = new Set(['message.dead_lettered', 'message.redriven']);

export function outdatedBy(eventType: string): string[] {
  const family = eventType.split('.', 1)[0] ?? '';
  const keys = ['events', ...(BY_FAMILY[family] ?? [])];
  return OF_LETTERS.has(eventType) ? [...keys, 'dead-letters', 'overview'] : keys;
}
