// Enrolment: a one-time token inside a command to copy, and a look-out for the agent to appear.
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useLiveEvents } from '../../live/live';
import { useAgentName } from '../../links/names';
import { useMay, useMe } from '../../session/session';
import { text } from '../../text';
import { CopyBox } from '../../ui/Copy';
import { Dialog } from '../../ui/Dialog';
import { Segments, TextField } from '../../ui/Field';
import { formatDuration } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { ErrorBox, Notice } from '../../ui/State';
import { COMMANDS, type Sdk, SDKS } from './commands';

const t = text.agents.enrolment;

export function EnrolButton({ primary }: { primary?: boolean }) {
  const [open, setOpen] = useState(false);
  if (!useMay('agents')) return null;
  return (
    <>
      <button type="button" className={primary ? 'button primary' : 'button'} onClick={() => setOpen(true)}>
        <Icon name="plus" />
        {text.agents.enrol}
      </button>
      {open && <EnrolDialog onClose={() => setOpen(false)} />}
    </>
  );
}

function EnrolDialog({ onClose }: { onClose: () => void }) {
  const me = useMe();
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [runtime, setRuntime] = useState('custom');
  const [sdk, setSdk] = useState<Sdk>('curl');
  const [joined, setJoined] = useState<string | null>(null);
  const making = useMutation({
    mutationFn: () => need(api.POST('/v1/operator/enrollment-tokens')),
    onSuccess: () => setJoined(null),
  });
  useLiveEvents((event) => {
    if (event.event_type !== 'agent.enrolled' || !making.data) return;
    setJoined(event.resource_id);
    void client.invalidateQueries({ queryKey: ['agents'] });
    void client.invalidateQueries({ queryKey: ['overview'] });
  });
  const display = name.trim() || t.example;
  return (
    <Dialog title={t.title} onClose={onClose} wide>
      <div className="dialog-body">
        <p className="muted">{t.about}</p>
        {!making.data && (
          <form
            className="stack"
            onSubmit={(event) => {
              event.preventDefault();
              making.mutate();
            }}
          >
            <div className="form-grid">
              <TextField
                label={t.name}
                value={name}
                maxLength={200}
                autoFocus
                placeholder={t.example}
                onChange={(event) => setName(event.target.value)}
              />
              <TextField
                label={t.runtime}
                value={runtime}
                pattern="[a-z0-9._\-]{1,64}"
                required
                onChange={(event) => setRuntime(event.target.value)}
              />
            </div>
            {making.error && <ErrorBox error={making.error} />}
            <div>
              <button type="submit" className="button primary" disabled={making.isPending}>
                {making.isPending ? text.common.working : t.make}
              </button>
            </div>
          </form>
        )}
        {making.data && (
          <>
            <div className="row wrap apart">
              <Segments
                label={t.title}
                value={sdk}
                onChange={setSdk}
                choices={SDKS.map((value) => ({ value, label: t.sdks[value] ?? value }))}
              />
              <span className="small muted">
                {t.expires(formatDuration(making.data.expires_in_seconds * 1_000))}
              </span>
            </div>
            <CopyBox
              label={t.command(t.sdks[sdk] ?? sdk)}
              value={COMMANDS[sdk]({
                url: window.location.origin,
                fleet: me.fleet_id,
                token: making.data.token,
                name: display,
                runtime,
              })}
            />
            {joined ? <Joined id={joined} onClose={onClose} /> : <Notice>{t.waiting}</Notice>}
            {joined && (
              <div>
                <button type="button" className="button" onClick={() => making.reset()}>
                  {t.another}
                </button>
              </div>
            )}
          </>
        )}
      </div>
    </Dialog>
  );
}

function Joined({ id, onClose }: { id: string; onClose: () => void }) {
  const name = useAgentName(id);
  return (
    <div role="status">
      <Notice tone="ok">
        {t.joined(name ?? id)}{' '}
        <Link to="/agents/$id" params={{ id }} onClick={onClose}>
          {t.open}
        </Link>
      </Notice>
    </div>
  );
}
