// Making and changing a hook.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Hook } from '../../api/types';
import { text } from '../../text';
import { FormDialog } from '../../ui/Dialog';
import { Check, SelectField, TextField } from '../../ui/Field';

const t = text.hooks;
const EVENTS = ['before_message', 'after_message', 'fleet_created', 'overview'] as const;
type EventName = (typeof EVENTS)[number];

export function HookDialog({
  hook,
  onClose,
  onSecret,
}: {
  hook: Hook | null;
  onClose: () => void;
  onSecret: (secret: string) => void;
}) {
  const client = useQueryClient();
  const [name, setName] = useState(hook?.name ?? '');
  const [url, setUrl] = useState(hook?.url ?? '');
  const [events, setEvents] = useState<EventName[]>(hook?.events ?? ['before_message']);
  const [failure, setFailure] = useState<'open' | 'closed'>(hook?.on_failure ?? 'closed');
  const [timeout, setTimeoutMs] = useState(String(hook?.timeout_ms ?? 1_000));
  const [retry, setRetry] = useState(String(hook?.retry_seconds ?? 3_600));
  const [priority, setPriority] = useState(String(hook?.priority ?? 100));
  const [enabled, setEnabled] = useState(hook?.enabled ?? true);
  const save = async () => {
    const body = {
      name: name.trim(),
      url: url.trim(),
      events,
      on_failure: failure,
      timeout_ms: Number(timeout),
      retry_seconds: Number(retry),
      priority: Number(priority),
      enabled,
    };
    if (hook) await need(api.PUT('/v1/operator/hooks/{id}', { params: { path: { id: hook.id } }, body }));
    else onSecret((await need(api.POST('/v1/operator/hooks', { body }))).secret);
    await Promise.all(['hooks', 'hook'].map((key) => client.invalidateQueries({ queryKey: [key] })));
  };
  const toggle = (event: EventName) =>
    setEvents(events.includes(event) ? events.filter((one) => one !== event) : [...events, event]);
  return (
    <FormDialog
      title={hook ? t.editTitle(hook.name) : t.newTitle}
      submit={hook ? text.common.save : text.common.create}
      done={hook ? t.saved : t.created}
      onSubmit={save}
      onClose={onClose}
      wide
      disabled={events.length === 0}
    >
      <div className="form-grid">
        <TextField
          label={t.name}
          hint={t.nameHint}
          value={name}
          required
          pattern="[a-z0-9\-]{1,64}"
          autoFocus
          onChange={(event) => setName(event.target.value)}
        />
        <TextField
          label={t.url}
          type="url"
          value={url}
          required
          placeholder="https://hooks.example.org/ekho"
          onChange={(event) => setUrl(event.target.value)}
        />
        <fieldset className="stack tight form-wide">
          <legend>{t.columns.events}</legend>
          {EVENTS.map((event) => (
            <Check
              key={event}
              label={t.events[event]}
              hint={t.eventsAbout[event]}
              checked={events.includes(event)}
              onChange={() => toggle(event)}
            />
          ))}
        </fieldset>
        <SelectField
          label={t.onFailure}
          value={failure}
          choices={Object.entries(t.failures).map(([value, label]) => ({ value, label }))}
          onChange={(event) => setFailure(event.target.value === 'open' ? 'open' : 'closed')}
        />
        <TextField
          label={t.timeout}
          type="number"
          min={50}
          max={10_000}
          value={timeout}
          required
          onChange={(event) => setTimeoutMs(event.target.value)}
        />
        <TextField
          label={t.retry}
          type="number"
          min={0}
          max={604_800}
          value={retry}
          required
          onChange={(event) => setRetry(event.target.value)}
        />
        <TextField
          label={t.priority}
          type="number"
          min={0}
          value={priority}
          required
          onChange={(event) => setPriority(event.target.value)}
        />
        <div className="form-wide">
          <Check
            label={t.enabledLabel}
            checked={enabled}
            onChange={(event) => setEnabled(event.target.checked)}
          />
        </div>
      </div>
    </FormDialog>
  );
}
