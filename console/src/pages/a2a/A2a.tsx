// The agents of the fleet as the A2A protocol sees them.
import { getRouteApi } from '@tanstack/react-router';
import { text } from '../../text';
import { A2A_TABS } from '../../url/searches';
import { PageHead } from '../../ui/Page';
import { Tabs } from '../../ui/Tabs';
import { Cards } from './Cards';
import { Clients } from './Clients';
import { Pushes } from './Pushes';
import { Remotes } from './Remotes';
import { Tasks } from './Tasks';

const route = getRouteApi('/app/a2a');
const t = text.a2a;

export function A2aPage() {
  const search = route.useSearch();
  const tab = search.tab ?? 'tasks';
  const navigate = route.useNavigate();
  const select = (id: string | undefined) =>
    void navigate({ search: (before) => ({ ...before, selected: id }), replace: true, resetScroll: false });
  return (
    <>
      <PageHead title={t.title} about={t.about} />
      <Tabs
        label={t.title}
        current={tab}
        tabs={A2A_TABS.map((value) => ({
          value,
          label: t.tabs[value] ?? value,
          to: '/a2a',
          search: value === 'tasks' ? {} : { tab: value },
        }))}
      />
      {tab === 'tasks' && (
        <Tasks
          search={search}
          onSelect={select}
          onState={(state) => void navigate({ search: (before) => ({ ...before, state }), replace: true })}
        />
      )}
      {tab === 'cards' && <Cards />}
      {tab === 'clients' && <Clients selected={search.selected} onSelect={select} />}
      {tab === 'remotes' && <Remotes />}
      {tab === 'pushes' && <Pushes />}
    </>
  );
}
