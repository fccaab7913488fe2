// What waits for an agent, and what it sent and received.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Agent, AgentMessage, MessageHead } from '../../api/types';
import { AgentPicker } from '../../links/AgentPicker';
import { Actor, AgentLink, ConversationLink, Recipient } from '../../links/links';
import { whenColumn } from '../../links/messageColumns';
import { StateBadge } from '../../links/status';
import { useLiveTypes } from '../../live/live';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { DIRECTIONS } from '../../url/searches';
import { Badge } from '../../ui/Badge';
import { type Column, DataTable } from '../../ui/DataTable';
import { ReasonDialog } from '../../ui/Dialog';
import { Segments } from '../../ui/Field';
import { Panel } from '../../ui/Page';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useToast } from '../../ui/Toast';

const t = text.agents;
const c = t.recent.columns;

type Waiting = MessageHead & { attempts: number; last_failure_reason?: string | null };

const waitingColumns: Column<Waiting>[] = [
  whenColumn(c.when),
  {
    id: 'from',
    header: text.common.from,
    cell: (row) => <AgentLink id={row.sender_kind === 'agent' ? row.sender_id : null} />,
  },
  { id: 'type', header: c.type, width: '90px', cell: (row) => row.message_type },
  { id: 'attempts', header: c.attempts, width: '84px', right: true, cell: (row) => row.attempts },
  {
    id: 'deadline',
    header: c.deadline,
    width: '110px',
    when: 'low',
    cell: (row) => <Time at={row.deadline_at} />,
  },
];

export function Inbox({ agent }: { agent: Agent }) {
  useLiveTypes('message.queued,message.delivered');
  const list = useList({
    key: ['inbox', agent.id],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/agents/{id}/inbox', {
          params: { path: { id: agent.id }, query: { cursor, limit: 50 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.messages,
    totalOf: (page) => page.total,
  });
  return (
    <Panel title={t.inbox.title} flush actions={list.rows.length > 0 && <RedirectButton agent={agent} />}>
      <DataTable
        label={t.inbox.title}
        columns={waitingColumns}
        list={list}
        idOf={(row) => row.id}
        empty={
          <Empty title={t.inbox.none} compact>
            <p>{t.inbox.noneAbout}</p>
          </Empty>
        }
      />
    </Panel>
  );
}

function RedirectButton({ agent }: { agent: Agent }) {
  const [open, setOpen] = useState(false);
  const [to, setTo] = useState('');
  const client = useQueryClient();
  const toast = useToast();
  if (!useMay('messages')) return null;
  return (
    <>
      <button type="button" className="button small" onClick={() => setOpen(true)}>
        {t.inbox.redirect}
      </button>
      {open && (
        <ReasonDialog
          title={t.inbox.redirectTitle}
          about={t.inbox.redirectAbout}
          submit={t.inbox.redirect}
          onClose={() => setOpen(false)}
          onSubmit={async (reason) => {
            const done = await need(
              api.POST('/v1/operator/agents/{id}/redirect', {
                params: { path: { id: agent.id } },
                body: { to_agent_id: to, reason },
              }),
            );
            toast(t.inbox.redirected(done.redirected));
            await client.invalidateQueries({ queryKey: ['inbox'] });
          }}
        >
          <AgentPicker label={t.inbox.redirectTo} value={to} onChange={setTo} except={agent.id} required />
        </ReasonDialog>
      )}
    </>
  );
}

/** One that was sent on and came back stands at both places of the log; one sent to itself went both ways. */
const rowOf = (row: AgentMessage): string => `${row.direction} ${row.id}`;

/** All messages of an agent, page by page as one comes to them. */
export function AgentMessages({
  agent,
  direction,
  onDirection,
}: {
  agent: Agent;
  direction: 'sent' | 'received' | undefined;
  onDirection: (direction: 'sent' | 'received' | undefined) => void;
}) {
  useLiveTypes('message');
  const list = useList({
    key: ['messages', 'of', agent.id, direction],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/messages', {
          params: { query: { agent_id: agent.id, direction, cursor, limit: 50 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.messages,
    sameBy: rowOf,
  });
  return (
    <Panel
      title={t.recent.title}
      flush
      actions={
        <Segments
          label={c.direction}
          value={direction ?? 'all'}
          choices={(['all', ...DIRECTIONS] as const).map((value) => ({ value, label: t.recent[value] }))}
          onChange={(value) => onDirection(value === 'all' ? undefined : value)}
        />
      }
    >
      <DataTable
        label={t.recent.title}
        columns={messageColumns}
        list={list}
        idOf={rowOf}
        empty={
          <Empty title={t.recent.none} compact>
            <p>{t.recent.noneAbout}</p>
          </Empty>
        }
      />
    </Panel>
  );
}

const messageColumns: Column<AgentMessage>[] = [
  whenColumn(c.when),
  {
    id: 'direction',
    header: c.direction,
    width: '110px',
    cell: (row) => <Badge tone={row.direction === 'sent' ? 'info' : 'idle'}>{t.recent[row.direction]}</Badge>,
  },
  {
    id: 'with',
    header: c.with,
    cell: (row) =>
      row.direction === 'sent' ? (
        <Recipient kind={row.recipient_kind} id={row.recipient_id} />
      ) : (
        <Actor kind={row.sender_kind} id={row.sender_id} />
      ),
  },
  { id: 'delivery', header: c.delivery, width: '160px', cell: (row) => <Outcome message={row} /> },
  { id: 'type', header: c.type, width: '100px', when: 'low', cell: (row) => row.message_type },
  { id: 'priority', header: c.priority, width: '90px', when: 'lowest', cell: (row) => row.priority },
  {
    id: 'conversation',
    header: c.conversation,
    when: 'low',
    cell: (row) => <ConversationLink id={row.conversation_id} />,
  },
];

/** What became of it: for this agent where it was the recipient, else of all that it was sent to. */
function Outcome({ message }: { message: AgentMessage }) {
  if (message.status) return <StateBadge state={message.status} />;
  const { delivery_count: all, open_deliveries: open } = message;
  return <span className="muted">{open > 0 ? t.recent.openOf(open, all) : t.recent.ended(all)}</span>;
}
