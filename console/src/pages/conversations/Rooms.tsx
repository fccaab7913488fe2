// Rooms: who is in them, and the way to read and write there.
import { Link } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Room } from '../../api/types';
import { AgentLink } from '../../links/links';
import { text } from '../../text';
import { type Column, DataTable } from '../../ui/DataTable';
import { PageHead } from '../../ui/Page';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { ComposeButton } from './Compose';

const t = text.rooms;
const MEMBERS_SHOWN = 6;

const columns: Column<Room>[] = [
  {
    id: 'name',
    header: t.columns.name,
    width: '26%',
    cell: (room) => (
      <Link to="/conversations/$id" params={{ id: room.id }} className="strong" title={room.id}>
        {room.name}
      </Link>
    ),
  },
  {
    id: 'members',
    header: t.columns.members,
    cell: (room) => (
      <span className="row" style={{ gap: 10 }}>
        {room.members.slice(0, MEMBERS_SHOWN).map((agent) => (
          <AgentLink key={agent} id={agent} />
        ))}
        {room.members.length > MEMBERS_SHOWN && (
          <span className="faint">{text.conversations.more(room.members.length - MEMBERS_SHOWN)}</span>
        )}
      </span>
    ),
  },
  {
    id: 'since',
    header: t.columns.since,
    width: '120px',
    when: 'low',
    cell: (room) => <Time at={room.created_at} />,
  },
  {
    id: 'actions',
    header: t.columns.actions,
    width: '120px',
    right: true,
    cell: (room) => <ComposeButton conversation={room.id} room={room.id} label={t.write} />,
  },
];

export function RoomsPage() {
  const list = useList({
    key: ['rooms'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/rooms', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.rooms,
  });
  return (
    <>
      <PageHead title={t.title} about={t.about} />
      <DataTable
        label={t.title}
        columns={columns}
        list={list}
        idOf={(room) => room.id}
        empty={
          <Empty title={t.none}>
            <p>{t.noneAbout}</p>
          </Empty>
        }
      />
    </>
  );
}
