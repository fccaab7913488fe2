// Where somebody is signed in, and ending it.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Session } from '../../api/types';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { ConfirmDialog } from '../../ui/Dialog';
import { Panel } from '../../ui/Page';
import { Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { device } from './device';

const t = text.account.sessions;

interface Query {
  data: Session[] | undefined;
  error: unknown;
  isPending: boolean;
  refetch: () => unknown;
}

export function Sessions({ query }: { query: Query }) {
  const [ending, setEnding] = useState<string | 'others' | null>(null);
  const client = useQueryClient();
  const after = () => client.invalidateQueries({ queryKey: ['sessions'] });
  const logins = (query.data ?? []).filter((session) => session.kind === 'login');
  return (
    <Panel
      title={t.title}
      flush
      actions={
        logins.length > 1 && (
          <button type="button" className="button small" onClick={() => setEnding('others')}>
            {t.endOthers}
          </button>
        )
      }
    >
      <Loaded query={query}>{() => <SessionTable sessions={logins} onEnd={setEnding} />}</Loaded>
      {ending === 'others' && (
        <ConfirmDialog
          title={t.endOthersTitle}
          about={t.endOthersAbout}
          submit={t.endOthers}
          danger
          done={t.ended}
          onClose={() => setEnding(null)}
          onSubmit={() => need(api.DELETE('/v1/operator/sessions')).then(after)}
        />
      )}
      {ending && ending !== 'others' && (
        <ConfirmDialog
          title={t.endTitle}
          about={t.endAbout}
          submit={t.end}
          danger
          done={t.ended}
          onClose={() => setEnding(null)}
          onSubmit={() =>
            need(api.DELETE('/v1/operator/sessions/{id}', { params: { path: { id: ending } } })).then(after)
          }
        />
      )}
    </Panel>
  );
}

export function SessionTable({ sessions, onEnd }: { sessions: Session[]; onEnd: (id: string) => void }) {
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">{t.device}</th>
          <th scope="col" className="low" style={{ width: 150 }}>
            {t.address}
          </th>
          <th scope="col" className="low" style={{ width: 110 }}>
            {t.method}
          </th>
          <th scope="col" className="low" style={{ width: 120 }}>
            {t.since}
          </th>
          <th scope="col" style={{ width: 120 }}>
            {t.ends}
          </th>
          <th scope="col" className="right" style={{ width: 110 }}>
            <span className="hidden-visually">{t.end}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {sessions.map((session) => (
          <tr key={session.id}>
            <td title={session.kind === 'login' ? session.user_agent : undefined}>
              {session.kind === 'login' ? device(session.user_agent) : session.name}
            </td>
            <td className="low">{session.kind === 'login' ? session.address : '–'}</td>
            <td className="low">{session.kind === 'login' ? session.method : text.account.tokens.token}</td>
            <td className="low">
              <Time at={session.created_at} />
            </td>
            <td>
              <Time at={session.expires_at} none={text.common.never} />
            </td>
            <td className="right">
              {session.current ? (
                <Badge tone="accent">{t.current}</Badge>
              ) : (
                <button type="button" className="button small" onClick={() => onEnd(session.id)}>
                  {t.end}
                </button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
