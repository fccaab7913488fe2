// Push notifications that were given up, and trying them again.
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { A2aPush } from '../../api/types';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { type Column, DataTable } from '../../ui/DataTable';
import { shortId } from '../../ui/format';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useErrorToast, useToast } from '../../ui/Toast';

const t = text.a2a.pushes;

export function Pushes() {
  const may = useMay('agents');
  const client = useQueryClient();
  const toast = useToast();
  const failed = useErrorToast();
  const list = useList({
    key: ['a2a-pushes'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/a2a/pushes', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.pushes,
  });
  const retry = (push: A2aPush) =>
    void need(
      api.POST('/v1/operator/a2a/pushes/{id}/{config_id}/retry', {
        params: { path: { id: push.task_id, config_id: push.config_id } },
      }),
    )
      .then(() => {
        toast(t.retried);
        return client.invalidateQueries({ queryKey: ['a2a-pushes'] });
      })
      .catch(failed);
  const columns: Column<A2aPush>[] = [
    {
      id: 'task',
      header: t.columns.task,
      width: '140px',
      cell: (row) => (
        <Link to="/a2a" search={{ selected: row.task_id }} className="mono small">
          {shortId(row.task_id)}
        </Link>
      ),
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
      id: 'error',
      header: t.columns.error,
      when: 'low',
      cell: (row) => <span title={row.last_error ?? undefined}>{row.last_error ?? '–'}</span>,
    },
    { id: 'tries', header: t.columns.tries, width: '70px', right: true, cell: (row) => row.attempts },
    {
      id: 'when',
      header: t.columns.when,
      width: '120px',
      when: 'low',
      cell: (row) => <Time at={row.gave_up_at} />,
    },
    ...(may
      ? [
          {
            id: 'actions',
            header: t.columns.actions,
            width: '110px',
            right: true,
            cell: (row: A2aPush) => (
              <button type="button" className="button small" onClick={() => retry(row)}>
                {t.retry}
              </button>
            ),
          },
        ]
      : []),
  ];
  return (
    <DataTable
      label={text.a2a.tabs['pushes'] ?? ''}
      columns={columns}
      list={list}
      idOf={(row) => `${row.task_id}/${row.config_id}`}
      empty={
        <Empty title={t.none}>
          <p>{t.noneAbout}</p>
        </Empty>
      }
    />
  );
}
