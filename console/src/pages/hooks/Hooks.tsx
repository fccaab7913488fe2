// Hooks: who is asked, how they fare, and changing them.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Hook } from '../../api/types';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Aside } from '../../ui/Aside';
import { Badge } from '../../ui/Badge';
import { CopyBox } from '../../ui/Copy';
import { type Column, DataTable } from '../../ui/DataTable';
import { ConfirmDialog, Dialog } from '../../ui/Dialog';
import { formatDuration, formatNumber } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { Facts, PageHead } from '../../ui/Page';
import { Empty, ErrorBox, Loaded, Notice } from '../../ui/State';
import { Time } from '../../ui/Time';
import { HookDialog } from './HookDialog';

const route = getRouteApi('/app/hooks');
const t = text.hooks;

export function HooksPage() {
  const { selected } = route.useSearch();
  const navigate = route.useNavigate();
  const may = useMay('hooks');
  const [editing, setEditing] = useState<Hook | 'new' | null>(null);
  const [secret, setSecret] = useState<string | null>(null);
  const select = (id: string | undefined) =>
    void navigate({ search: id ? { selected: id } : {}, replace: true, resetScroll: false });
  const list = useList({
    key: ['hooks'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/hooks', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.hooks,
    totalOf: (page) => page.total,
  });
  const columns: Column<Hook>[] = [
    {
      id: 'priority',
      header: t.columns.priority,
      width: '84px',
      right: true,
      when: 'low',
      cell: (row) => row.priority,
    },
    {
      id: 'name',
      header: t.columns.name,
      width: '20%',
      cell: (row) => (
        <Link to="/hooks" search={{ selected: row.id }} replace resetScroll={false} className="strong">
          {row.name}
        </Link>
      ),
    },
    {
      id: 'state',
      header: t.columns.state,
      width: '80px',
      cell: (row) =>
        row.enabled ? <Badge tone="ok">{t.enabled}</Badge> : <Badge tone="idle">{t.disabled}</Badge>,
    },
    {
      id: 'url',
      header: t.columns.url,
      cell: (row) => (
        <span className="mono small" title={row.url}>
          {row.url}
        </span>
      ),
    },
    {
      id: 'events',
      header: t.columns.events,
      when: 'low',
      cell: (row) => row.events.map((event) => t.events[event] ?? event).join(', '),
    },
    {
      id: 'failure',
      header: t.columns.failure,
      width: '160px',
      when: 'lowest',
      cell: (row) => t.failures[row.on_failure],
    },
  ];
  const create = may && (
    <button type="button" className="button primary" onClick={() => setEditing('new')}>
      <Icon name="plus" />
      {t.new}
    </button>
  );
  return (
    <>
      <PageHead title={t.title} about={t.about} actions={create} />
      <div className="split" data-open={selected !== undefined}>
        <DataTable
          label={t.title}
          columns={columns}
          list={list}
          idOf={(row) => row.id}
          openId={selected}
          onOpen={(row) => select(row.id)}
          empty={
            <Empty title={t.none}>
              <p>{t.noneAbout}</p>
              {create}
            </Empty>
          }
        />
        {selected && (
          <HookAside
            key={selected}
            id={selected}
            onClose={() => select(undefined)}
            onEdit={setEditing}
            onSecret={setSecret}
          />
        )}
      </div>
      {editing && (
        <HookDialog
          hook={editing === 'new' ? null : editing}
          onClose={() => setEditing(null)}
          onSecret={(made) => {
            // One dialog in place of the other, never two.
            setEditing(null);
            setSecret(made);
          }}
        />
      )}
      {secret && (
        <Dialog title={t.secretTitle} onClose={() => setSecret(null)}>
          <div className="dialog-body">
            <p className="muted">{t.secretAbout}</p>
            <CopyBox value={secret} label={t.secret} />
          </div>
        </Dialog>
      )}
    </>
  );
}

function HookAside({
  id,
  onClose,
  onEdit,
  onSecret,
}: {
  id: string;
  onClose: () => void;
  onEdit: (hook: Hook) => void;
  onSecret: (secret: string) => void;
}) {
  const may = useMay('hooks');
  const client = useQueryClient();
  const [asking, setAsking] = useState<'rotate' | 'remove' | null>(null);
  const params = { path: { id } };
  const hook = useQuery({
    queryKey: ['hook', id],
    queryFn: async ({ signal }) => (await need(api.GET('/v1/operator/hooks/{id}', { params, signal }))).hook,
  });
  const trying = useMutation({
    mutationFn: () => need(api.POST('/v1/operator/hooks/{id}/test', { params })),
  });
  return (
    <Aside
      title={hook.data?.name ?? t.title}
      onClose={onClose}
      foot={
        may &&
        hook.data && (
          <>
            <button type="button" className="button danger" onClick={() => setAsking('remove')}>
              {t.remove}
            </button>
            <button type="button" className="button" onClick={() => setAsking('rotate')}>
              {t.rotate}
            </button>
            <button type="button" className="button primary" onClick={() => hook.data && onEdit(hook.data)}>
              {text.common.edit}
            </button>
          </>
        )
      }
    >
      <Loaded query={hook}>
        {(data) => (
          <div className="stack">
            <Facts
              of={[
                [
                  t.columns.state,
                  data.enabled ? (
                    <Badge key="s" tone="ok">
                      {t.enabled}
                    </Badge>
                  ) : (
                    <Badge key="s" tone="idle">
                      {t.disabled}
                    </Badge>
                  ),
                ],
                [
                  t.url,
                  <span key="u" className="mono small">
                    {data.url}
                  </span>,
                ],
                [t.columns.events, data.events.map((event) => t.events[event] ?? event).join(', ')],
                [t.columns.failure, t.failures[data.on_failure]],
                [t.timeout, formatDuration(data.timeout_ms)],
                [t.retry, formatDuration(data.retry_seconds * 1_000)],
                [text.policies.columns.updated, <Time key="t" at={data.updated_at} />],
              ]}
            />
            {may && (
              <div>
                <button
                  type="button"
                  className="button small"
                  disabled={trying.isPending}
                  onClick={() => trying.mutate()}
                >
                  {trying.isPending ? t.testing : t.test}
                </button>
              </div>
            )}
            <div role="status">
              {trying.data &&
                (trying.data.ok ? (
                  <Notice tone="ok">{t.testGood(trying.data.status ?? 200, trying.data.latency_ms)}</Notice>
                ) : (
                  <Notice tone="bad">
                    {t.testBad}
                    <span className="detail">{trying.data.error ?? `HTTP ${trying.data.status ?? ''}`}</span>
                  </Notice>
                ))}
              {trying.error && <ErrorBox error={trying.error} />}
            </div>
            <h3>{t.status}</h3>
            <Status id={id} />
          </div>
        )}
      </Loaded>
      {asking === 'rotate' && hook.data && (
        <ConfirmDialog
          title={t.rotateTitle(hook.data.name)}
          about={t.rotateAbout}
          submit={t.rotate}
          onClose={() => setAsking(null)}
          onSubmit={async () => {
            const made = await need(api.POST('/v1/operator/hooks/{id}/rotate-secret', { params, body: {} }));
            setAsking(null);
            onSecret(made.secret);
          }}
        />
      )}
      {asking === 'remove' && hook.data && (
        <ConfirmDialog
          title={t.removeTitle(hook.data.name)}
          about={t.removeAbout}
          submit={t.remove}
          danger
          done={t.removed}
          onClose={() => setAsking(null)}
          onSubmit={async () => {
            await need(api.DELETE('/v1/operator/hooks/{id}', { params }));
            await client.invalidateQueries({ queryKey: ['hooks'] });
            onClose();
          }}
        />
      )}
    </Aside>
  );
}

function Status({ id }: { id: string }) {
  const status = useQuery({
    queryKey: ['hook', id, 'status'],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/hooks/{id}/status', { params: { path: { id } }, signal })),
    refetchInterval: 5_000,
  });
  return (
    <Loaded query={status} lines={3}>
      {(data) => (
        <Facts
          of={[
            [t.facts.calls, formatNumber(data.calls)],
            [t.facts.failures, formatNumber(data.failures)],
            [t.facts.last, <Time key="l" at={data.last_call_at} />],
            ...(typeof data.last_latency_ms === 'number'
              ? [[t.facts.latency, formatDuration(data.last_latency_ms)] as [string, string]]
              : []),
            ...(data.last_error
              ? [
                  [
                    t.facts.error,
                    <span key="e">
                      {data.last_error} <Time at={data.last_error_at} />
                    </span>,
                  ] as [string, React.ReactNode],
                ]
              : []),
            ...Object.entries(data.breakers).map(([event, state]): [string, string] => [
              `${t.facts.breaker}: ${t.events[event] ?? event}`,
              t.breakers[state ?? ''] ?? String(state),
            ]),
            ...(typeof data.behind === 'number'
              ? [[t.facts.behind, t.eventsBehind(formatNumber(data.behind))] as [string, string]]
              : []),
            ...(data.retrying
              ? [
                  [t.facts.retrying, <Time key="r" at={data.retrying.next_attempt_at} />] as [
                    string,
                    React.ReactNode,
                  ],
                ]
              : []),
          ]}
        />
      )}
    </Loaded>
  );
}
