// All policies, in the order in which they are looked at.
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback, useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Policy } from '../../api/types';
import { AgentLink } from '../../links/links';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { type Column, DataTable } from '../../ui/DataTable';
import { Icon } from '../../ui/Icon';
import { PageHead } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { ActionBadge, Conditions, PolicyState } from './Conditions';
import { ImportDialog } from './Import';

const route = getRouteApi('/app/policies');
const t = text.policies;
const c = t.columns;

const columns: Column<Policy>[] = [
  { id: 'priority', header: c.priority, width: '84px', right: true, cell: (row) => row.priority },
  {
    id: 'name',
    header: c.name,
    width: '24%',
    cell: (row) => (
      <Link to="/policies/$id" params={{ id: row.id }} className="strong" title={row.name}>
        {row.name}
      </Link>
    ),
  },
  { id: 'state', header: c.state, width: '96px', cell: (row) => <PolicyState policy={row} /> },
  { id: 'action', header: c.action, width: '160px', cell: (row) => <ActionBadge action={row.rule.action} /> },
  { id: 'conditions', header: c.conditions, when: 'low', cell: (row) => <Conditions rule={row.rule} /> },
  {
    id: 'scope',
    header: c.scope,
    width: '128px',
    when: 'lowest',
    cell: (row) =>
      row.scope_kind === 'agent' ? <AgentLink id={row.scope_id} /> : <span className="muted">{t.fleet}</span>,
  },
  {
    id: 'updated',
    header: c.updated,
    width: '112px',
    when: 'low',
    cell: (row) => <Time at={row.updated_at} />,
  },
];

export function PoliciesPage() {
  const { search } = route.useSearch();
  const navigate = route.useNavigate();
  const may = useMay('policies');
  const [importing, setImporting] = useState(false);
  const list = useList({
    key: ['policies', search],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/policies', { params: { query: { search, cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.policies,
    totalOf: (page) => page.total,
  });
  const onSearch = useCallback(
    (value: string) => void navigate({ search: value ? { search: value } : {}, replace: true }),
    [navigate],
  );
  const create = may && (
    <Link to="/policies/$id" params={{ id: 'new' }} className="button primary">
      <Icon name="plus" />
      {t.new}
    </Link>
  );
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          <>
            <a className="button" href="/v1/operator/policies/export" download="policies.yaml">
              <Icon name="download" size={14} />
              {t.export}
            </a>
            {may && (
              <button type="button" className="button" onClick={() => setImporting(true)}>
                {t.import}
              </button>
            )}
            {create}
          </>
        }
      />
      <div className="filters">
        <SearchField label={t.search} value={search ?? ''} onChange={onSearch} />
      </div>
      <DataTable
        label={t.title}
        columns={columns}
        list={list}
        idOf={(row) => row.id}
        onOpen={(row) => void navigate({ to: '/policies/$id', params: { id: row.id } })}
        empty={
          search ? (
            <Empty title={text.common.nothingMatches}>
              <Link to="/policies" className="button">
                {text.common.clearFilters}
              </Link>
            </Empty>
          ) : (
            <Empty title={t.none}>
              <p>{t.noneAbout}</p>
              {create}
            </Empty>
          )
        }
      />
      {importing && <ImportDialog onClose={() => setImporting(false)} />}
    </>
  );
}
