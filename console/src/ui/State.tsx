// What a page shows while there is nothing to show: skeletons, empty states that say what to do
// next, and errors with their code and request id.
import type { ReactNode } from 'react';
import { asApiError, type ApiError } from '../api/error';
import { text } from '../text';
import { Icon } from './Icon';

export function Skeleton({ lines = 4 }: { lines?: number }) {
  return (
    <div className="skeleton-lines" role="status">
      <span className="hidden-visually">{text.common.loading}</span>
      {Array.from({ length: lines }, (_, line) => (
        <span key={line} className="skeleton" style={{ width: `${92 - ((line * 37) % 45)}%` }} />
      ))}
    </div>
  );
}

interface EmptyProps {
  title: string;
  children?: ReactNode;
  compact?: boolean;
}

export function Empty({ title, children, compact }: EmptyProps) {
  return (
    <div className={compact ? 'empty compact' : 'empty'}>
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Notice({
  tone = 'info',
  children,
}: {
  tone?: 'info' | 'ok' | 'warn' | 'bad';
  children: ReactNode;
}) {
  return (
    <div className={`notice tone-${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      <Icon name={tone === 'bad' || tone === 'warn' ? 'warn' : tone === 'ok' ? 'check' : 'about'} />
      <div className="grow">{children}</div>
    </div>
  );
}

/** What an error means to the reader, where the console knows better than the relay's sentence. */
function sentence(error: ApiError): string {
  const known = text.errors.byCode[error.code];
  if (error.code === 'forbidden' && error.detail) return text.errors.lacksScope(error.detail);
  if (error.code === 'license_required' && error.detail) return text.errors.needsLicence(error.detail);
  return known ?? error.message;
}

export function ErrorBox({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const known = asApiError(error);
  return (
    <Notice tone="bad">
      <span className="break">{sentence(known)}</span>{' '}
      {onRetry && (
        <button type="button" className="link" onClick={onRetry}>
          {text.common.tryAgain}
        </button>
      )}
      <span className="detail">
        {text.errors.code} <code>{known.code}</code>
        {known.requestId && (
          <>
            {' '}
            · {text.errors.request} <code className="break">{known.requestId}</code>
          </>
        )}
      </span>
    </Notice>
  );
}

interface LoadedProps<Data> {
  query: { data: Data | undefined; error: unknown; isPending: boolean; refetch: () => unknown };
  lines?: number;
  children: (data: Data) => ReactNode;
}

/** Skeleton, error or the thing itself. Old data stays in sight when a later try fails. */
export function Loaded<Data>({ query, lines, children }: LoadedProps<Data>) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error)
    return (
      <div className="panel-body">
        <ErrorBox error={query.error} onRetry={() => void query.refetch()} />
      </div>
    );
  return <Skeleton lines={lines ?? 4} />;
}
