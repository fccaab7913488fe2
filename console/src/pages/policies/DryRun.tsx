// What a policy would have decided while it ran dry.
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Event, Policy } from '../../api/types';
import { Actor, AgentLink, ConversationLink } from '../../links/links';
import { useLiveTypes } from '../../live/live';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { type Column, DataTable } from '../../ui/DataTable';
import { ConfirmDialog } from '../../ui/Dialog';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { useChange } from './Policy';

const t = text.policies.dry;

const field = (event: Event, name: string): string | null => {
  const value =
    typeof event.payload === 'object' && event.payload !== null
      ? (event.payload as Record<string, unknown>)[name]
      : null;
  return typeof value === 'string' ? value : null;
};

const columns: Column<Event>[] = [
  {
    id: 'when',
    header: text.events.columns.when,
    width: '130px',
    cell: (event) => <Time at={event.created_at} />,
  },
  {
    id: 'from',
    header: text.common.from,
    cell: (event) => <Actor kind={event.actor_kind} id={event.actor_id} />,
  },
  {
    id: 'to',
    header: text.conversations.columns.to,
    cell: (event) => <AgentLink id={field(event, 'recipient')} />,
  },
  {
    id: 'type',
    header: text.agents.recent.columns.type,
    width: '120px',
    cell: (event) => field(event, 'message_type') ?? '–',
  },
  {
    id: 'would',
    header: text.policies.preview.would,
    width: '150px',
    when: 'low',
    cell: (event) => text.policies.actions[field(event, 'action') ?? ''] ?? field(event, 'action'),
  },
  {
    id: 'conversation',
    header: text.events.columns.conversation,
    when: 'low',
    cell: (event) => (event.conversation_id ? <ConversationLink id={event.conversation_id} /> : '–'),
  },
];

export function DryRun({ policy }: { policy: Policy }) {
  const [ending, setEnding] = useState(false);
  const may = useMay('policies');
  const change = useChange(policy);
  useLiveTypes('message.policy_dry_run');
  const list = useList({
    key: ['events', 'dry-run', policy.id],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/events', {
          params: { query: { type: 'message.policy_dry_run', resource_id: policy.id, cursor, limit: 100 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.events,
  });
  return (
    <div className="stack">
      <div className="row apart wrap">
        <p className="muted">{t.about}</p>
        {may && policy.dry_run && (
          <button type="button" className="button primary" onClick={() => setEnding(true)}>
            {t.makeLive}
          </button>
        )}
      </div>
      <DataTable
        label={text.policies.tabs['dry-run'] ?? ''}
        columns={columns}
        list={list}
        idOf={(event) => event.id}
        empty={
          <Empty title={t.none}>
            <p>{t.noneAbout}</p>
          </Empty>
        }
      />
      {ending && (
        <ConfirmDialog
          title={t.makeLive}
          about={t.makeLiveAbout}
          submit={t.makeLive}
          done={text.policies.saved}
          onClose={() => setEnding(false)}
          onSubmit={() => change({ dryRun: false })}
        />
      )}
    </div>
  );
}
