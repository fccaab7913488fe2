// Words used on many pages, and what errors mean.
import type { ErrorCode } from '../../api/error';

export const common = {
  product: 'Ekho',
  loading: 'Loading',
  tryAgain: 'Try again',
  cancel: 'Cancel',
  close: 'Close',
  save: 'Save',
  create: 'Create',
  remove: 'Remove',
  edit: 'Edit',
  working: 'Working…',
  copy: 'Copy',
  copied: 'Copied',
  copyFailed: 'The browser did not let us copy',
  copyId: 'Copy id',
  reason: 'Reason',
  reasonOptional: 'Reason (optional)',
  reasonHint: 'Kept in the audit log.',
  typeToConfirm: (word: string) => `Type ${word} to confirm`,
  selectAll: 'Select all rows',
  select: (id: string) => `Select ${id}`,
  shown: (count: number) => (count === 1 ? '1 row' : `${count.toLocaleString('en-GB')} rows`),
  shownOf: (shown: string, total: string) => `${shown} of ${total} loaded`,
  loadMore: 'Load more',
  outdated: 'Out of date. Reload',
  any: 'Any',
  all: 'All',
  none: 'None',
  yes: 'Yes',
  no: 'No',
  never: 'Never',
  operator: 'Operator',
  relay: 'Relay',
  clearFilters: 'Clear filters',
  nothingMatches: 'Nothing matches these filters',
  back: (where: string) => `Back to ${where}`,
  detailOf: (what: string) => `Details of ${what}`,
  yourRoleMayNot: (scope: string) => `Needs the permission “${scope}”, which your role does not have.`,
  from: 'From',
  until: 'Until',
  export: 'Export',
  sent: 'Sent',
  done: 'Done',
  unknown: 'Unknown',
};

export const time = {
  now: 'just now',
  last: (span: string) => `Last ${span}`,
};

const byCode: Partial<Record<ErrorCode, string>> = {
  unreachable:
    'The relay cannot be reached. Check that this node is running and that your network lets you through.',
  no_answer_in_time: 'The relay did not answer in time. Nothing is known about whether it was done.',
  unexpected_answer:
    'The answer was not what this console understands. It may be of another release than the relay.',
  not_signed_in: 'Your session is over. Sign in again.',
  no_leader:
    'The cluster has no leader at the moment, so nothing was done. It usually elects one within two seconds.',
  overloaded: 'The relay has too much to do at the moment. Nothing was done.',
  stopping: 'This node is stopping. Nothing was done; another node can do it.',
  outcome_unknown: 'It is not known whether this was done. Look before you try again.',
  disk_full: 'The disk of the relay is full, so nothing was written. Free some room first.',
  not_found: 'It does not exist, or is not of your fleet.',
  tailnet_required:
    'This relay is for its tailnet only. Open the console at the address that tailscale serve gives it.',
  internal: 'The relay failed at this. Its log has the details under the request id.',
};

export const errors = {
  code: 'Code',
  request: 'request',
  byCode,
  lacksScope: (scope: string) =>
    `Your role does not have the permission “${scope}”. An owner of the fleet can give it to you.`,
  needsLicence: (feature: string) =>
    `This needs a licence with “${feature}”. Everything else works without one.`,
  notLoaded: 'This page could not be loaded',
  pageBroke: 'This page broke',
  pageBrokeAbout: 'That is a defect of the console. Reloading the page usually helps.',
  reload: 'Reload',
  notFound: 'There is no such page',
  notFoundAbout: 'The link may be old, or mistyped.',
  toOverview: 'Go to the overview',
};

export const nav = {
  label: 'Pages',
  skip: 'Skip to the page',
  open: 'Open the menu',
  groups: { now: 'Now', traffic: 'Traffic', decide: 'Decide', relay: 'Relay', people: 'People' },
  overview: 'Overview',
  topology: 'Topology',
  events: 'Events',
  agents: 'Agents',
  conversations: 'Conversations',
  rooms: 'Rooms',
  a2a: 'A2A',
  approvals: 'Approvals',
  policies: 'Policies',
  deadLetters: 'Dead letters',
  cluster: 'Cluster',
  fleets: 'Fleets',
  analytics: 'Analytics',
  hooks: 'Hooks',
  settings: 'Settings',
  licence: 'Licence',
  metrics: 'Metrics',
  about: 'About',
  operators: 'Operators',
  keys: 'Signing keys',
  account: 'Your account',
  audit: 'Audit log',
  search: 'Search or go to…',
  searchShort: 'Search',
  searchKeys: 'Ctrl K',
  searchLabel: 'Search agents and pages, or paste an id',
  searchNothing: 'No page and no agent of that name.',
  searchMessages: (words: string) => `Find messages with “${words}”`,
  openId: (id: string) => `Open ${id}`,
  page: 'Page',
  agent: 'Agent',
  waiting: (count: number) => `${count} waiting`,
};

export const theme = {
  label: 'Colours',
  system: 'As the system',
  light: 'Light',
  dark: 'Dark',
  next: (name: string) => `Colours: ${name}. Change`,
};

export const live = {
  live: 'Live',
  connecting: 'Connecting',
  polling: 'Every 5 s',
  offline: 'Offline',
  about: {
    live: 'Changes appear as they happen.',
    connecting: 'Opening the stream of events.',
    polling: 'The stream of events cannot be had at the moment; what is shown is asked for every 5 seconds.',
    offline: 'This node cannot be reached. What is shown may be old.',
  },
};

export const failover = {
  gone: 'This node does not answer.',
  looking: 'Looking for another node of the cluster…',
  goingOn: (node: number) => `Going on at node ${node}…`,
  goOn: 'Go on at',
  node: (node: number) => `node ${node}`,
  noOther: 'No other node is known. This page tries again by itself.',
  draining: 'This node is being drained and may stop at any moment.',
  noLeader:
    'The cluster has no leader: nothing can be written until a majority of the voters can be reached.',
  reachable: (reachable: number, needed: number) =>
    `${reachable} voters can be reached, ${needed} are needed.`,
};
