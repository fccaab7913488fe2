// The people of the fleet: roles, passwords, second factors, sessions, and who may no longer come in.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback, useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Operator, Role } from '../../api/types';
import { useMay, useMe } from '../../session/session';
import { text } from '../../text';
import { Badge, Tag } from '../../ui/Badge';
import { type Column, DataTable } from '../../ui/DataTable';
import { ConfirmDialog, Dialog, FormDialog } from '../../ui/Dialog';
import { SelectField, TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { Menu } from '../../ui/Menu';
import { PageHead } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useErrorToast, useToast } from '../../ui/Toast';
import { SessionTable } from './Sessions';

const route = getRouteApi('/app/operators');
const t = text.operators;
const ROLES: Role[] = ['owner', 'operator', 'viewer'];
type Doing = { what: 'new' } | { what: 'role' | 'password' | 'totp' | 'sessions' | 'remove'; of: Operator };

export function OperatorsPage() {
  const { search } = route.useSearch();
  const navigate = route.useNavigate();
  const me = useMe();
  const may = useMay('operators');
  const [doing, setDoing] = useState<Doing | null>(null);
  const list = useList({
    key: ['operators', 'list', search],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/operators', { params: { query: { search, cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.operators,
    totalOf: (page) => page.total,
  });
  const onSearch = useCallback(
    (value: string) => void navigate({ search: value ? { search: value } : {}, replace: true }),
    [navigate],
  );
  const columns: Column<Operator>[] = [
    {
      id: 'email',
      header: t.email,
      cell: (row) => (
        <span className="row">
          <span className="strong">{row.email}</span>
          {row.id === me.operator_id && <Tag>{t.you}</Tag>}
        </span>
      ),
    },
    {
      id: 'role',
      header: t.role,
      width: '34%',
      cell: (row) => (
        <span className="row">
          <Badge tone={row.role === 'owner' ? 'accent' : 'info'}>{t.roles[row.role]}</Badge>
          <span className="small muted cut">{t.rolesAbout[row.role]}</span>
        </span>
      ),
    },
    {
      id: 'since',
      header: t.since,
      width: '130px',
      when: 'low',
      cell: (row) => <Time at={row.created_at} />,
    },
    ...(may
      ? [
          {
            id: 'actions',
            header: text.cluster.actions,
            width: '92px',
            right: true,
            cell: (row: Operator) => (
              <OperatorMenu of={row} own={row.id === me.operator_id} onChoose={setDoing} />
            ),
          },
        ]
      : []),
  ];
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          may && (
            <button type="button" className="button primary" onClick={() => setDoing({ what: 'new' })}>
              <Icon name="plus" />
              {t.new}
            </button>
          )
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
        empty={
          <Empty title={t.none}>
            <Link to="/operators" className="button">
              {text.common.clearFilters}
            </Link>
          </Empty>
        }
      />
      {doing && <OperatorDialog doing={doing} onClose={() => setDoing(null)} />}
    </>
  );
}

function OperatorMenu({
  of,
  own,
  onChoose,
}: {
  of: Operator;
  own: boolean;
  onChoose: (doing: Doing) => void;
}) {
  const item = (
    what: 'role' | 'password' | 'totp' | 'sessions' | 'remove',
    label: string,
    danger = false,
  ) => ({ label, danger, onChoose: () => onChoose({ what, of }) });
  return (
    <Menu
      label={`${text.cluster.actions}: ${of.email}`}
      items={[
        item('role', t.change),
        item('password', t.setPassword),
        item('sessions', t.sessions),
        ...(own ? [] : [item('totp', t.resetTotp), item('remove', t.remove, true)]),
      ]}
    />
  );
}

function OperatorDialog({ doing, onClose }: { doing: Doing; onClose: () => void }) {
  const client = useQueryClient();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState<Role>(doing.what === 'new' ? 'operator' : doing.of.role);
  const after = () =>
    client.invalidateQueries({
      predicate: (query) => ['operators', 'me'].includes(String(query.queryKey[0])),
    });
  const roleField = (
    <SelectField
      label={t.role}
      value={role}
      hint={t.rolesAbout[role]}
      choices={ROLES.map((value) => ({ value, label: t.roles[value] }))}
      onChange={(event) => setRole(ROLES.find((one) => one === event.target.value) ?? 'viewer')}
    />
  );
  const passwordField = (
    <TextField
      label={t.password}
      hint={t.passwordHint}
      type="password"
      value={password}
      required
      minLength={8}
      autoComplete="new-password"
      onChange={(event) => setPassword(event.target.value)}
    />
  );
  if (doing.what === 'new') {
    return (
      <FormDialog
        title={t.newTitle}
        submit={t.new}
        done={t.added(email)}
        onClose={onClose}
        onSubmit={() =>
          need(api.POST('/v1/operator/operators', { body: { email: email.trim(), password, role } })).then(
            after,
          )
        }
      >
        <TextField
          label={t.email}
          type="email"
          value={email}
          required
          autoFocus
          autoComplete="off"
          onChange={(event) => setEmail(event.target.value)}
        />
        {roleField}
        {passwordField}
      </FormDialog>
    );
  }
  const { of } = doing;
  const params = { path: { id: of.id } };
  switch (doing.what) {
    case 'role':
      return (
        <FormDialog
          title={t.changeTitle(of.email)}
          submit={text.common.save}
          done={t.changed}
          onClose={onClose}
          onSubmit={() =>
            need(api.PUT('/v1/operator/operators/{id}', { params, body: { role } })).then(after)
          }
        >
          {roleField}
        </FormDialog>
      );
    case 'password':
      return (
        <FormDialog
          title={t.setPasswordTitle(of.email)}
          submit={t.setPassword}
          done={t.passwordSet}
          onClose={onClose}
          onSubmit={() =>
            need(api.PUT('/v1/operator/operators/{id}', { params, body: { password } })).then(after)
          }
        >
          <p className="muted">{t.setPasswordAbout}</p>
          {passwordField}
        </FormDialog>
      );
    case 'totp':
      return (
        <ConfirmDialog
          title={t.resetTotpTitle(of.email)}
          about={t.resetTotpAbout}
          submit={t.resetTotp}
          danger
          done={t.totpReset}
          onClose={onClose}
          onSubmit={() => need(api.DELETE('/v1/operator/operators/{id}/totp', { params })).then(after)}
        />
      );
    case 'remove':
      return (
        <ConfirmDialog
          title={t.removeTitle(of.email)}
          about={t.removeAbout}
          submit={t.remove}
          danger
          done={t.removed(of.email)}
          onClose={onClose}
          onSubmit={() => need(api.DELETE('/v1/operator/operators/{id}', { params })).then(after)}
        />
      );
    case 'sessions':
      return <SessionsDialog of={of} onClose={onClose} />;
  }
}

function SessionsDialog({ of, onClose }: { of: Operator; onClose: () => void }) {
  const client = useQueryClient();
  const toast = useToast();
  const failed = useErrorToast();
  const query = useQuery({
    queryKey: ['sessions', of.id],
    queryFn: async ({ signal }) =>
      (
        await need(
          api.GET('/v1/operator/operators/{id}/sessions', { params: { path: { id: of.id } }, signal }),
        )
      ).sessions,
  });
  const end = (session: string) =>
    void need(
      api.DELETE('/v1/operator/operators/{id}/sessions/{session}', {
        params: { path: { id: of.id, session } },
      }),
    )
      .then(() => {
        toast(text.account.sessions.ended);
        return client.invalidateQueries({ queryKey: ['sessions'] });
      })
      .catch(failed);
  return (
    <Dialog title={t.sessionsTitle(of.email)} onClose={onClose} wide>
      <div className="dialog-body">
        <Loaded query={query}>
          {(sessions) =>
            sessions.length === 0 ? (
              <Empty title={t.noSessions} compact />
            ) : (
              <SessionTable sessions={sessions} onEnd={end} />
            )
          }
        </Loaded>
      </div>
    </Dialog>
  );
}
