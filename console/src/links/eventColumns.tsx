// The columns in which events are shown on every page that lists them.
import { Link } from '@tanstack/react-router';
import type { Event } from '../api/types';
import { text } from '../text';
import type { Column } from '../ui/DataTable';
import { Time } from '../ui/Time';
import { EventBadge, whyOf } from './EventLine';
import { Actor, ConversationLink, ResourceLink } from './links';

const c = text.events.columns;

export const eventColumns: Column<Event>[] = [
  {
    id: 'when',
    header: c.when,
    width: '112px',
    cell: (event) => (
      <Link to="/events" search={{ selected: event.id }}>
        <Time at={event.created_at} as="clock" />
      </Link>
    ),
  },
  { id: 'event', header: c.event, width: '252px', cell: (event) => <EventBadge type={event.event_type} /> },
  {
    id: 'by',
    header: c.by,
    width: '15%',
    cell: (event) => <Actor kind={event.actor_kind} id={event.actor_id} />,
  },
  {
    id: 'about',
    header: c.about,
    width: '15%',
    when: 'low',
    cell: (event) => <ResourceLink kind={event.resource_kind} id={event.resource_id} />,
  },
  {
    id: 'detail',
    header: c.detail,
    when: 'low',
    cell: (event) => <span className="muted">{whyOf(event) ?? ''}</span>,
  },
  {
    id: 'conversation',
    header: c.conversation,
    width: '140px',
    when: 'lowest',
    cell: (event) =>
      event.conversation_id ? (
        <ConversationLink id={event.conversation_id} />
      ) : (
        <span className="faint">–</span>
      ),
  },
];
