// A button that opens a list of actions, on the browser's own popover: closes on Escape and on a
// click elsewhere, arrows go from one to the next (ARIA practices, menu button).
import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react';
import { text } from '../text';
import { Icon } from './Icon';

export interface MenuItem {
  label: string;
  danger?: boolean;
  onChoose: () => void;
}

export function Menu({ label, items }: { label: string; items: MenuItem[] }) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);

  useEffect(() => {
    const menu = list.current;
    if (!open || !menu || !button.current) return;
    const box = button.current.getBoundingClientRect();
    menu.showPopover();
    const below = window.innerHeight - box.bottom > menu.offsetHeight + 8;
    menu.style.top = `${below ? box.bottom + 4 : box.top - menu.offsetHeight - 4}px`;
    menu.style.left = `${Math.max(8, box.right - menu.offsetWidth)}px`;
    menu.querySelector<HTMLElement>('button')?.focus();
    const onToggle = (event: Event) => {
      if ((event as ToggleEvent).newState === 'closed') setOpen(false);
    };
    const onScroll = () => setOpen(false);
    menu.addEventListener('toggle', onToggle);
    window.addEventListener('scroll', onScroll, { passive: true });
    return () => {
      menu.removeEventListener('toggle', onToggle);
      window.removeEventListener('scroll', onScroll);
      if (menu.matches(':popover-open')) menu.hidePopover();
    };
  }, [open]);

  const onKey = (event: KeyboardEvent) => {
    const all = [...(list.current?.querySelectorAll<HTMLElement>('button') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      all[(next + all.length) % all.length]?.focus();
    } else if (event.key === 'Tab') {
      setOpen(false);
    }
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className="button small icon"
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      >
        <Icon name="more" />
      </button>
      {open && (
        <div
          ref={list}
          id={id}
          className="menu"
          role="menu"
          aria-label={text.cluster.actions}
          popover="auto"
          onKeyDown={onKey}
        >
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              className={item.danger ? 'danger' : undefined}
              onClick={() => {
                setOpen(false);
                button.current?.focus();
                item.onChoose();
              }}
            >
              {item.label}
            </button>
          ))}
        </div>
      )}
    </>
  );
}
