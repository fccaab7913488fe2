// The detail beside a list; at phone width it covers the list.
import { type ReactNode, useEffect, useId, useRef } from 'react';
import { text } from '../text';
import { Icon } from './Icon';

export function Aside({
  title,
  onClose,
  foot,
  children,
}: {
  title: string;
  onClose: () => void;
  foot?: ReactNode;
  children: ReactNode;
}) {
  const id = useId();
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    // Where the detail covers the list, whoever uses the keyboard has to be taken into it.
    const aside = ref.current;
    if (aside && getComputedStyle(aside).position === 'fixed') aside.focus();
  }, []);
  return (
    <aside ref={ref} className="panel aside" aria-labelledby={id} tabIndex={-1}>
      <div className="panel-head">
        <h2 id={id}>{title}</h2>
        <div className="actions">
          <button
            type="button"
            className="button quiet small icon"
            aria-label={text.common.close}
            onClick={onClose}
          >
            <Icon name="close" />
          </button>
        </div>
      </div>
      <div className="panel-body">{children}</div>
      {foot && <div className="dialog-foot aside-foot">{foot}</div>}
    </aside>
  );
}
