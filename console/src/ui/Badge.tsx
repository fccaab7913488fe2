// A state in words on a coloured ground, with a shape of its own for each tone, so that colour is
// never the only sign.
import type { ReactNode } from 'react';

export type Tone = 'ok' | 'warn' | 'bad' | 'info' | 'idle' | 'accent';

const SHAPES: Record<Tone, ReactNode> = {
  ok: <circle cx="5" cy="5" r="3.5" fill="currentColor" />,
  warn: <path d="M5 1 9.3 9H.7L5 1Z" fill="currentColor" />,
  bad: <rect x="1.5" y="1.5" width="7" height="7" fill="currentColor" />,
  info: <circle cx="5" cy="5" r="3" fill="none" stroke="currentColor" strokeWidth="2" />,
  idle: <path d="M1.5 5h7" stroke="currentColor" strokeWidth="2" />,
  accent: <path d="M5 .8 9.2 5 5 9.2.8 5 5 .8Z" fill="currentColor" />,
};

export function Badge({
  tone,
  children,
  title,
}: {
  tone: Tone;
  children: ReactNode;
  title?: string | undefined;
}) {
  return (
    <span className={`badge tone-${tone}`} title={title}>
      <svg width="10" height="10" viewBox="0 0 10 10" aria-hidden="true">
        {SHAPES[tone]}
      </svg>
      {children}
    </span>
  );
}

/** A word that is no state: a kind, a type. */
export function Tag({ children }: { children: ReactNode }) {
  return <span className="badge plain">{children}</span>;
}
