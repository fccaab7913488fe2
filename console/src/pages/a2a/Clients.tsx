// Programs that ask agents by A2A with a bearer token: who they are, whom they reach, their tokens.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { A2aClient } from '../../api/types';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Aside } from '../../ui/Aside';
import { Badge } from '../../ui/Badge';
import { CopyBox, Id } from '../../ui/Copy';
import { type Column, DataTable } from '../../ui/DataTable';
import { ConfirmDialog, Dialog, FormDialog } from '../../ui/Dialog';
import { TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { Facts } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useErrorToast } from '../../ui/Toast';
import { AgentsField } from '../policies/ListFields';

const t = text.a2a.clients;

export function Clients({
  selected,
  onSelect,
}: {
  selected: string | undefined;
  onSelect: (id: string | undefined) => void;
}) {
  const may = useMay('agents');
  const [making, setMaking] = useState(false);
  const [token, setToken] = useState<string | null>(null);
  const list = useList({
    key: ['a2a-clients'],
    fetchPage: (cursor, signal) =>
      need(api.GET('/v1/operator/a2a/clients', { params: { query: { cursor, limit: 100 } }, signal })),
    rowsOf: (page) => page.clients,
  });
  const columns: Column<A2aClient>[] = [
    {
      id: 'name',
      header: t.columns.name,
      cell: (row) => (
        <Link to="/a2a" search={{ tab: 'clients', selected: row.id }} className="strong" resetScroll={false}>
          {row.name}
        </Link>
      ),
    },
    {
      id: 'reaches',
      header: t.columns.reaches,
      width: '140px',
      when: 'low',
      cell: (row) => (row.agents.length === 0 ? t.all : t.reachCount(row.agents.length)),
    },
    {
      id: 'rate',
      header: t.columns.rate,
      width: '90px',
      right: true,
      when: 'low',
      cell: (row) => row.rate_max_messages ?? <span className="faint">–</span>,
    },
    {
      id: 'tokens',
      header: t.columns.tokens,
      width: '110px',
      cell: (row) =>
        row.revoked ? (
          <Badge tone="idle">{t.revoked}</Badge>
        ) : (
          t.tokens(row.tokens.filter((one) => !one.expired).length)
        ),
    },
    {
      id: 'since',
      header: t.columns.since,
      width: '120px',
      when: 'low',
      cell: (row) => <Time at={row.created_at} />,
    },
  ];
  const create = may && (
    <button type="button" className="button primary" onClick={() => setMaking(true)}>
      <Icon name="plus" />
      {t.new}
    </button>
  );
  return (
    <div className="stack">
      {list.rows.length > 0 && <div>{create}</div>}
      <div className="split" data-open={selected !== undefined}>
        <DataTable
          label={text.a2a.tabs['clients'] ?? ''}
          columns={columns}
          list={list}
          idOf={(row) => row.id}
          openId={selected}
          onOpen={(row) => onSelect(row.id)}
          empty={
            <Empty title={t.none}>
              <p>{t.noneAbout}</p>
              {create}
            </Empty>
          }
        />
        {selected && (
          <ClientAside key={selected} id={selected} onClose={() => onSelect(undefined)} onToken={setToken} />
        )}
      </div>
      {making && (
        <NewClientDialog
          onClose={() => setMaking(false)}
          onToken={(made) => {
            // One dialog in place of the other, never two.
            setMaking(false);
            setToken(made);
          }}
        />
      )}
      {token && (
        <Dialog title={t.tokenTitle} onClose={() => setToken(null)} wide>
          <div className="dialog-body">
            <p className="muted">{t.tokenAbout}</p>
            <CopyBox value={token} label={t.token} />
            <h3>{t.example}</h3>
            <CopyBox
              label={t.example}
              value={[
                `curl -sS ${window.location.origin}/agents/AGENT_ID/a2a \\`,
                `  -H 'authorization: Bearer ${token}' -H 'a2a-version: 1.0' -H 'content-type: application/json' \\`,
                `  -d '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"m-1","role":"ROLE_USER","parts":[{"text":"Hello"}]}}}'`,
              ].join('\n')}
            />
          </div>
        </Dialog>
      )}
    </div>
  );
}

function NewClientDialog({ onClose, onToken }: { onClose: () => void; onToken: (token: string) => void }) {
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [rate, setRate] = useState('');
  const [agents, setAgents] = useState<string[]>([]);
  return (
    <FormDialog
      title={t.newTitle}
      submit={text.common.create}
      onClose={onClose}
      disabled={name.trim() === ''}
      onSubmit={async () => {
        const made = await need(
          api.POST('/v1/operator/a2a/clients', {
            body: { name: name.trim(), agents, ...(rate ? { rate_max_messages: Number(rate) } : {}) },
          }),
        );
        await client.invalidateQueries({ queryKey: ['a2a-clients'] });
        onToken(made.token);
      }}
    >
      <TextField
        label={t.name}
        value={name}
        required
        autoFocus
        maxLength={200}
        onChange={(event) => setName(event.target.value)}
      />
      <TextField
        label={t.rate}
        hint={t.rateHint}
        value={rate}
        inputMode="numeric"
        pattern="[0-9]*"
        onChange={(event) => setRate(event.target.value)}
      />
      <AgentsField label={t.agents} ids={agents} onChange={setAgents} />
      <p className="small faint">{t.agentsHint}</p>
    </FormDialog>
  );
}

function ClientAside({
  id,
  onClose,
  onToken,
}: {
  id: string;
  onClose: () => void;
  onToken: (token: string) => void;
}) {
  const may = useMay('agents');
  const client = useQueryClient();
  const failed = useErrorToast();
  const query = useQuery({
    queryKey: ['a2a-clients', id],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/a2a/clients/{id}', { params: { path: { id } }, signal })),
  });
  const addToken = () =>
    need(api.POST('/v1/operator/a2a/clients/{id}/tokens', { params: { path: { id } }, body: {} }))
      .then((made) => {
        onToken(made.token);
        return client.invalidateQueries({ queryKey: ['a2a-clients'] });
      })
      .catch(failed);
  return (
    <Aside
      title={t.detail}
      onClose={onClose}
      foot={
        may &&
        query.data &&
        !query.data.revoked && (
          <button type="button" className="button primary" onClick={() => void addToken()}>
            {t.addToken}
          </button>
        )
      }
    >
      <Loaded query={query}>{(data) => <ClientDetail client={data} may={may} />}</Loaded>
    </Aside>
  );
}

function ClientDetail({ client: of, may }: { client: A2aClient; may: boolean }) {
  const client = useQueryClient();
  const [agents, setAgents] = useState(of.agents);
  const [rate, setRate] = useState(
    of.rate_max_messages === null || of.rate_max_messages === undefined ? '' : String(of.rate_max_messages),
  );
  const [limits, setLimits] = useState(false);
  const [taking, setTaking] = useState<string | null>(null);
  const after = () => client.invalidateQueries({ queryKey: ['a2a-clients'] });
  return (
    <div className="stack">
      <Facts
        of={[
          [
            t.columns.name,
            <span key="n" className="strong">
              {of.name}
            </span>,
          ],
          [
            t.asAgent,
            <Link key="a" to="/agents/$id" params={{ id: of.id }}>
              {of.name}
            </Link>,
          ],
          [t.columns.reaches, of.agents.length === 0 ? t.all : t.reachCount(of.agents.length)],
          [
            t.columns.rate,
            of.rate_max_messages ?? (
              <span key="r" className="faint">
                –
              </span>
            ),
          ],
          [t.columns.since, <Time key="s" at={of.created_at} as="full" />],
        ]}
      />
      {may && !of.revoked && (
        <div>
          <button type="button" className="button small" onClick={() => setLimits(true)}>
            {t.save}
          </button>
        </div>
      )}
      <h3>{t.columns.tokens}</h3>
      <ul className="plain-rows flush">
        {of.tokens.map((token) => (
          <li key={token.id} className="row apart">
            <span>
              <Id id={token.id} />
              <span className="small muted" style={{ display: 'block' }}>
                {token.expired ? (
                  t.expired
                ) : (
                  <>
                    {t.expires} <Time at={token.expires_at} none={text.common.never.toLowerCase()} />
                  </>
                )}
              </span>
            </span>
            {may && !token.expired && (
              <button type="button" className="button small danger" onClick={() => setTaking(token.id)}>
                {t.takeBack}
              </button>
            )}
          </li>
        ))}
      </ul>
      {taking && (
        <ConfirmDialog
          title={t.takeBackTitle}
          about={t.takeBackAbout}
          submit={t.takeBack}
          danger
          done={t.takenBack}
          onClose={() => setTaking(null)}
          onSubmit={() =>
            need(
              api.DELETE('/v1/operator/a2a/clients/{id}/tokens/{token_id}', {
                params: { path: { id: of.id, token_id: taking } },
              }),
            ).then(after)
          }
        />
      )}
      {limits && (
        <FormDialog
          title={t.save}
          submit={text.common.save}
          done={t.saved}
          onClose={() => setLimits(false)}
          onSubmit={() =>
            need(
              api.PUT('/v1/operator/a2a/clients/{id}', {
                params: { path: { id: of.id } },
                body: { agents, rate_max_messages: rate === '' ? null : Number(rate) },
              }),
            ).then(after)
          }
        >
          <TextField
            label={t.rate}
            hint={t.rateHint}
            value={rate}
            inputMode="numeric"
            pattern="[0-9]*"
            autoFocus
            onChange={(event) => setRate(event.target.value)}
          />
          <AgentsField label={t.agents} ids={agents} onChange={setAgents} />
          <p className="small faint">{t.agentsHint}</p>
        </FormDialog>
      )}
    </div>
  );
}
