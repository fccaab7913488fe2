// Texts made to be taken along: commands, tokens, ids.
import { useEffect, useState } from 'react';
import { text } from '../text';
import { shortId } from './format';
import { Icon } from './Icon';

const SAID_MS = 1_600;

async function toClipboard(value: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    return false;
  }
}

export function CopyButton({ value, label }: { value: string; label?: string }) {
  const [done, setDone] = useState<boolean | null>(null);
  useEffect(() => {
    if (done === null) return;
    const timer = setTimeout(() => setDone(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [done]);
  const says =
    done === null ? (label ?? text.common.copy) : done ? text.common.copied : text.common.copyFailed;
  return (
    <button
      type="button"
      className="button quiet small icon"
      aria-label={says}
      title={says}
      onClick={(event) => {
        event.stopPropagation();
        void toClipboard(value).then(setDone);
      }}
    >
      <Icon name={done ? 'check' : 'copy'} size={14} />
      <span className="hidden-visually" role="status">
        {done === null ? '' : says}
      </span>
    </button>
  );
}

export function CopyBox({ value, label }: { value: string; label: string }) {
  return (
    <div className="copy-box">
      <pre tabIndex={0} aria-label={label}>
        {value}
      </pre>
      <CopyButton value={value} />
    </div>
  );
}

/** An id, short, whole on hover, and copied by its button. */
export function Id({ id, whole }: { id: string; whole?: boolean }) {
  return (
    <span className="row" style={{ display: 'inline-flex', gap: 2, maxWidth: '100%' }}>
      <span className="id cut" title={id}>
        {whole ? id : shortId(id)}
      </span>
      <CopyButton value={id} label={text.common.copyId} />
    </span>
  );
}

export function Json({ value, label }: { value: unknown; label: string }) {
  return (
    <pre className="json" tabIndex={0} aria-label={label}>
      {JSON.stringify(value, null, 2)}
    </pre>
  );
}
