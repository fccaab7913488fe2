// Writing as an operator: to an agent, or into a room.
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { AgentPicker } from '../../links/AgentPicker';
import { useRoomName } from '../../links/names';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { FormDialog } from '../../ui/Dialog';
import { SelectField, TextArea, TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';

const t = text.compose;
const TYPES = ['direct', 'alert', 'handoff', 'claim', 'complete'] as const;
const PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const;

interface Props {
  conversation?: string | undefined;
  room?: string | undefined;
  agent?: string | undefined;
  primary?: boolean;
  label?: string;
}

export function ComposeButton({ primary, label, ...rest }: Props) {
  const [open, setOpen] = useState(false);
  if (!useMay('messages')) return null;
  return (
    <>
      <button
        type="button"
        className={primary ? 'button primary' : 'button small'}
        onClick={() => setOpen(true)}
      >
        <Icon name="send" size={14} />
        {label ?? text.conversations.send}
      </button>
      {open && <ComposeDialog {...rest} onClose={() => setOpen(false)} />}
    </>
  );
}

function ComposeDialog({
  conversation,
  room,
  agent,
  onClose,
}: Omit<Props, 'primary'> & { onClose: () => void }) {
  const client = useQueryClient();
  const roomName = useRoomName(room);
  const navigate = useNavigate();
  const [to, setTo] = useState(agent ?? '');
  const [words, setWords] = useState('');
  const [type, setType] = useState<(typeof TYPES)[number]>('direct');
  const [priority, setPriority] = useState<(typeof PRIORITIES)[number]>('normal');
  const [thread, setThread] = useState(conversation ?? '');
  // One dialog is one message, however often its sending has to be tried.
  const [key] = useState(() => crypto.randomUUID?.() ?? String(Math.random()).slice(2));
  const send = async () => {
    const sent = await need(
      api.POST('/v1/operator/messages', {
        params: { header: { 'Idempotency-Key': key } },
        body: {
          text: words,
          message_type: type,
          priority,
          ...(room
            ? { room_id: room }
            : { recipient_agent_id: to, ...(thread.trim() ? { conversation_id: thread.trim() } : {}) }),
        },
      }),
    );
    await Promise.all(
      ['conversation', 'conversations'].map((name) => client.invalidateQueries({ queryKey: [name] })),
    );
    if (!conversation) void navigate({ to: '/conversations/$id', params: { id: sent.conversation_id } });
  };
  return (
    <FormDialog
      title={room ? t.titleRoom(roomName ?? null) : t.title}
      submit={t.send}
      done={t.sent}
      wide
      onClose={onClose}
      onSubmit={send}
      disabled={words.trim() === '' || (!room && to === '')}
    >
      <div className="form-grid">
        {!room && <AgentPicker label={t.to} value={to} onChange={setTo} required />}
        <SelectField
          label={t.type}
          value={type}
          onChange={(event) => setType(TYPES.find((one) => one === event.target.value) ?? 'direct')}
          choices={TYPES.map((value) => ({ value, label: value }))}
        />
        <SelectField
          label={t.priority}
          value={priority}
          onChange={(event) => setPriority(PRIORITIES.find((one) => one === event.target.value) ?? 'normal')}
          choices={PRIORITIES.map((value) => ({ value, label: value }))}
        />
        <TextArea
          label={t.text}
          hint={t.textHint}
          value={words}
          maxLength={8_000}
          rows={4}
          required
          onChange={(event) => setWords(event.target.value)}
        />
        {!room && (
          <TextField
            label={t.conversation}
            hint={t.conversationHint}
            value={thread}
            maxLength={255}
            wide
            onChange={(event) => setThread(event.target.value)}
          />
        )}
      </div>
    </FormDialog>
  );
}
