// Holding an agent, letting it go on, ending it, and naming it for policies: each with a reason.
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Agent } from '../../api/types';
import { AgentPicker } from '../../links/AgentPicker';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { FormDialog, ReasonDialog } from '../../ui/Dialog';
import { SelectField, TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';

const t = text.agents;
type Open = 'pause' | 'quarantine' | 'resume' | 'revoke' | null;

export function AgentActions({ agent }: { agent: Agent }) {
  const [open, setOpen] = useState<Open>(null);
  const client = useQueryClient();
  if (!useMay('agents') || agent.status === 'revoked') return null;
  const held = agent.status === 'paused' || agent.status === 'quarantined';
  const close = () => setOpen(null);
  const path = { id: agent.id };
  const after = async <Value,>(doing: Promise<Value>) => {
    await doing;
    await Promise.all(
      ['agent', 'agents', 'overview', 'counts'].map((key) => client.invalidateQueries({ queryKey: [key] })),
    );
  };
  const name = agent.display_name;
  return (
    <>
      {held && (
        <button type="button" className="button primary" onClick={() => setOpen('resume')}>
          <Icon name="play" size={14} />
          {t.resume}
        </button>
      )}
      {agent.status !== 'paused' && (
        <button type="button" className="button" onClick={() => setOpen('pause')}>
          <Icon name="pause" size={14} />
          {t.pause}
        </button>
      )}
      {agent.status !== 'quarantined' && (
        <button type="button" className="button" onClick={() => setOpen('quarantine')}>
          {t.quarantine}
        </button>
      )}
      <button type="button" className="button danger" onClick={() => setOpen('revoke')}>
        {t.revoke}
      </button>
      {open === 'pause' && (
        <HoldDialog
          agent={agent}
          title={t.pauseTitle(name)}
          about={t.pauseAbout}
          submit={t.pause}
          done={t.paused(name)}
          onClose={close}
          onSubmit={(body) =>
            after(need(api.POST('/v1/operator/agents/{id}/pause', { params: { path }, body })))
          }
        />
      )}
      {open === 'quarantine' && (
        <HoldDialog
          agent={agent}
          title={t.quarantineTitle(name)}
          about={t.quarantineAbout}
          submit={t.quarantine}
          done={t.quarantined(name)}
          onClose={close}
          onSubmit={(body) =>
            after(need(api.POST('/v1/operator/agents/{id}/quarantine', { params: { path }, body })))
          }
        />
      )}
      {open === 'resume' && (
        <ReasonDialog
          title={t.resumeTitle(name)}
          about={t.resumeAbout}
          submit={t.resume}
          done={t.resumed(name)}
          onClose={close}
          onSubmit={(reason) =>
            after(need(api.POST('/v1/operator/agents/{id}/resume', { params: { path }, body: { reason } })))
          }
        />
      )}
      {open === 'revoke' && (
        <ReasonDialog
          title={t.revokeTitle(name)}
          about={t.revokeAbout}
          submit={t.revoke}
          danger
          typed={name}
          done={t.revoked(name)}
          onClose={close}
          onSubmit={(reason) =>
            after(need(api.POST('/v1/operator/agents/{id}/revoke', { params: { path }, body: { reason } })))
          }
        />
      )}
    </>
  );
}

interface Hold {
  reason: string;
  expires_at?: string;
  redirect_agent_id?: string;
}

function HoldDialog({
  agent,
  onSubmit,
  ...rest
}: {
  agent: Agent;
  title: string;
  about: string;
  submit: string;
  done: string;
  onClose: () => void;
  onSubmit: (hold: Hold) => Promise<unknown>;
}) {
  const [seconds, setSeconds] = useState('');
  const [redirect, setRedirect] = useState('');
  const hold = (reason: string): Hold => ({
    reason,
    ...(seconds ? { expires_at: new Date(Date.now() + Number(seconds) * 1_000).toISOString() } : {}),
    ...(redirect ? { redirect_agent_id: redirect } : {}),
  });
  return (
    <ReasonDialog {...rest} onSubmit={(reason) => onSubmit(hold(reason))}>
      <div className="form-grid">
        <SelectField
          label={t.holdFor}
          value={seconds}
          onChange={(event) => setSeconds(event.target.value)}
          choices={Object.entries(t.holdChoices)
            .sort(([one], [other]) => Number(one) - Number(other))
            .map(([value, label]) => ({ value, label }))}
        />
        <AgentPicker
          label={t.redirectNew}
          value={redirect}
          onChange={setRedirect}
          placeholder={t.redirectNone}
          except={agent.id}
        />
      </div>
    </ReasonDialog>
  );
}

export function LabelsButton({ agent }: { agent: Agent }) {
  const [open, setOpen] = useState(false);
  const [typed, setTyped] = useState('');
  const client = useQueryClient();
  if (!useMay('agents') || agent.status === 'revoked') return null;
  const labels = [
    ...new Set(
      typed
        .split(',')
        .map((label) => label.trim())
        .filter(Boolean),
    ),
  ];
  return (
    <>
      <button
        type="button"
        className="button small"
        onClick={() => {
          setTyped(agent.labels.join(', '));
          setOpen(true);
        }}
      >
        {t.labelsEdit}
      </button>
      {open && (
        <FormDialog
          title={t.labelsTitle}
          submit={text.common.save}
          done={t.labelsDone}
          onClose={() => setOpen(false)}
          onSubmit={async () => {
            await need(
              api.PUT('/v1/operator/agents/{id}/labels', {
                params: { path: { id: agent.id } },
                body: { labels },
              }),
            );
            await client.invalidateQueries({ queryKey: ['agent', agent.id] });
          }}
        >
          <TextField
            label={t.labelsField}
            hint={t.labelsHint}
            value={typed}
            autoFocus
            onChange={(event) => setTyped(event.target.value)}
          />
        </FormDialog>
      )}
    </>
  );
}
