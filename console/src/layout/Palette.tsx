// The quick way to anything: pages by name, agents by name, anything by its id, messages by their words.
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type KeyboardEvent, useDeferredValue, useEffect, useId, useMemo, useRef, useState } from 'react';
import { api, need } from '../api/client';
import { useMe } from '../session/session';
import { text } from '../text';
import { Icon, type IconName } from '../ui/Icon';
import { GROUPS } from './pages';

interface Hit {
  key: string;
  icon: IconName;
  label: string;
  kind: string;
  go: () => void;
}

const ID = /^(agent|msg|apr|pol|dl|room|task|hook)_[0-9a-z]+$/i;

export function Palette({ onClose }: { onClose: () => void }) {
  const me = useMe();
  const navigate = useNavigate();
  const ref = useRef<HTMLDialogElement>(null);
  const listId = useId();
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  // What can be chosen follows what is typed at once: Enter may come right behind the last letter.
  const words = typed.trim();
  const asked = useDeferredValue(words);
  useEffect(() => {
    if (!ref.current?.open) ref.current?.showModal();
  }, []);

  const agents = useQuery({
    queryKey: ['agents', 'palette', asked],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/agents', { params: { query: { search: asked, limit: 8 } }, signal })),
    enabled: asked.length >= 2 && !ID.test(asked),
  });

  const hits = useMemo<Hit[]>(() => {
    const found: Hit[] = [];
    const lower = words.toLowerCase();
    const toId = idTarget(words, navigate);
    if (toId) found.push({ key: 'id', icon: 'right', label: text.nav.openId(words), kind: '', go: toId });
    for (const page of GROUPS.flatMap((group) => group.pages)) {
      if (page.firstFleet && !me.first_fleet) continue;
      if (!page.label.toLowerCase().includes(lower)) continue;
      found.push({
        key: page.to,
        icon: page.icon,
        label: page.label,
        kind: text.nav.page,
        go: () => void navigate({ to: page.to }),
      });
    }
    for (const agent of (asked === words && agents.data?.agents) || []) {
      found.push({
        key: agent.id,
        icon: 'agents',
        label: agent.display_name,
        kind: text.nav.agent,
        go: () => void navigate({ to: '/agents/$id', params: { id: agent.id } }),
      });
    }
    if (words.length >= 2 && !toId) {
      found.push({
        key: 'search',
        icon: 'search',
        label: text.nav.searchMessages(words),
        kind: text.nav.conversations,
        go: () => void navigate({ to: '/conversations', search: { search: words, view: 'messages' } }),
      });
    }
    return found;
  }, [words, asked, agents.data, navigate, me.first_fleet]);
  const current = Math.min(at, hits.length - 1);

  const choose = (hit: Hit | undefined) => {
    if (!hit) return;
    onClose();
    hit.go();
  };
  const onKey = (event: KeyboardEvent) => {
    const by = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (by !== 0) {
      event.preventDefault();
      setAt((current + by + hits.length) % Math.max(hits.length, 1));
    } else if (event.key === 'Enter') {
      event.preventDefault();
      choose(hits[current]);
    }
  };

  return (
    <dialog
      ref={ref}
      className="palette"
      aria-label={text.nav.searchShort}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === ref.current && onClose()}
    >
      <input
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls={listId}
        aria-label={text.nav.searchLabel}
        aria-activedescendant={hits[current] ? `${listId}-${current}` : undefined}
        placeholder={text.nav.searchLabel}
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setAt(0);
        }}
        onKeyDown={onKey}
      />
      <ul id={listId} role="listbox" aria-label={text.nav.searchShort}>
        {hits.map((hit, index) => (
          <li
            key={hit.key}
            id={`${listId}-${index}`}
            role="option"
            aria-selected={index === current}
            ref={(item) => {
              if (index === current) item?.scrollIntoView({ block: 'nearest' });
            }}
            onClick={() => choose(hit)}
            onMouseMove={() => setAt(index)}
          >
            <Icon name={hit.icon} />
            <span className="cut">{hit.label}</span>
            <span className="faint small">{hit.kind}</span>
          </li>
        ))}
      </ul>
      {hits.length === 0 && <p className="empty compact">{text.nav.searchNothing}</p>}
    </dialog>
  );
}

function idTarget(id: string, navigate: ReturnType<typeof useNavigate>): (() => void) | null {
  if (!ID.test(id)) return null;
  if (id.startsWith('agent_')) return () => void navigate({ to: '/agents/$id', params: { id } });
  if (id.startsWith('msg_')) return () => void navigate({ to: '/messages/$id', params: { id } });
  if (id.startsWith('apr_'))
    return () => void navigate({ to: '/approvals', search: { status: 'all', selected: id } });
  if (id.startsWith('pol_')) return () => void navigate({ to: '/policies/$id', params: { id } });
  if (id.startsWith('dl_')) return () => void navigate({ to: '/dead-letters', search: { selected: id } });
  if (id.startsWith('task_')) return () => void navigate({ to: '/a2a', search: { selected: id } });
  if (id.startsWith('hook_')) return () => void navigate({ to: '/hooks', search: { selected: id } });
  if (id.startsWith('room_')) return () => void navigate({ to: '/conversations/$id', params: { id } });
  return null;
}
