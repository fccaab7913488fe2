// Parts of a page, each with its own address: links, not tabs in the sense of ARIA.
import { Link, type LinkProps } from '@tanstack/react-router';

type Tab = Pick<LinkProps, 'to' | 'params' | 'search'> & { value: string; label: string; count?: number };

/** The router marks links as current by itself: the first tab, which has no query, would always be. */
const EXACT = { exact: true, includeSearch: true };

export function Tabs({ label, current, tabs }: { label: string; current: string; tabs: Tab[] }) {
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map(({ value, label: name, count, ...link }) => (
        <Link
          key={value}
          {...link}
          activeOptions={EXACT}
          className="tab"
          aria-current={value === current ? 'page' : undefined}
          replace
          resetScroll={false}
        >
          {name}
          {count !== undefined && count > 0 && <span className="faint num">{count}</span>}
        </Link>
      ))}
    </nav>
  );
}
