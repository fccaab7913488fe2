// The head of a page and the boxes on it.
import { type ReactNode, useEffect, useId } from 'react';
import { text } from '../text';

interface HeadProps {
  title: string;
  /** What the browser's tab says, where the title is not enough. */
  tab?: string;
  about?: ReactNode;
  above?: ReactNode;
  badge?: ReactNode;
  actions?: ReactNode;
}

export function PageHead({ title, tab, about, above, badge, actions }: HeadProps) {
  useEffect(() => {
    document.title = `${tab ?? title} · ${text.common.product}`;
  }, [title, tab]);
  return (
    <header className="page-head">
      <div className="grow">
        {above && <div className="crumb">{above}</div>}
        <div className="row wrap">
          <h1 className="break">{title}</h1>
          {badge}
        </div>
        {about && <p>{about}</p>}
      </div>
      {actions && <div className="row wrap">{actions}</div>}
    </header>
  );
}

interface PanelProps {
  title?: ReactNode;
  about?: ReactNode;
  actions?: ReactNode;
  flush?: boolean;
  className?: string;
  children: ReactNode;
}

export function Panel({ title, about, actions, flush, className, children }: PanelProps) {
  const id = useId();
  return (
    <section className={className ? `panel ${className}` : 'panel'} aria-labelledby={title ? id : undefined}>
      {title && (
        <div className="panel-head">
          <h2 id={id}>{title}</h2>
          {about && <p>{about}</p>}
          {actions && <div className="actions">{actions}</div>}
        </div>
      )}
      <div className={flush ? 'panel-body flush' : 'panel-body'}>{children}</div>
    </section>
  );
}

export function Facts({ of }: { of: [name: string, value: ReactNode][] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) => (
        <div key={name} style={{ display: 'contents' }}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
