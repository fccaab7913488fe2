// Line icons, drawn here on a grid of 16. They are decoration: what they mean is always in words too.
const PATHS = {
  overview: 'M2.5 9.5 8 3l5.5 6.5M4 8v5h3v-3h2v3h3V8',
  topology:
    'M4 4.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Zm8 4a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Zm-7 6a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3ZM5.3 3.8l5.3 2.6M10.7 8 6.2 12M4.2 4.5l.6 7',
  events: 'M2.5 4h2M2.5 8h2M2.5 12h2M6.5 4h7M6.5 8h7M6.5 12h7',
  agents: 'M8 8a2.7 2.7 0 1 0 0-5.4A2.7 2.7 0 0 0 8 8Zm-5 6c.4-2.8 2.4-4.2 5-4.2s4.6 1.4 5 4.2',
  conversations: 'M2.5 3.5h8v6h-5l-3 2.5v-8.5ZM12 6h1.5v8L11 12H7.5',
  rooms: 'M2.5 13.5v-11h7v11M9.5 5h4v8.5M1.5 13.5h13M5 5h2M5 8h2M5 11h2',
  approvals: 'M8 1.8 13 4v4c0 3.2-2 5.2-5 6.3C5 13.2 3 11.2 3 8V4l5-2.2Zm-2.2 6L7.4 9.4 10.4 6.3',
  policies: 'M8 2v12M3 14h10M3 4.5h10M3 4.5 1.5 9h3L3 4.5Zm10 0L11.5 9h3L13 4.5Z',
  'dead-letters': 'M2 4.5h12v8H2v-8Zm0 .3 6 4.2 6-4.2',
  a2a: 'M2 5h9M8.5 2.5 11 5 8.5 7.5M14 11H5m2.5-2.5L5 11l2.5 2.5',
  cluster: 'M2.5 2.5h11v4h-11zM2.5 9.5h11v4h-11zM5 4.5h.01M5 11.5h.01',
  fleets: 'M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5H2.5zM9 9h4.5v4.5H9z',
  analytics: 'M2.5 13.5h11M4 11V8M7 11V4M10 11V6.5M13 11V3',
  hooks: 'M8 2v6.5a3 3 0 1 1-3-3M8 2 6 4m2-2 2 2',
  settings:
    'M2.5 4.5h6m3 0h2M2.5 11.5h2m3 0h6M10 6a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Zm-4 7a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z',
  licence: 'M3 2.5h7l3 3v8H3v-11ZM10 2.5v3h3M5.5 8.5h5M5.5 11h3',
  metrics: 'M1.5 9h3L6.5 3l3 10 2-4h3',
  about: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Zm0-6.7V11M8 5h.01',
  operators:
    'M6 7.5A2.3 2.3 0 1 0 6 3a2.3 2.3 0 0 0 0 4.5Zm-4.5 6C1.9 11 3.7 9.7 6 9.7s4.1 1.3 4.5 3.8M10.5 3.2a2.2 2.2 0 0 1 0 4.2M12 9.9c1.4.5 2.3 1.7 2.5 3.6',
  keys: 'M6 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm2.2-1 5.3 5M11 11.2l1.5-1.5',
  audit:
    'M4 6.5a2.5 2.5 0 0 1 2.5-2.5h1M12 9.5a2.5 2.5 0 0 1-2.5 2.5h-1M6 8h4M8.5 4h1A2.5 2.5 0 0 1 12 6.5M7.5 12h-1A2.5 2.5 0 0 1 4 9.5',
  account:
    'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Zm0-5.5a2 2 0 1 0 0-4 2 2 0 0 0 0 4Zm-3.7 3.9C5 10.9 6.3 10.3 8 10.3s3 .6 3.7 2.1',
  search: 'M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9Zm3.3-1.2 3.2 3.2',
  close: 'm4 4 8 8m0-8-8 8',
  more: 'M3.2 8.9a.9.9 0 1 0 0-1.8.9.9 0 0 0 0 1.8ZM8 8.9a.9.9 0 1 0 0-1.8.9.9 0 0 0 0 1.8ZM12.8 8.9a.9.9 0 1 0 0-1.8.9.9 0 0 0 0 1.8Z',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
  check: 'm3 8.5 3.3 3.3L13 5',
  up: 'M8 12.5v-9M4.5 7 8 3.5 11.5 7',
  down: 'M8 3.5v9M4.5 9 8 12.5 11.5 9',
  right: 'm6 3.5 4.5 4.5L6 12.5',
  warn: 'M8 2.5 14.5 13.5h-13L8 2.5Zm0 4.2v3M8 11.6h.01',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm0-9.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M3.4 12.6l.7-.7M11.9 4.1l.7-.7',
  moon: 'M13.5 9.5A5.8 5.8 0 0 1 6.5 2.5a5.8 5.8 0 1 0 7 7Z',
  system: 'M2 3h12v8H2V3Zm4 11h4M8 11v3',
  plus: 'M8 3v10M3 8h10',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'm5 3 8 5-8 5V3Z',
  out: 'M9.5 2.5h4v11h-4M6 5 3 8l3 3M3 8h7',
  download: 'M8 2.5v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11',
  refresh: 'M13 8a5 5 0 1 1-1.5-3.5L13 6M13 2.5V6H9.5',
  send: 'M14 2 7 9M14 2 9.5 14 7 9 2 6.5 14 2Z',
  dot: 'M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.4"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
