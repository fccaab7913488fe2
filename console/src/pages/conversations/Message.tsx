// One message: what it says, and what became of it at each recipient.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Delivery, MessageDetail } from '../../api/types';
import { AgentPicker } from '../../links/AgentPicker';
import { Actor, AgentLink, Recipient } from '../../links/links';
import { ConversationName } from '../../links/ConversationName';
import { useAgentNames } from '../../links/names';
import { StateBadge } from '../../links/status';
import { useLiveTypes } from '../../live/live';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Id, Json } from '../../ui/Copy';
import { ConfirmDialog, ReasonDialog } from '../../ui/Dialog';
import { SelectField } from '../../ui/Field';
import { shortId } from '../../ui/format';
import { Facts, PageHead, Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { Attachments } from './Attachments';
import { Body } from './Body';

const route = getRouteApi('/app/messages/$id');
const t = text.message;

export function MessagePage() {
  const { id } = route.useParams();
  useLiveTypes('message');
  const detail = useQuery({
    queryKey: ['message', id],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/messages/{id}', { params: { path: { id } }, signal })),
  });
  return (
    <>
      <PageHead
        title={t.title}
        tab={shortId(id)}
        above={<Link to="/conversations">{text.common.back(text.conversations.title)}</Link>}
        about={<Id id={id} whole />}
        badge={detail.data && <StateBadge state={detail.data.status} />}
        actions={detail.data && <Actions detail={detail.data} />}
      />
      <Loaded query={detail} lines={8}>
        {({ message, deliveries, status, attachments }) => (
          <div className="stack">
            <div className="grid-2">
              <Panel title={t.body}>
                <div className="stack">
                  <Body body={message.body} />
                  <Attachments of={attachments} />
                  {message.metadata && Object.keys(message.metadata).length > 0 && (
                    <>
                      <h3>{t.metadata}</h3>
                      <Json value={message.metadata} label={t.metadata} />
                    </>
                  )}
                </div>
              </Panel>
              <Panel title={t.title}>
                <Facts
                  of={[
                    [t.facts.status, <StateBadge key="s" state={status} />],
                    [t.facts.from, <Actor key="f" kind={message.sender_kind} id={message.sender_id} />],
                    [
                      t.facts.to,
                      <Recipient key="t" kind={message.recipient_kind} id={message.recipient_id} />,
                    ],
                    [t.facts.type, message.message_type],
                    [t.facts.priority, message.priority],
                    [
                      t.facts.conversation,
                      <Link
                        key="c"
                        to="/conversations/$id"
                        params={{ id: message.conversation_id }}
                        search={{ item: message.id }}
                        className="break"
                      >
                        <ConversationName id={message.conversation_id} />
                      </Link>,
                    ],
                    [
                      t.facts.correlation,
                      <span key="k" className="mono small">
                        {message.correlation_id}
                      </span>,
                    ],
                    ...(message.tags.length > 0
                      ? [[t.facts.tags, message.tags.join(', ')] as [string, string]]
                      : []),
                    [t.facts.sent, <Time key="a" at={message.created_at} as="full" />],
                    [t.facts.until, <Time key="u" at={message.deadline_at} as="full" />],
                  ]}
                />
              </Panel>
            </div>
            <Panel title={t.deliveries} about={t.deliveriesAbout} flush>
              <Deliveries deliveries={deliveries} />
            </Panel>
          </div>
        )}
      </Loaded>
    </>
  );
}

function Deliveries({ deliveries }: { deliveries: Delivery[] }) {
  const c = t.columns;
  if (deliveries.length === 0) return <Empty title={t.noDeliveries} compact />;
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">{c.to}</th>
          <th scope="col" style={{ width: 150 }}>
            {c.status}
          </th>
          <th scope="col" className="right" style={{ width: 90 }}>
            {c.attempts}
          </th>
          <th scope="col" className="low" style={{ width: 120 }}>
            {c.handed}
          </th>
          <th scope="col" className="low" style={{ width: 120 }}>
            {c.ended}
          </th>
          <th scope="col" className="low">
            {c.why}
          </th>
        </tr>
      </thead>
      <tbody>
        {deliveries.map((delivery) => (
          <tr key={delivery.delivery_id}>
            <td>
              <AgentLink id={delivery.recipient_agent_id} />
            </td>
            <td>
              <StateBadge state={delivery.status} />
            </td>
            <td className="right">{delivery.attempts}</td>
            <td className="low">
              <Time at={delivery.delivered_at} as="clock" />
            </td>
            <td className="low">
              <Time at={delivery.ended_at} as="clock" />
            </td>
            <td className="low muted" title={delivery.last_failure_reason ?? undefined}>
              {delivery.last_failure_reason ?? '–'}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Actions({ detail }: { detail: MessageDetail }) {
  const [open, setOpen] = useState<'cancel' | 'redirect' | null>(null);
  const [to, setTo] = useState('');
  const waiting = detail.deliveries.filter((delivery) => delivery.status === 'queued');
  const [from, setFrom] = useState('');
  const client = useQueryClient();
  const ids = waiting.map((delivery) => delivery.recipient_agent_id);
  const names = useAgentNames(open === 'redirect' && ids.length > 1 ? ids : []);
  const source = from || ids[0] || '';
  if (!useMay('messages') || waiting.length === 0) return null;
  const path = { id: detail.message.id };
  const after = () => client.invalidateQueries({ queryKey: ['message', detail.message.id] });
  return (
    <>
      <button type="button" className="button" onClick={() => setOpen('redirect')}>
        {t.redirect}
      </button>
      <button type="button" className="button danger" onClick={() => setOpen('cancel')}>
        {t.cancel}
      </button>
      {open === 'cancel' && (
        <ConfirmDialog
          title={t.cancelTitle}
          about={t.cancelAbout}
          submit={t.cancel}
          danger
          done={t.cancelled}
          onClose={() => setOpen(null)}
          onSubmit={() =>
            need(api.POST('/v1/operator/messages/{id}/cancel', { params: { path } })).then(after)
          }
        />
      )}
      {open === 'redirect' && (
        <ReasonDialog
          title={t.redirectTitle}
          about={t.redirectAbout}
          submit={t.redirect}
          done={t.redirected}
          onClose={() => setOpen(null)}
          onSubmit={(reason) =>
            need(
              api.POST('/v1/operator/messages/{id}/redirect', {
                params: { path },
                body: { to_agent_id: to, reason, ...(waiting.length > 1 ? { from_agent_id: source } : {}) },
              }),
            ).then(after)
          }
        >
          {waiting.length > 1 && (
            <SelectField
              label={t.redirectFrom}
              value={source}
              onChange={(event) => setFrom(event.target.value)}
              choices={waiting.map(({ recipient_agent_id: id }) => ({
                value: id,
                label: names.get(id) ?? shortId(id),
              }))}
            />
          )}
          <AgentPicker label={t.redirectTo} value={to} onChange={setTo} except={source} required />
        </ReasonDialog>
      )}
    </>
  );
}
