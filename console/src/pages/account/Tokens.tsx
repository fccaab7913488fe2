// API tokens: bearer tokens for programs, shown once, with just the permissions they need.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Scope, Session } from '../../api/types';
import { useMe } from '../../session/session';
import { text } from '../../text';
import { CopyBox } from '../../ui/Copy';
import { ConfirmDialog, Dialog, FormDialog } from '../../ui/Dialog';
import { Check, TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.account.tokens;

interface Query {
  data: Session[] | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

export function Tokens({ query }: { query: Query }) {
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<string | null>(null);
  const [ending, setEnding] = useState<string | null>(null);
  const client = useQueryClient();
  const after = () => client.invalidateQueries({ queryKey: ['sessions'] });
  const create = (
    <button type="button" className="button primary small" onClick={() => setMaking(true)}>
      <Icon name="plus" size={14} />
      {t.new}
    </button>
  );
  return (
    <Panel title={t.title} about={t.about} flush actions={create}>
      <Loaded query={query}>
        {(all) => {
          const tokens = all.filter((session) => session.kind === 'api_token');
          if (tokens.length === 0)
            return (
              <Empty title={t.none} compact>
                <p>{t.noneAbout}</p>
              </Empty>
            );
          return (
            <ul className="plain-rows">
              {tokens.map((token) => (
                <li key={token.id} className="row apart">
                  <span className="row wrap" style={{ gap: '4px 12px' }}>
                    <span className="strong">{token.name}</span>
                    <span className="chips">
                      {token.scopes.map((scope) => (
                        <span key={scope} className="chip">
                          {scope}
                        </span>
                      ))}
                    </span>
                    <span className="small muted">
                      {text.account.sessions.since.toLowerCase()} <Time at={token.created_at} /> ·{' '}
                      {t.expires.toLowerCase()}{' '}
                      <Time at={token.expires_at} none={text.common.never.toLowerCase()} />
                    </span>
                  </span>
                  <button type="button" className="button small danger" onClick={() => setEnding(token.id)}>
                    {t.end}
                  </button>
                </li>
              ))}
            </ul>
          );
        }}
      </Loaded>
      {making && (
        <NewTokenDialog
          onClose={() => setMaking(false)}
          onMade={(token) => {
            // One dialog in place of the other, never two.
            setMaking(false);
            setMade(token);
            void after();
          }}
        />
      )}
      {made && (
        <Dialog title={t.madeTitle} onClose={() => setMade(null)}>
          <div className="dialog-body">
            <p className="muted">{t.madeAbout}</p>
            <CopyBox value={made} label={t.token} />
          </div>
        </Dialog>
      )}
      {ending && (
        <ConfirmDialog
          title={t.endTitle}
          about={t.endAbout}
          submit={t.end}
          danger
          done={text.common.done}
          onClose={() => setEnding(null)}
          onSubmit={() =>
            need(api.DELETE('/v1/operator/sessions/{id}', { params: { path: { id: ending } } })).then(after)
          }
        />
      )}
    </Panel>
  );
}

function NewTokenDialog({ onClose, onMade }: { onClose: () => void; onMade: (token: string) => void }) {
  const me = useMe();
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<Scope[]>(['read']);
  const [until, setUntil] = useState('');
  const toggle = (scope: Scope) =>
    setScopes(scopes.includes(scope) ? scopes.filter((one) => one !== scope) : [...scopes, scope]);
  return (
    <FormDialog
      title={t.newTitle}
      submit={text.common.create}
      onClose={onClose}
      disabled={name.trim() === '' || scopes.length === 0}
      onSubmit={async () =>
        onMade(
          (
            await need(
              api.POST('/v1/operator/tokens', {
                body: {
                  name: name.trim(),
                  scopes,
                  ...(until ? { expires_at: new Date(until).toISOString() } : {}),
                },
              }),
            )
          ).token,
        )
      }
    >
      <TextField
        label={t.name}
        hint={t.nameHint}
        value={name}
        required
        autoFocus
        maxLength={120}
        onChange={(event) => setName(event.target.value)}
      />
      <fieldset>
        <legend>{t.scopes}</legend>
        <div
          className="form-grid"
          style={{ marginTop: 6, gridTemplateColumns: 'repeat(auto-fit, minmax(130px, 1fr))', gap: 6 }}
        >
          {me.scopes.map((scope) => (
            <Check
              key={scope}
              label={scope}
              checked={scopes.includes(scope)}
              onChange={() => toggle(scope)}
            />
          ))}
        </div>
      </fieldset>
      <TextField
        label={t.expires}
        type="date"
        value={until}
        onChange={(event) => setUntil(event.target.value)}
      />
    </FormDialog>
  );
}
