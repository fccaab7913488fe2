// Join tokens that can still be used, and taking one back.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { api, need } from '../../api/client';
import { OperatorName } from '../../links/links';
import { text } from '../../text';
import { Tag } from '../../ui/Badge';
import { Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useErrorToast, useToast } from '../../ui/Toast';

const t = text.cluster;

export function JoinTokens() {
  const client = useQueryClient();
  const toast = useToast();
  const failed = useErrorToast();
  const tokens = useQuery({
    queryKey: ['join-tokens'],
    queryFn: async ({ signal }) => (await need(api.GET('/v1/operator/cluster/tokens', { signal }))).tokens,
  });
  const takeBack = (id: string) =>
    need(api.DELETE('/v1/operator/cluster/tokens/{id}', { params: { path: { id } } }))
      .then(() => {
        toast(t.tokenGone);
        return client.invalidateQueries({ queryKey: ['join-tokens'] });
      })
      .catch(failed);
  return (
    <Panel title={t.tokens} about={t.tokensAbout} flush>
      <Loaded query={tokens} lines={2}>
        {(all) =>
          all.length === 0 ? (
            <Empty title={t.noTokens} compact />
          ) : (
            <ul className="plain-rows">
              {all.map((token) => (
                <li key={token.id} className="row apart">
                  <span className="row wrap" style={{ gap: '6px 10px' }}>
                    <Tag>{t.parts[token.part] ?? token.part}</Tag>
                    <span className="small muted">
                      {t.expires.toLowerCase()} <Time at={token.expires_at} />
                    </span>
                    <span className="small">
                      <OperatorName id={token.created_by} />
                    </span>
                  </span>
                  <button type="button" className="button small" onClick={() => void takeBack(token.id)}>
                    {t.takeBack}
                  </button>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Panel>
  );
}
