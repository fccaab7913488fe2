// The fleets of the relay: made, renamed, archived and restored by owners of the first.
import { useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Fleet } from '../../api/types';
import { useMay, useMe } from '../../session/session';
import { text } from '../../text';
import { Badge, Tag } from '../../ui/Badge';
import { type Column, DataTable } from '../../ui/DataTable';
import { ConfirmDialog, FormDialog } from '../../ui/Dialog';
import { TextField } from '../../ui/Field';
import { formatNumber, formatShort } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { Menu } from '../../ui/Menu';
import { PageHead } from '../../ui/Page';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.fleets;
type Doing = { what: 'new' } | { what: 'rename' | 'archive' | 'restore'; fleet: Fleet };

export function FleetsPage() {
  const me = useMe();
  const may = useMay('fleets');
  const [doing, setDoing] = useState<Doing | null>(null);
  const list = useList({
    key: ['fleets'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/fleets', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.fleets,
    enabled: may,
  });
  const columns: Column<Fleet>[] = [
    {
      id: 'name',
      header: t.columns.name,
      cell: (row) => (
        <span className="row">
          <span className="strong" title={row.id}>
            {row.name}
          </span>
          {row.id === me.fleet_id && <Tag>{t.first}</Tag>}
        </span>
      ),
    },
    {
      id: 'state',
      header: t.columns.state,
      width: '120px',
      cell: (row) =>
        row.archived_at ? <Badge tone="idle">{t.archived}</Badge> : <Badge tone="ok">{t.active}</Badge>,
    },
    {
      id: 'agents',
      header: t.columns.agents,
      width: '100px',
      right: true,
      cell: (row) => formatNumber(row.agents),
    },
    {
      id: 'queued',
      header: t.columns.queued,
      width: '100px',
      right: true,
      when: 'low',
      cell: (row) => formatNumber(row.queued),
    },
    {
      id: 'accepted',
      header: t.columns.accepted,
      width: '110px',
      right: true,
      when: 'low',
      cell: (row) => formatShort(row.messages_accepted),
    },
    {
      id: 'since',
      header: t.columns.since,
      width: '130px',
      when: 'low',
      cell: (row) => <Time at={row.created_at} />,
    },
    ...(may
      ? [
          {
            id: 'actions',
            header: t.columns.actions,
            width: '92px',
            right: true,
            cell: (row: Fleet) => <FleetMenu fleet={row} own={row.id === me.fleet_id} onChoose={setDoing} />,
          },
        ]
      : []),
  ];
  return (
    <>
      <PageHead
        title={t.title}
        about={
          <>
            {t.about} {t.needsLicence} <Link to="/licence">{text.licence.title}</Link>
          </>
        }
        actions={
          may && (
            <button type="button" className="button primary" onClick={() => setDoing({ what: 'new' })}>
              <Icon name="plus" />
              {t.new}
            </button>
          )
        }
      />
      {may ? (
        <DataTable
          label={t.title}
          columns={columns}
          list={list}
          idOf={(row) => row.id}
          empty={<Empty title={t.title} />}
        />
      ) : (
        <div className="panel">
          <Empty title={text.common.yourRoleMayNot('fleets')} />
        </div>
      )}
      {doing && <FleetDialog doing={doing} onClose={() => setDoing(null)} />}
    </>
  );
}

function FleetMenu({
  fleet,
  own,
  onChoose,
}: {
  fleet: Fleet;
  own: boolean;
  onChoose: (doing: Doing) => void;
}) {
  return (
    <Menu
      label={`${t.columns.actions}: ${fleet.name}`}
      items={[
        { label: t.rename, onChoose: () => onChoose({ what: 'rename', fleet }) },
        ...(own
          ? []
          : fleet.archived_at
            ? [{ label: t.restore, onChoose: () => onChoose({ what: 'restore', fleet }) }]
            : [{ label: t.archive, danger: true, onChoose: () => onChoose({ what: 'archive', fleet }) }]),
      ]}
    />
  );
}

function FleetDialog({ doing, onClose }: { doing: Doing; onClose: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState(doing.what === 'rename' ? doing.fleet.name : '');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const after = () =>
    client.invalidateQueries({
      predicate: (query) => ['fleets', 'me', 'license'].includes(String(query.queryKey[0])),
    });
  if (doing.what === 'new') {
    return (
      <FormDialog
        title={t.newTitle}
        submit={text.common.create}
        done={t.created}
        onClose={onClose}
        onSubmit={() =>
          need(
            api.POST('/v1/operator/fleets', {
              body: { name: name.trim(), owner_email: email.trim(), owner_password: password },
            }),
          ).then(after)
        }
      >
        <TextField
          label={t.name}
          hint={t.nameHint}
          value={name}
          required
          maxLength={120}
          autoFocus
          onChange={(event) => setName(event.target.value)}
        />
        <TextField
          label={t.ownerEmail}
          type="email"
          value={email}
          required
          autoComplete="off"
          onChange={(event) => setEmail(event.target.value)}
        />
        <TextField
          label={t.ownerPassword}
          type="password"
          value={password}
          required
          minLength={8}
          autoComplete="new-password"
          hint={text.operators.passwordHint}
          onChange={(event) => setPassword(event.target.value)}
        />
      </FormDialog>
    );
  }
  const { fleet } = doing;
  const params = { path: { id: fleet.id } };
  if (doing.what === 'rename') {
    return (
      <FormDialog
        title={t.renameTitle(fleet.name)}
        submit={t.rename}
        done={t.renamed}
        onClose={onClose}
        onSubmit={() =>
          need(api.PUT('/v1/operator/fleets/{id}', { params, body: { name: name.trim() } })).then(after)
        }
      >
        <TextField
          label={t.name}
          hint={t.nameHint}
          value={name}
          required
          maxLength={120}
          autoFocus
          onChange={(event) => setName(event.target.value)}
        />
      </FormDialog>
    );
  }
  if (doing.what === 'restore') {
    return (
      <ConfirmDialog
        title={`${t.restore}: ${fleet.name}`}
        about={t.needsLicence}
        submit={t.restore}
        done={t.restored}
        onClose={onClose}
        onSubmit={() => need(api.POST('/v1/operator/fleets/{id}/restore', { params })).then(after)}
      />
    );
  }
  return (
    <FormDialog
      title={t.archiveTitle(fleet.name)}
      submit={t.archive}
      danger
      done={t.archivedDone}
      onClose={onClose}
      disabled={name !== fleet.name}
      onSubmit={() =>
        need(api.POST('/v1/operator/fleets/{id}/archive', { params, body: { name } })).then(after)
      }
    >
      <p className="muted">{t.archiveAbout}</p>
      <TextField
        label={text.common.typeToConfirm(fleet.name)}
        value={name}
        autoFocus
        autoComplete="off"
        onChange={(event) => setName(event.target.value)}
      />
    </FormDialog>
  );
}
