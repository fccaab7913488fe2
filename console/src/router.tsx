// Every page and its address. What a page shows beyond its path (filters, sort, what is selected,
// the range of time) stands in the query, typed here, so that a link reproduces it.
import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router';
import { ApiError } from './api/error';
import { Broken, BrokenFrame, NotFound } from './layout/Broken';
import { Shell } from './layout/Shell';
import { SignInPage } from './pages/sign-in/SignIn';
import { meQuery } from './session/session';
import * as searches from './url/searches';

interface Context {
  client: QueryClient;
}

const root = createRootRouteWithContext<Context>()({ component: Outlet });

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  component: SignInPage,
  validateSearch: searches.signIn,
});

const app = createRoute({
  getParentRoute: () => root,
  id: 'app',
  component: Shell,
  errorComponent: BrokenFrame,
  beforeLoad: async ({ context, location }) => {
    try {
      await context.client.ensureQueryData(meQuery);
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.status === 401) {
        const to = location.href === '/' ? undefined : location.href;
        throw redirect({ to: '/sign-in', search: { to } });
      }
      throw thrown;
    }
  },
});

const under = { getParentRoute: () => app, errorComponent: Broken } as const;

const pages = [
  createRoute({
    ...under,
    path: '/',
    validateSearch: searches.overview,
    component: lazyRouteComponent(() => import('./pages/overview/Overview'), 'OverviewPage'),
  }),
  createRoute({
    ...under,
    path: '/agents',
    validateSearch: searches.agents,
    component: lazyRouteComponent(() => import('./pages/agents/Agents'), 'AgentsPage'),
  }),
  createRoute({
    ...under,
    path: '/agents/$id',
    validateSearch: searches.agent,
    component: lazyRouteComponent(() => import('./pages/agents/Agent'), 'AgentPage'),
  }),
  createRoute({
    ...under,
    path: '/conversations',
    validateSearch: searches.conversations,
    component: lazyRouteComponent(() => import('./pages/conversations/Conversations'), 'ConversationsPage'),
  }),
  createRoute({
    ...under,
    path: '/conversations/$id',
    validateSearch: searches.conversation,
    component: lazyRouteComponent(() => import('./pages/conversations/Conversation'), 'ConversationPage'),
  }),
  createRoute({
    ...under,
    path: '/messages/$id',
    component: lazyRouteComponent(() => import('./pages/conversations/Message'), 'MessagePage'),
  }),
  createRoute({
    ...under,
    path: '/rooms',
    component: lazyRouteComponent(() => import('./pages/conversations/Rooms'), 'RoomsPage'),
  }),
  createRoute({
    ...under,
    path: '/approvals',
    validateSearch: searches.approvals,
    component: lazyRouteComponent(() => import('./pages/approvals/Approvals'), 'ApprovalsPage'),
  }),
  createRoute({
    ...under,
    path: '/policies',
    validateSearch: searches.policies,
    component: lazyRouteComponent(() => import('./pages/policies/Policies'), 'PoliciesPage'),
  }),
  createRoute({
    ...under,
    path: '/policies/$id',
    validateSearch: searches.policy,
    component: lazyRouteComponent(() => import('./pages/policies/Policy'), 'PolicyPage'),
  }),
  createRoute({
    ...under,
    path: '/dead-letters',
    validateSearch: searches.deadLetters,
    component: lazyRouteComponent(() => import('./pages/dead-letters/DeadLetters'), 'DeadLettersPage'),
  }),
  createRoute({
    ...under,
    path: '/a2a',
    validateSearch: searches.a2a,
    component: lazyRouteComponent(() => import('./pages/a2a/A2a'), 'A2aPage'),
  }),
  createRoute({
    ...under,
    path: '/events',
    validateSearch: searches.events,
    component: lazyRouteComponent(() => import('./pages/events/Events'), 'EventsPage'),
  }),
  createRoute({
    ...under,
    path: '/audit',
    component: lazyRouteComponent(() => import('./pages/events/Audit'), 'AuditPage'),
  }),
  createRoute({
    ...under,
    path: '/topology',
    validateSearch: searches.topology,
    component: lazyRouteComponent(() => import('./pages/topology/Topology'), 'TopologyPage'),
  }),
  createRoute({
    ...under,
    path: '/cluster',
    validateSearch: searches.cluster,
    component: lazyRouteComponent(() => import('./pages/cluster/Cluster'), 'ClusterPage'),
  }),
  createRoute({
    ...under,
    path: '/fleets',
    component: lazyRouteComponent(() => import('./pages/relay/Fleets'), 'FleetsPage'),
  }),
  createRoute({
    ...under,
    path: '/analytics',
    validateSearch: searches.analytics,
    component: lazyRouteComponent(() => import('./pages/analytics/Analytics'), 'AnalyticsPage'),
  }),
  createRoute({
    ...under,
    path: '/hooks',
    validateSearch: searches.selected,
    component: lazyRouteComponent(() => import('./pages/hooks/Hooks'), 'HooksPage'),
  }),
  createRoute({
    ...under,
    path: '/settings',
    component: lazyRouteComponent(() => import('./pages/relay/Settings'), 'SettingsPage'),
  }),
  createRoute({
    ...under,
    path: '/licence',
    component: lazyRouteComponent(() => import('./pages/relay/Licence'), 'LicencePage'),
  }),
  createRoute({
    ...under,
    path: '/metrics',
    validateSearch: searches.metrics,
    component: lazyRouteComponent(() => import('./pages/relay/Metrics'), 'MetricsPage'),
  }),
  createRoute({
    ...under,
    path: '/about',
    component: lazyRouteComponent(() => import('./pages/relay/About'), 'AboutPage'),
  }),
  createRoute({
    ...under,
    path: '/operators',
    validateSearch: searches.operators,
    component: lazyRouteComponent(() => import('./pages/account/Operators'), 'OperatorsPage'),
  }),
  createRoute({
    ...under,
    path: '/account',
    validateSearch: searches.account,
    component: lazyRouteComponent(() => import('./pages/account/Account'), 'AccountPage'),
  }),
  createRoute({
    ...under,
    path: '/keys',
    component: lazyRouteComponent(() => import('./pages/account/Keys'), 'KeysPage'),
  }),
] as const;

export function makeRouter(client: QueryClient) {
  return createRouter({
    routeTree: root.addChildren([signIn, app.addChildren(pages)]),
    basepath: '/ui',
    context: { client },
    defaultPreload: 'intent',
    defaultPreloadStaleTime: 0,
    defaultNotFoundComponent: NotFound,
    scrollRestoration: true,
    trailingSlash: 'preserve',
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
