// The navigation: which pages there are, in which group, and what they are counted by.
import { text } from '../text';
import type { IconName } from '../ui/Icon';

export interface NavPage {
  to: string;
  icon: IconName;
  label: string;
  /** The count of `fleet-health` shown beside it. */
  count?: string;
  countIsBad?: boolean;
  /** Only in the relay's first fleet. */
  firstFleet?: boolean;
}

export interface NavGroup {
  label: string;
  pages: NavPage[];
}

export const GROUPS: NavGroup[] = [
  {
    label: text.nav.groups.now,
    pages: [
      { to: '/', icon: 'overview', label: text.nav.overview },
      { to: '/topology', icon: 'topology', label: text.nav.topology },
      { to: '/events', icon: 'events', label: text.nav.events },
    ],
  },
  {
    label: text.nav.groups.traffic,
    pages: [
      { to: '/agents', icon: 'agents', label: text.nav.agents },
      { to: '/conversations', icon: 'conversations', label: text.nav.conversations },
      { to: '/rooms', icon: 'rooms', label: text.nav.rooms },
      { to: '/a2a', icon: 'a2a', label: text.nav.a2a },
    ],
  },
  {
    label: text.nav.groups.decide,
    pages: [
      { to: '/approvals', icon: 'approvals', label: text.nav.approvals, count: 'approvals_pending' },
      {
        to: '/dead-letters',
        icon: 'dead-letters',
        label: text.nav.deadLetters,
        count: 'dead_letters',
        countIsBad: true,
      },
      { to: '/policies', icon: 'policies', label: text.nav.policies },
    ],
  },
  {
    label: text.nav.groups.relay,
    pages: [
      { to: '/cluster', icon: 'cluster', label: text.nav.cluster, firstFleet: true },
      { to: '/analytics', icon: 'analytics', label: text.nav.analytics },
      { to: '/fleets', icon: 'fleets', label: text.nav.fleets, firstFleet: true },
      { to: '/hooks', icon: 'hooks', label: text.nav.hooks },
      { to: '/settings', icon: 'settings', label: text.nav.settings },
      { to: '/licence', icon: 'licence', label: text.nav.licence },
      { to: '/metrics', icon: 'metrics', label: text.nav.metrics },
      { to: '/about', icon: 'about', label: text.nav.about },
    ],
  },
  {
    label: text.nav.groups.people,
    pages: [
      { to: '/operators', icon: 'operators', label: text.nav.operators },
      { to: '/keys', icon: 'keys', label: text.nav.keys },
      { to: '/audit', icon: 'audit', label: text.nav.audit },
      { to: '/account', icon: 'account', label: text.nav.account },
    ],
  },
];
