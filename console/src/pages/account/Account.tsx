// The own account: sessions, password and second factor, API tokens.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import { useMe } from '../../session/session';
import { text } from '../../text';
import { ACCOUNT_TABS } from '../../url/searches';
import { PageHead } from '../../ui/Page';
import { Tabs } from '../../ui/Tabs';
import { Password, SecondFactor } from './Security';
import { Sessions } from './Sessions';
import { Tokens } from './Tokens';

const route = getRouteApi('/app/account');
const t = text.account;

export function AccountPage() {
  const me = useMe();
  const tab = route.useSearch().tab ?? 'sessions';
  const query = useQuery({
    queryKey: ['sessions'],
    queryFn: async ({ signal }) => (await need(api.GET('/v1/operator/sessions', { signal }))).sessions,
  });
  return (
    <>
      <PageHead
        title={t.title}
        about={
          <>
            {t.you(me.email, text.operators.roles[me.role].toLowerCase())}. {t.about}
          </>
        }
      />
      <Tabs
        label={t.title}
        current={tab}
        tabs={ACCOUNT_TABS.map((value) => ({
          value,
          label: t.tabs[value],
          to: '/account',
          search: value === 'sessions' ? {} : { tab: value },
        }))}
      />
      {tab === 'sessions' && <Sessions query={query} />}
      {tab === 'security' && (
        <div className="grid-2">
          <Password />
          <SecondFactor />
        </div>
      )}
      {tab === 'tokens' && <Tokens query={query} />}
    </>
  );
}
