// The queue of decisions: one row a question, its payload beside it, decided by mouse or by key.
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback, useLayoutEffect, useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Approval } from '../../api/types';
import { AgentLink } from '../../links/links';
import { RiskBadge, StateBadge } from '../../links/status';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { APPROVAL_STATUSES, RISKS } from '../../url/searches';
import { type Column, DataTable } from '../../ui/DataTable';
import { FilterSelect } from '../../ui/Field';
import { readable } from '../../ui/format';
import { PageHead } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { ApprovalAside } from './ApprovalAside';
import { DecideDialog, type Decision } from './Decide';
import { NotifyButton } from './Notify';

const route = getRouteApi('/app/approvals');
const t = text.approvals;

export function ApprovalsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const may = useMay('approvals');
  const [deciding, setDeciding] = useState<{ approval: Approval; as: Decision } | null>(null);
  const status = search.status ?? 'pending';
  const list = useList({
    key: ['approvals', { ...search, selected: undefined }],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/approvals', {
          params: {
            query: {
              status: status === 'all' ? undefined : status,
              risk: search.risk,
              search: search.search,
              sortBy: search.sortBy,
              sortOrder: search.sortOrder,
              cursor,
              limit: 50,
            },
          },
          signal,
        }),
      ),
    rowsOf: (page) => page.approvals,
    totalOf: (page) => page.total,
  });
  const select = useCallback(
    (id: string | undefined) =>
      void navigate({ search: (before) => ({ ...before, selected: id }), replace: true, resetScroll: false }),
    [navigate],
  );
  const onSearch = useCallback(
    (value: string) =>
      void navigate({ search: (before) => ({ ...before, search: value || undefined }), replace: true }),
    [navigate],
  );

  const columns: Column<Approval>[] = [
    {
      id: 'summary',
      header: t.columns.summary,
      sortBy: 'summary',
      cell: (row) => (
        <Link
          to="/approvals"
          search={{ ...search, selected: row.id }}
          replace
          resetScroll={false}
          className="strong"
          title={row.summary}
        >
          {row.summary}
        </Link>
      ),
    },
    {
      id: 'agent',
      header: t.columns.agent,
      width: '15%',
      when: 'split',
      cell: (row) => <AgentLink id={row.agent_id} />,
    },
    {
      id: 'risk',
      header: t.columns.risk,
      sortBy: 'risk_level',
      width: '112px',
      cell: (row) => <RiskBadge risk={row.risk_level} />,
    },
    {
      id: 'status',
      header: t.columns.status,
      width: '116px',
      when: 'low',
      cell: (row) => <StateBadge state={row.status} label={t.statuses[row.status]} />,
    },
    {
      id: 'asked',
      header: t.columns.asked,
      sortBy: 'requested_at',
      width: '116px',
      cell: (row) => <Time at={row.requested_at} />,
    },
    {
      id: 'expires',
      header: t.columns.expires,
      width: '116px',
      when: 'low',
      cell: (row) => <Time at={row.status === 'pending' ? row.expires_at : null} />,
    },
  ];

  useKeys(
    list.rows,
    search.selected,
    select,
    (approval, as) => may && approval.status === 'pending' && setDeciding({ approval, as }),
  );
  const chosen = list.rows.find((row) => row.id === search.selected);
  const filtered = search.search !== undefined || search.risk !== undefined;
  return (
    <>
      <PageHead title={t.title} about={t.about} actions={<NotifyButton />} />
      <div className="filters">
        <SearchField label={t.search} value={search.search ?? ''} onChange={onSearch} />
        <FilterSelect
          label={t.status}
          value={status}
          choices={APPROVAL_STATUSES.map((value) => ({
            value,
            label: `${t.status}: ${(t.statuses[value] ?? value).toLowerCase()}`,
          }))}
          onChange={(value) =>
            void navigate({
              search: (before) => ({
                ...before,
                status: value === 'pending' ? undefined : APPROVAL_STATUSES.find((one) => one === value),
                selected: undefined,
              }),
              replace: true,
            })
          }
        />
        <FilterSelect
          label={t.risk}
          value={search.risk ?? ''}
          choices={[
            { value: '', label: `${t.risk}: ${text.common.any.toLowerCase()}` },
            ...RISKS.map((value) => ({ value, label: readable(value) })),
          ]}
          onChange={(value) =>
            void navigate({
              search: (before) => ({ ...before, risk: RISKS.find((one) => one === value) }),
              replace: true,
            })
          }
        />
        <span className="small faint wide-only" style={{ alignSelf: 'center' }}>
          {t.keys}
        </span>
      </div>
      <div className="split" data-open={search.selected !== undefined}>
        <DataTable
          label={t.title}
          columns={columns}
          list={list}
          idOf={(row) => row.id}
          openId={search.selected}
          onOpen={(row) => select(row.id)}
          sorting={{
            by: search.sortBy ?? 'requested_at',
            order: search.sortOrder ?? (search.sortBy === 'summary' ? 'asc' : 'desc'),
            onSort: (by, order) =>
              void navigate({
                search: (before) => ({ ...before, sortBy: by as typeof search.sortBy, sortOrder: order }),
                replace: true,
              }),
          }}
          empty={
            filtered || status !== 'pending' ? (
              <Empty title={t.noneOther}>
                <Link to="/approvals" className="button">
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
          <ApprovalAside
            id={search.selected}
            known={chosen}
            onClose={() => select(undefined)}
            onDecide={may ? (approval, as) => setDeciding({ approval, as }) : undefined}
          />
        )}
      </div>
      {deciding && <DecideDialog {...deciding} onClose={() => setDeciding(null)} />}
    </>
  );
}

/** ↑ ↓ or K J choose, A approves, R rejects, Escape closes; not while somebody types. */
function useKeys(
  rows: Approval[],
  selected: string | undefined,
  select: (id: string | undefined) => void,
  decide: (approval: Approval, as: Decision) => void,
) {
  // Before the rows are drawn, not some time after: a key is meant for what is seen.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target;
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
      if (target instanceof HTMLElement && /^(input|textarea|select)$/i.test(target.tagName)) return;
      const at = rows.findIndex((row) => row.id === selected);
      const current = rows[at];
      const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
      if (step !== undefined) {
        const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + step))];
        if (!next) return;
        event.preventDefault();
        select(next.id);
      } else if (event.key === 'Escape' && selected) {
        select(undefined);
      } else if (current && (event.key === 'a' || event.key === 'r')) {
        event.preventDefault();
        decide(current, event.key === 'a' ? 'approve' : 'reject');
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
}
