// The frame: navigation, top bar, banners, and the page.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { api, need } from '../api/client';
import { LiveProvider, useLiveState } from '../live/live';
import { Notifications } from '../pages/approvals/Notify';
import { signOut, useMe } from '../session/session';
import { text } from '../text';
import { formatShort } from '../ui/format';
import { Icon } from '../ui/Icon';
import { useErrorToast } from '../ui/Toast';
import { ClusterWatch } from './ClusterWatch';
import { GROUPS, type NavPage } from './pages';
import { Palette } from './Palette';
import { setTheme, THEMES, useTheme } from './theme';

export const countsQuery = {
  queryKey: ['counts'],
  queryFn: async ({ signal }: { signal: AbortSignal }) =>
    (await need(api.GET('/v1/operator/fleet-health', { signal }))).counts,
  staleTime: 30_000,
};

export function Shell() {
  return (
    <LiveProvider>
      <Frame />
    </LiveProvider>
  );
}

function Frame() {
  const [open, setOpen] = useState(false);
  const [searching, setSearching] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const page = useRef<HTMLElement>(null);
  const before = useRef(path);

  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    setOpen(false);
    // Whoever reads with a screen reader begins at the new page, not where the old one was left.
    page.current?.focus({ preventScroll: true });
  }, [path]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        setSearching(true);
      } else if (event.key === '/' && !isTyping(event.target)) {
        event.preventDefault();
        setSearching(true);
      } else if (event.key === 'Escape') {
        setOpen(false);
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);

  return (
    <div className="shell">
      <a
        className="skip"
        href="#page"
        onClick={(event) => {
          event.preventDefault();
          page.current?.focus();
        }}
      >
        {text.nav.skip}
      </a>
      <Navigation open={open} onClose={() => setOpen(false)} />
      <div className="nav-shade" onClick={() => setOpen(false)} />
      <div className="main-side">
        <TopBar onMenu={() => setOpen(true)} onSearch={() => setSearching(true)} menuOpen={open} />
        <ClusterWatch />
        <main className="page" id="page" ref={page} tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      <Notifications />
      {searching && <Palette onClose={() => setSearching(false)} />}
    </div>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      /^(input|textarea|select)$/i.test(target.tagName) ||
      target.closest('dialog') !== null)
  );
}

function Navigation({ open, onClose }: { open: boolean; onClose: () => void }) {
  const me = useMe();
  const counts = useQuery(countsQuery).data;
  return (
    <nav className="nav" data-open={open} aria-label={text.nav.label}>
      <div className="row">
        <Link to="/" className="nav-brand">
          <img src="/ui/ekho.svg" alt="" width={24} height={24} />
          {text.common.product}
        </Link>
        <button
          type="button"
          className="button quiet icon nav-close"
          aria-label={text.common.close}
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </div>
      {GROUPS.map((group) => (
        <div key={group.label} className="nav-group">
          <h2>{group.label}</h2>
          <ul>
            {group.pages
              .filter((one) => !one.firstFleet || me.first_fleet)
              .map((one) => (
                <li key={one.to}>
                  <NavLink page={one} count={one.count ? counts?.[one.count] : undefined} />
                </li>
              ))}
          </ul>
        </div>
      ))}
    </nav>
  );
}

function NavLink({ page, count }: { page: NavPage; count: number | undefined }) {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const current = page.to === '/' ? path === '/' : path === page.to || path.startsWith(`${page.to}/`);
  return (
    <Link to={page.to} className="nav-link" aria-current={current ? 'page' : undefined}>
      <Icon name={page.icon} />
      {page.label}
      {count !== undefined && count > 0 && (
        <span
          className={page.countIsBad ? 'nav-count bad' : 'nav-count'}
          aria-label={text.nav.waiting(count)}
        >
          {formatShort(count)}
        </span>
      )}
    </Link>
  );
}

function TopBar({
  onMenu,
  onSearch,
  menuOpen,
}: {
  onMenu: () => void;
  onSearch: () => void;
  menuOpen: boolean;
}) {
  const me = useMe();
  const client = useQueryClient();
  const navigate = useNavigate();
  const failed = useErrorToast();
  return (
    <header className="top">
      <button
        type="button"
        className="button quiet icon menu-button"
        aria-label={text.nav.open}
        aria-expanded={menuOpen}
        onClick={onMenu}
      >
        <Icon name="menu" />
      </button>
      <button type="button" className="top-search" onClick={onSearch} aria-keyshortcuts="Control+K">
        <Icon name="search" size={14} />
        <span className="wide-only">{text.nav.search}</span>
        <span className="narrow-only">{text.nav.searchShort}</span>
        <kbd>{text.nav.searchKeys}</kbd>
      </button>
      <div className="top-spacer" />
      <LiveSign />
      <ThemeSwitch />
      <Link
        to="/account"
        className="button quiet wide-only"
        title={`${me.email}, ${text.operators.roles[me.role]}, ${me.fleet_name}`}
      >
        <Icon name="account" />
        <span className="cut" style={{ maxWidth: 200 }}>
          {me.email}
        </span>
      </Link>
      <button
        type="button"
        className="button quiet icon"
        aria-label={text.signIn.out}
        title={text.signIn.out}
        onClick={() =>
          void signOut(client)
            .then(() => navigate({ to: '/sign-in' }))
            .catch(failed)
        }
      >
        <Icon name="out" />
      </button>
    </header>
  );
}

function LiveSign() {
  const state = useLiveState();
  return (
    <span className="live" data-state={state} title={text.live.about[state]} role="status">
      <span className="live-dot" aria-hidden="true" />
      {text.live[state]}
    </span>
  );
}

function ThemeSwitch() {
  const theme = useTheme();
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'system';
  const label = text.theme.next(text.theme[theme]);
  return (
    <button
      type="button"
      className="button quiet icon"
      aria-label={label}
      title={label}
      onClick={() => setTheme(next)}
    >
      <Icon name={theme === 'light' ? 'sun' : theme === 'dark' ? 'moon' : 'system'} />
    </button>
  );
}
