// Choosing an agent by name: a field with suggestions of the browser's own, which tells the id.
import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useEffect, useId, useState } from 'react';
import { api, need } from '../api/client';
import type { Agent } from '../api/types';
import { shortId } from '../ui/format';
import { useAgentName } from './names';

const optionOf = (agent: Agent): string => `${agent.display_name} (${shortId(agent.id)})`;

/** Whom the typed text names: an option as it stands, a name in whole, or an id; nobody is ''. */
function named(typed: string, choices: Agent[]): string {
  const words = typed.trim();
  const chosen =
    choices.find((agent) => optionOf(agent) === typed) ??
    choices.find((agent) => agent.display_name.toLowerCase() === words.toLowerCase());
  return chosen?.id ?? (/^agent_[0-9a-z]+$/i.test(words) ? words : '');
}

interface Props {
  label: string;
  value: string;
  onChange: (id: string) => void;
  placeholder?: string;
  hint?: string;
  except?: string;
  required?: boolean;
}

export function AgentPicker({ label, value, onChange, placeholder, hint, except, required }: Props) {
  const id = useId();
  const known = useAgentName(value || null);
  const [typed, setTyped] = useState<string | null>(null);
  const shown = typed ?? (value ? (known ?? value) : '');
  const words = useDeferredValue(typed ?? '')
    .trim()
    .replace(/ \([^)]*\)$/, '');
  const found = useQuery({
    queryKey: ['agents', 'picker', words],
    queryFn: ({ signal }) =>
      need(
        api.GET('/v1/operator/agents', {
          params: { query: { search: words || undefined, limit: 20, sortBy: 'display_name' } },
          signal,
        }),
      ),
    staleTime: 10_000,
  });
  const choices = (found.data?.agents ?? []).filter(
    (agent) => agent.id !== except && agent.status !== 'revoked',
  );
  const choose = (now: string) => {
    setTyped(now);
    onChange(named(now, choices));
  };
  // Whoever types faster than the suggestions come has named somebody all the same.
  const late = typed !== null && value === '' ? named(typed, choices) : '';
  useEffect(() => {
    if (late !== '') onChange(late);
  }, [late, onChange]);
  const unmatched = typed !== null && typed !== '' && value === '' && !found.isFetching;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="input"
        list={`${id}-list`}
        value={shown}
        placeholder={placeholder}
        required={required}
        autoComplete="off"
        aria-invalid={unmatched && choices.length === 0 ? true : undefined}
        onChange={(event) => choose(event.target.value)}
      />
      <datalist id={`${id}-list`}>
        {choices.map((agent) => (
          <option key={agent.id} value={optionOf(agent)} />
        ))}
      </datalist>
      {hint && <span className="hint">{hint}</span>}
    </div>
  );
}
