// Operators' signing keys: which are trusted, through whom, and revocation.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { components } from '../../api/schema';
import { useList } from '../../api/lists';
import { AgentLink, OperatorName } from '../../links/links';
import { useMay, useMe } from '../../session/session';
import { text } from '../../text';
import { Badge, Tag } from '../../ui/Badge';
import { Id } from '../../ui/Copy';
import { type Column, DataTable } from '../../ui/DataTable';
import { ReasonDialog } from '../../ui/Dialog';
import { PageHead } from '../../ui/Page';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useToast } from '../../ui/Toast';
import { Words } from '../../ui/Words';

const t = text.keys;
type Key = components['schemas']['KeyView'];
type Revoked = components['schemas']['RevokedView'];

const revokedColumns: Column<Revoked>[] = [
  { id: 'key', header: t.revokedColumns.key, width: '190px', cell: (row) => <Id id={row.key_id} /> },
  {
    id: 'of',
    header: t.revokedColumns.of,
    cell: (row) =>
      row.owner_kind === 'agent' ? <AgentLink id={row.owner_id} /> : <OperatorName id={row.owner_id} />,
  },
  { id: 'reason', header: t.revokedColumns.reason, cell: (row) => row.reason },
  { id: 'by', header: t.revokedColumns.by, when: 'low', cell: (row) => <OperatorName id={row.revoked_by} /> },
  {
    id: 'when',
    header: t.revokedColumns.when,
    width: '130px',
    when: 'low',
    cell: (row) => <Time at={row.revoked_at} />,
  },
];

export function KeysPage() {
  const me = useMe();
  const may = useMay('operators');
  const [revoking, setRevoking] = useState<Key | null>(null);
  const client = useQueryClient();
  const toast = useToast();
  const list = useList({
    key: ['keys'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/keys', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.keys,
  });
  const revoked = useList({
    key: ['keys', 'revoked'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/keys/revoked', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.keys,
  });
  const columns: Column<Key>[] = [
    {
      id: 'name',
      header: t.columns.name,
      cell: (row) => (
        <span className="row">
          <span className="strong">{row.name}</span>
          {row.root && <Tag>{t.root}</Tag>}
        </span>
      ),
    },
    {
      id: 'state',
      header: t.columns.state,
      width: '130px',
      cell: (row) =>
        row.trusted ? <Badge tone="ok">{t.trusted}</Badge> : <Badge tone="warn">{t.notTrusted}</Badge>,
    },
    { id: 'key', header: t.columns.key, width: '180px', when: 'low', cell: (row) => <Id id={row.key_id} /> },
    { id: 'of', header: t.columns.of, cell: (row) => <OperatorName id={row.operator_id} /> },
    {
      id: 'endorsed',
      header: t.columns.endorsed,
      when: 'lowest',
      cell: (row) =>
        row.endorsements.length === 0 ? (
          <span className="faint">–</span>
        ) : (
          row.endorsements.map((one) => <Id key={one.endorsed_by_key_id} id={one.endorsed_by_key_id} />)
        ),
    },
    {
      id: 'since',
      header: t.columns.since,
      width: '120px',
      when: 'low',
      cell: (row) => <Time at={row.created_at} />,
    },
    {
      id: 'actions',
      header: t.columns.actions,
      width: '100px',
      right: true,
      cell: (row) =>
        (may || row.operator_id === me.operator_id) && (
          <button type="button" className="button small danger" onClick={() => setRevoking(row)}>
            {t.revoke}
          </button>
        ),
    },
  ];
  return (
    <>
      <PageHead title={t.title} about={<Words of={t.about} />} />
      <div className="stack wide">
        <DataTable
          label={t.title}
          columns={columns}
          list={list}
          idOf={(row) => row.key_id}
          empty={
            <Empty title={t.none}>
              <p>
                <Words of={t.noneAbout} />
              </p>
            </Empty>
          }
        />
        {revoked.rows.length > 0 && (
          <section className="stack">
            <h2>{t.revokedTitle}</h2>
            <DataTable
              label={t.revokedTitle}
              columns={revokedColumns}
              list={revoked}
              idOf={(row) => row.key_id}
              empty={<Empty title={t.noneRevoked} />}
            />
          </section>
        )}
      </div>
      {revoking && (
        <ReasonDialog
          title={t.revokeTitle}
          about={t.revokeAbout}
          submit={t.revoke}
          danger
          onClose={() => setRevoking(null)}
          onSubmit={async (reason) => {
            const done = await need(
              api.POST('/v1/operator/keys/{id}/revoke', {
                params: { path: { id: revoking.key_id } },
                body: { reason },
              }),
            );
            toast(t.revoked(done.no_longer_trusted.length));
            await client.invalidateQueries({ queryKey: ['keys'] });
          }}
        />
      )}
    </>
  );
}
