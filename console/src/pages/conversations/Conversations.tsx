// All conversations, and messages found by their words.
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Conversation, Message } from '../../api/types';
import { ConversationName } from '../../links/ConversationName';
import { Actor, AgentLink, ConversationLink, Recipient } from '../../links/links';
import { whenColumn } from '../../links/messageColumns';
import { useLiveTypes } from '../../live/live';
import { text } from '../../text';
import { type Column, DataTable } from '../../ui/DataTable';
import { Segments } from '../../ui/Field';
import { formatNumber } from '../../ui/format';
import { PageHead } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { bodyLine } from './Body';
import { ComposeButton } from './Compose';

const route = getRouteApi('/app/conversations');
const t = text.conversations;
const c = t.columns;

const columns: Column<Conversation>[] = [
  {
    id: 'id',
    header: c.conversation,
    width: '30%',
    cell: (row) => (
      <Link to="/conversations/$id" params={{ id: row.id }} className="strong" title={row.id}>
        <ConversationName id={row.id} />
      </Link>
    ),
  },
  {
    id: 'participants',
    header: c.participants,
    cell: (row) => (
      <span className="row" style={{ gap: 10 }}>
        {row.participants.slice(0, 4).map((agent) => (
          <AgentLink key={agent} id={agent} />
        ))}
        {row.participants.length > 4 && <span className="faint">{t.more(row.participants.length - 4)}</span>}
      </span>
    ),
  },
  {
    id: 'messages',
    header: c.messages,
    width: '96px',
    right: true,
    cell: (row) => formatNumber(row.message_count),
  },
  {
    id: 'first',
    header: c.first,
    width: '120px',
    when: 'low',
    cell: (row) => <Time at={row.first_message_at} />,
  },
  { id: 'last', header: c.last, width: '120px', cell: (row) => <Time at={row.last_message_at} /> },
];

const messageColumns: Column<Message>[] = [
  whenColumn(c.when),
  {
    id: 'from',
    header: c.from,
    width: '14%',
    cell: (row) => <Actor kind={row.sender_kind} id={row.sender_id} />,
  },
  {
    id: 'to',
    header: c.to,
    width: '14%',
    when: 'low',
    cell: (row) => <Recipient kind={row.recipient_kind} id={row.recipient_id} />,
  },
  { id: 'says', header: c.says, cell: (row) => <span title={bodyLine(row.body)}>{bodyLine(row.body)}</span> },
  {
    id: 'conversation',
    header: c.conversation,
    width: '20%',
    when: 'low',
    cell: (row) => <ConversationLink id={row.conversation_id} />,
  },
];

export function ConversationsPage() {
  const { search, view } = route.useSearch();
  const navigate = route.useNavigate();
  const onSearch = useCallback(
    (value: string) =>
      void navigate({ search: (before) => ({ ...before, search: value || undefined }), replace: true }),
    [navigate],
  );
  return (
    <>
      <PageHead title={t.title} about={t.about} actions={<ComposeButton primary />} />
      <div className="filters">
        <SearchField label={t.search} value={search ?? ''} onChange={onSearch} />
        <Segments
          label={t.view}
          value={view ?? 'conversations'}
          onChange={(value) =>
            void navigate({
              search: (before) => ({
                ...before,
                view: value === 'messages' ? ('messages' as const) : undefined,
              }),
              replace: true,
            })
          }
          choices={[
            { value: 'conversations', label: t.viewConversations },
            { value: 'messages', label: t.viewMessages },
          ]}
        />
      </div>
      {view === 'messages' ? <FoundMessages words={search ?? ''} /> : <List words={search} />}
    </>
  );
}

function List({ words }: { words: string | undefined }) {
  const navigate = route.useNavigate();
  useLiveTypes('message.queued');
  const list = useList({
    key: ['conversations', words],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/conversations', {
          params: { query: { search: words, cursor, limit: 50 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.conversations,
  });
  return (
    <DataTable
      label={t.title}
      columns={columns}
      list={list}
      idOf={(row) => row.id}
      onOpen={(row) => void navigate({ to: '/conversations/$id', params: { id: row.id } })}
      empty={
        words ? (
          <Empty title={t.noneFound}>
            <p>{t.noneFoundAbout}</p>
            <Link to="/conversations" className="button">
              {text.common.clearFilters}
            </Link>
          </Empty>
        ) : (
          <Empty title={t.none}>
            <p>{t.noneAbout}</p>
            <ComposeButton primary />
          </Empty>
        )
      }
    />
  );
}

function FoundMessages({ words }: { words: string }) {
  const navigate = route.useNavigate();
  const list = useList({
    key: ['messages', 'search', words],
    enabled: words !== '',
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/search', { params: { query: { q: words, cursor, limit: 50 } }, signal })),
    rowsOf: (page) => page.messages,
  });
  if (words === '')
    return (
      <div className="table-box">
        <Empty title={t.typeWords}>
          <p>{t.noneFoundAbout}</p>
        </Empty>
      </div>
    );
  return (
    <DataTable
      label={t.viewMessages}
      columns={messageColumns}
      list={list}
      idOf={(row) => row.id}
      onOpen={(row) =>
        void navigate({
          to: '/conversations/$id',
          params: { id: row.conversation_id },
          search: { item: row.id },
        })
      }
      empty={
        <Empty title={t.noneFound}>
          <p>{t.noneFoundAbout}</p>
        </Empty>
      }
    />
  );
}
