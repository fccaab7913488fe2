// A2A agents elsewhere that the fleet knows as agents of its own.
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { A2aRemote } from '../../api/types';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { type Column, DataTable } from '../../ui/DataTable';
import { FormDialog } from '../../ui/Dialog';
import { TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.a2a.remotes;

export function Remotes() {
  const may = useMay('agents');
  const [editing, setEditing] = useState<A2aRemote | 'new' | null>(null);
  const list = useList({
    key: ['a2a-remotes'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/a2a/remotes', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.remotes,
  });
  const columns: Column<A2aRemote>[] = [
    {
      id: 'name',
      header: t.columns.name,
      width: '22%',
      cell: (row) => (
        <Link to="/agents/$id" params={{ id: row.id }} className="strong">
          {row.name}
        </Link>
      ),
    },
    {
      id: 'url',
      header: t.columns.url,
      cell: (row) => (
        <span className="mono small" title={row.card_url}>
          {row.card_url}
        </span>
      ),
    },
    {
      id: 'credentials',
      header: t.columns.credentials,
      width: '150px',
      when: 'low',
      cell: (row) =>
        row.revoked ? (
          <Badge tone="idle">{text.a2a.clients.revoked}</Badge>
        ) : row.has_credentials ? (
          `${row.scheme ?? ''} ${t.has.toLowerCase()}`
        ) : (
          <span className="faint">{t.hasNot}</span>
        ),
    },
    {
      id: 'since',
      header: t.columns.since,
      width: '120px',
      when: 'low',
      cell: (row) => <Time at={row.created_at} />,
    },
    ...(may
      ? [
          {
            id: 'actions',
            header: t.columns.actions,
            width: '100px',
            right: true,
            cell: (row: A2aRemote) =>
              row.revoked ? null : (
                <button type="button" className="button small" onClick={() => setEditing(row)}>
                  {t.change}
                </button>
              ),
          },
        ]
      : []),
  ];
  const create = may && (
    <button type="button" className="button primary" onClick={() => setEditing('new')}>
      <Icon name="plus" />
      {t.new}
    </button>
  );
  return (
    <div className="stack">
      {list.rows.length > 0 && <div>{create}</div>}
      <DataTable
        label={text.a2a.tabs['remotes'] ?? ''}
        columns={columns}
        list={list}
        idOf={(row) => row.id}
        empty={
          <Empty title={t.none}>
            <p>{t.noneAbout}</p>
            {create}
          </Empty>
        }
      />
      {editing && (
        <RemoteDialog remote={editing === 'new' ? null : editing} onClose={() => setEditing(null)} />
      )}
    </div>
  );
}

function RemoteDialog({ remote, onClose }: { remote: A2aRemote | null; onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState(remote?.name ?? '');
  const [url, setUrl] = useState(remote?.card_url ?? '');
  const [scheme, setScheme] = useState(remote?.scheme ?? '');
  const [credentials, setCredentials] = useState('');
  const body = {
    card_url: url.trim(),
    ...(scheme.trim() ? { scheme: scheme.trim() } : {}),
    ...(credentials ? { credentials } : {}),
  };
  return (
    <FormDialog
      title={remote ? t.changeTitle(remote.name) : t.newTitle}
      submit={remote ? text.common.save : t.new}
      done={remote ? t.saved : t.registered}
      onClose={onClose}
      onSubmit={async () => {
        if (remote)
          await need(api.PUT('/v1/operator/a2a/remotes/{id}', { params: { path: { id: remote.id } }, body }));
        else await need(api.POST('/v1/operator/a2a/remotes', { body: { name: name.trim(), ...body } }));
        await client.invalidateQueries({ queryKey: ['a2a-remotes'] });
      }}
    >
      {!remote && (
        <TextField
          label={t.name}
          value={name}
          required
          autoFocus
          maxLength={200}
          onChange={(event) => setName(event.target.value)}
        />
      )}
      <TextField
        label={t.url}
        type="url"
        value={url}
        required
        placeholder="https://agent.example.org/.well-known/agent-card.json"
        onChange={(event) => setUrl(event.target.value)}
      />
      <TextField
        label={t.scheme}
        hint={t.schemeHint}
        value={scheme}
        autoComplete="off"
        onChange={(event) => setScheme(event.target.value)}
      />
      <TextField
        label={t.credentials}
        hint={remote?.has_credentials ? t.again : undefined}
        type="password"
        value={credentials}
        autoComplete="off"
        onChange={(event) => setCredentials(event.target.value)}
      />
    </FormDialog>
  );
}
