// The audit log as a list: filters, a live tail, one event in full, export.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback, useMemo } from 'react';
import { api, need } from '../../api/client';
import { type ListState, useList } from '../../api/lists';
import type { Event } from '../../api/types';
import { EventBadge } from '../../links/EventLine';
import { ConversationName } from '../../links/ConversationName';
import { eventColumns } from '../../links/eventColumns';
import { Actor, ConversationLink, ResourceLink } from '../../links/links';
import { text } from '../../text';
import { Aside } from '../../ui/Aside';
import { Id, Json } from '../../ui/Copy';
import { DataTable } from '../../ui/DataTable';
import { FilterSelect } from '../../ui/Field';
import { formatNumber, formatUtc } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { Facts, PageHead } from '../../ui/Page';
import { RangeFields } from '../../ui/Range';
import { SearchField } from '../../ui/Search';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { downloadCsv } from './csv';
import { useTail } from './tail';

const route = getRouteApi('/app/events');
const t = text.events;

export function EventsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { selected, live, from, until, ...filter } = search;
  const tail = useTail(filter, live === true);
  const list = useList({
    // While the tail runs, what is below it stays as it was when it began.
    key: [live ? 'events-before-tail' : 'events', filter, from, until],
    staleTime: live ? Infinity : 5_000,
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/events', {
          params: { query: { ...filter, dateFrom: from, dateTo: until, cursor, limit: 100 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.events,
    totalOf: (page) => page.total,
  });
  const rows = useMemo(() => {
    if (!live || tail.events.length === 0) return list.rows;
    const known = new Set(list.rows.map((event) => event.id));
    return [...tail.events.filter((event) => !known.has(event.id)), ...list.rows];
  }, [live, tail.events, list.rows]);
  const shown: ListState<Event> = {
    ...list,
    rows,
    total: list.total === null ? null : list.total + rows.length - list.rows.length,
  };
  const set = useCallback(
    (change: Partial<typeof search>) =>
      void navigate({ search: (before) => ({ ...before, ...change }), replace: true, resetScroll: false }),
    [navigate],
  );
  const onSearch = useCallback((value: string) => set({ search: value || undefined }), [set]);
  const filtered = Object.values({ ...filter, from, until }).some((value) => value !== undefined);
  const family = filter.type?.split('.', 1)[0] ?? '';
  const types = Object.keys(t.labels).filter((type) => type.startsWith(`${family}.`));
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          <>
            <button
              type="button"
              className="button"
              disabled={rows.length === 0}
              title={t.exportAbout}
              onClick={() => downloadCsv(rows)}
            >
              <Icon name="download" size={14} />
              {t.exportCsv}
            </button>
            <Link to="/audit" className="button">
              <Icon name="audit" size={14} />
              {text.audit.title}
            </Link>
            <button
              type="button"
              className={live ? 'button primary' : 'button'}
              aria-pressed={live === true}
              title={t.tailAbout}
              onClick={() => set({ live: live ? undefined : true })}
            >
              <Icon name={live ? 'pause' : 'play'} size={14} />
              {live ? t.tailStop : t.tail}
            </button>
          </>
        }
      />
      <div className="filters">
        <SearchField label={t.filters.search} value={search.search ?? ''} onChange={onSearch} />
        <FilterSelect
          label={t.filters.type}
          value={family}
          choices={[
            { value: '', label: t.filters.anyType },
            ...Object.entries(t.families).map(([value, label]) => ({ value, label })),
          ]}
          onChange={(value) => set({ type: value || undefined })}
        />
        {family !== '' && types.length > 1 && (
          <FilterSelect
            label={t.columns.event}
            value={filter.type ?? family}
            choices={[
              { value: family, label: text.common.all },
              ...types.map((value) => ({ value, label: t.labels[value] ?? value })),
            ]}
            onChange={(value) => set({ type: value })}
          />
        )}
        <RangeFields from={from} until={until} onChange={set} />
        {filtered && (
          <Link to="/events" search={live ? { live } : {}} className="button quiet">
            {text.common.clearFilters}
          </Link>
        )}
      </div>
      {(filter.actor_id ?? filter.resource_id ?? filter.conversation_id) && (
        <div className="filters small">
          {filter.actor_id && (
            <span className="chip row">
              {t.columns.by}: <Actor kind="" id={filter.actor_id} />
            </span>
          )}
          {filter.resource_id && (
            <span className="chip row">
              {t.columns.about}: <ResourceLink kind="" id={filter.resource_id} />
            </span>
          )}
          {filter.conversation_id && (
            <span className="chip row">
              {t.columns.conversation}: <ConversationLink id={filter.conversation_id} />
            </span>
          )}
        </div>
      )}
      {live && (
        <p className="small muted" role="status" style={{ marginBottom: 8 }}>
          {tail.events.length === 0 ? t.tailWaiting : t.tailAbout}{' '}
          {tail.skipped > 0 && t.skipped(formatNumber(tail.skipped))}
        </p>
      )}
      <div className="split" data-open={selected !== undefined}>
        <DataTable
          label={t.title}
          columns={eventColumns}
          list={shown}
          idOf={(event) => event.id}
          openId={selected}
          onOpen={(event) => set({ selected: event.id })}
          empty={
            filtered ? (
              <Empty title={text.common.nothingMatches}>
                <Link to="/events" className="button">
                  {text.common.clearFilters}
                </Link>
              </Empty>
            ) : (
              <Empty title={t.none}>
                <p>{t.noneAbout}</p>
              </Empty>
            )
          }
        />
        {selected && (
          <EventAside
            id={selected}
            known={rows.find((event) => event.id === selected)}
            onClose={() => set({ selected: undefined })}
          />
        )}
      </div>
    </>
  );
}

function EventAside({ id, known, onClose }: { id: string; known: Event | undefined; onClose: () => void }) {
  const query = useQuery({
    queryKey: ['event', id],
    queryFn: async ({ signal }) =>
      (await need(api.GET('/v1/operator/events/{id}', { params: { path: { id } }, signal }))).event,
    // Events never change: one that the list has is not asked for.
    initialData: known,
    staleTime: Infinity,
  });
  return (
    <Aside title={t.detail} onClose={onClose}>
      <Loaded query={query}>
        {(event) => (
          <div className="stack">
            <div>
              <EventBadge type={event.event_type} />
            </div>
            <Facts
              of={[
                [
                  t.type,
                  <span key="y" className="mono small">
                    {event.event_type}
                  </span>,
                ],
                [
                  t.columns.when,
                  <span key="w">
                    <Time at={event.created_at} as="full" />
                    <span className="faint small" style={{ display: 'block' }}>
                      {formatUtc(event.created_at)}
                    </span>
                  </span>,
                ],
                [t.columns.by, <Actor key="b" kind={event.actor_kind} id={event.actor_id} />],
                [t.columns.about, <ResourceLink key="r" kind={event.resource_kind} id={event.resource_id} />],
                ...(event.conversation_id
                  ? [
                      [
                        t.columns.conversation,
                        <Link
                          key="c"
                          to="/conversations/$id"
                          params={{ id: event.conversation_id }}
                          search={{ item: event.id }}
                          className="break"
                        >
                          <ConversationName id={event.conversation_id} />
                        </Link>,
                      ] as [string, React.ReactNode],
                    ]
                  : []),
                [text.agents.facts.id, <Id key="i" id={event.id} />],
                ...(event.request_id
                  ? [[t.request, <Id key="q" id={event.request_id} />] as [string, React.ReactNode]]
                  : []),
              ]}
            />
            <Related event={event} />
            {event.payload !== null && event.payload !== undefined && (
              <>
                <h3>{t.payload}</h3>
                <Json value={event.payload} label={t.payload} />
              </>
            )}
          </div>
        )}
      </Loaded>
    </Aside>
  );
}

/** From one event to those that have something in common with it. */
function Related({ event }: { event: Event }) {
  return (
    <div className="row wrap">
      {event.actor_id && (
        <Link to="/events" search={{ actor_id: event.actor_id }} className="button small">
          {t.allBy}
        </Link>
      )}
      {event.resource_id !== '' && (
        <Link to="/events" search={{ resource_id: event.resource_id }} className="button small">
          {t.allAbout}
        </Link>
      )}
      {event.conversation_id && (
        <Link to="/events" search={{ conversation_id: event.conversation_id }} className="button small">
          {t.allIn}
        </Link>
      )}
    </div>
  );
}
