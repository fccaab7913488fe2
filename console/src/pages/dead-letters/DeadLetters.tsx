// What was given up: grouped by reason, looked at one by one, sent again or thrown away.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback, useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { DeadLetter } from '../../api/types';
import { AgentLink, ConversationLink } from '../../links/links';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { type Column, DataTable } from '../../ui/DataTable';
import { formatNumber } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { PageHead, Panel } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { LetterAside } from './LetterAside';
import { LettersDialog, type What } from './LettersDialog';

const route = getRouteApi('/app/dead-letters');
const t = text.deadLetters;

export function DeadLettersPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const may = useMay('messages');
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const [doing, setDoing] = useState<What | null>(null);
  const filter = {
    reason: search.reason,
    recipient_agent_id: search.recipient_agent_id,
    sender_agent_id: search.sender_agent_id,
    search: search.search,
    dateFrom: search.from,
    dateTo: search.until,
  };
  const list = useList({
    key: ['dead-letters', filter, search.sortOrder],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/dead-letters', {
          params: { query: { ...filter, sortOrder: search.sortOrder, cursor, limit: 100 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.dead_letters,
    totalOf: (page) => page.total,
  });
  const select = (id: string | undefined) =>
    void navigate({ search: (before) => ({ ...before, selected: id }), replace: true, resetScroll: false });
  const onSearch = useCallback(
    (value: string) =>
      void navigate({ search: (before) => ({ ...before, search: value || undefined }), replace: true }),
    [navigate],
  );
  const filtered = Object.values(filter).some((value) => value !== undefined);
  const exportQuery = new URLSearchParams(
    Object.entries(filter).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );

  const columns: Column<DeadLetter>[] = [
    {
      id: 'when',
      header: t.columns.when,
      sortBy: 'dead_lettered_at',
      width: '124px',
      cell: (row) => (
        <Link to="/dead-letters" search={{ ...search, selected: row.id }} replace resetScroll={false}>
          <Time at={row.dead_lettered_at} />
        </Link>
      ),
    },
    {
      id: 'reason',
      header: t.columns.reason,
      cell: (row) => <span title={row.failure_reason}>{row.failure_reason}</span>,
    },
    {
      id: 'to',
      header: t.columns.to,
      width: '14%',
      cell: (row) => <AgentLink id={row.recipient_agent_id} />,
    },
    {
      id: 'from',
      header: t.columns.from,
      width: '14%',
      when: 'low',
      cell: (row) => <AgentLink id={row.sender_agent_id.startsWith('agent_') ? row.sender_agent_id : null} />,
    },
    { id: 'type', header: t.columns.type, width: '96px', when: 'low', cell: (row) => row.message_type },
    {
      id: 'tries',
      header: t.columns.tries,
      width: '64px',
      right: true,
      when: 'low',
      cell: (row) => row.retry_count,
    },
    {
      id: 'conversation',
      header: t.columns.conversation,
      width: '14%',
      when: 'lowest',
      cell: (row) => <ConversationLink id={row.conversation_id} />,
    },
  ];

  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          <>
            <a
              className="button"
              href={`/v1/operator/dead-letters/export?${exportQuery.toString()}`}
              download="dead-letters.jsonl"
            >
              <Icon name="download" size={14} />
              {t.exportJson}
            </a>
            {may && list.rows.length > 0 && (
              <button
                type="button"
                className="button"
                onClick={() => setDoing({ do: 'redrive', which: filter, count: null })}
              >
                {filtered ? t.redriveMatching : t.redriveAll}
              </button>
            )}
            {may && list.rows.length > 0 && (
              <button
                type="button"
                className="button danger"
                onClick={() => setDoing({ do: 'purge', which: filter, count: null })}
              >
                {filtered ? t.purgeMatching : t.purgeAll}
              </button>
            )}
          </>
        }
      />
      <Reasons reason={search.reason} />
      <div className="filters">
        <SearchField label={t.search} value={search.search ?? ''} onChange={onSearch} />
        {search.recipient_agent_id && <FilterChip name={t.columns.to} id={search.recipient_agent_id} />}
        {search.sender_agent_id && <FilterChip name={t.columns.from} id={search.sender_agent_id} />}
        {filtered && (
          <Link to="/dead-letters" className="button quiet">
            {text.common.clearFilters}
          </Link>
        )}
      </div>
      {may && ids.size > 0 && (
        <div className="table-bar" role="region" aria-label={t.selected(ids.size)}>
          <span className="strong">{t.selected(ids.size)}</span>
          <button
            type="button"
            className="button small primary"
            onClick={() => setDoing({ do: 'redrive', which: [...ids], count: ids.size })}
          >
            {t.redrive}
          </button>
          <button
            type="button"
            className="button small danger"
            onClick={() => setDoing({ do: 'purge', which: [...ids], count: ids.size })}
          >
            {t.purge}
          </button>
          <button type="button" className="button small quiet" onClick={() => setIds(new Set())}>
            {t.clear}
          </button>
        </div>
      )}
      <div className="split" data-open={search.selected !== undefined}>
        <DataTable
          label={t.title}
          columns={columns}
          list={list}
          idOf={(row) => row.id}
          openId={search.selected}
          onOpen={(row) => select(row.id)}
          {...(may ? { selection: { ids, onChange: setIds } } : {})}
          sorting={{
            by: 'dead_lettered_at',
            order: search.sortOrder ?? 'desc',
            onSort: (_, order) =>
              void navigate({ search: (before) => ({ ...before, sortOrder: order }), replace: true }),
          }}
          empty={
            filtered ? (
              <Empty title={text.common.nothingMatches}>
                <Link to="/dead-letters" className="button">
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
        {search.selected && (
          <LetterAside
            id={search.selected}
            onClose={() => select(undefined)}
            onDo={
              may ? (what) => setDoing({ do: what, which: [search.selected ?? ''], count: 1 }) : undefined
            }
          />
        )}
      </div>
      {doing && (
        <LettersDialog
          what={doing}
          onClose={() => setDoing(null)}
          onDone={() => {
            setIds(new Set());
            select(undefined);
          }}
        />
      )}
    </>
  );
}

function FilterChip({ name, id }: { name: string; id: string }) {
  return (
    <span className="chip row">
      {name}: <AgentLink id={id} />
    </span>
  );
}

/** The reasons and how often each; choosing one filters the list. */
function Reasons({ reason }: { reason: string | undefined }) {
  const reasons = useQuery({
    queryKey: ['dead-letters', 'reasons'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/dead-letters/reasons', { signal })),
  });
  const all = reasons.data?.reasons ?? [];
  if (all.length === 0) return null;
  const most = Math.max(...all.map((one) => one.count));
  const about =
    reasons.data && !reasons.data.complete ? t.reasonsAbout(formatNumber(reasons.data.looked_at)) : undefined;
  return (
    <Panel title={t.reasons} about={about} flush className="reasons">
      <ul className="plain-rows">
        {all.slice(0, 8).map((one) => {
          const chosen = reason === one.failure_reason;
          return (
            <li key={one.failure_reason} className="reason-row">
              <Link
                to="/dead-letters"
                search={chosen ? {} : { reason: one.failure_reason }}
                replace
                aria-current={chosen ? 'true' : undefined}
                className="cut"
                title={one.failure_reason}
              >
                {one.failure_reason}
              </Link>
              <span className="meter bad" aria-hidden="true">
                <span style={{ width: `${(one.count / most) * 100}%` }} />
              </span>
              <span className="num strong">{formatNumber(one.count)}</span>
              <span className="faint small reason-when">
                <Time at={one.newest_at} />
              </span>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}
