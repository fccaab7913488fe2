// What is asked for, in full, and the two answers to it.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import type { Approval } from '../../api/types';
import { AgentLink, MessageLink, OperatorName } from '../../links/links';
import { RiskBadge, StateBadge } from '../../links/status';
import { text } from '../../text';
import { Aside } from '../../ui/Aside';
import { Json } from '../../ui/Copy';
import { Facts } from '../../ui/Page';
import { Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { Body } from '../conversations/Body';
import type { Decision } from './Decide';

const t = text.approvals;

export function ApprovalAside({
  id,
  known,
  onClose,
  onDecide,
}: {
  id: string;
  known: Approval | undefined;
  onClose: () => void;
  onDecide: ((approval: Approval, as: Decision) => void) | undefined;
}) {
  const query = useQuery({
    queryKey: ['approval', id],
    queryFn: async ({ signal }) =>
      (await need(api.GET('/v1/operator/approvals/{id}', { params: { path: { id } }, signal }))).approval,
    placeholderData: known,
  });
  return (
    <Aside
      title={t.one}
      onClose={onClose}
      foot={
        query.data?.status === 'pending' &&
        onDecide && (
          <>
            <button
              type="button"
              className="button danger"
              onClick={() => query.data && onDecide(query.data, 'reject')}
            >
              {t.reject}
            </button>
            <button
              type="button"
              className="button primary"
              onClick={() => query.data && onDecide(query.data, 'approve')}
            >
              {t.approve}
            </button>
          </>
        )
      }
    >
      <Loaded query={query}>{(approval) => <Detail approval={approval} />}</Loaded>
    </Aside>
  );
}

function Detail({ approval }: { approval: Approval }) {
  const facts: [string, React.ReactNode][] = [
    [t.facts.status, <StateBadge key="s" state={approval.status} label={t.statuses[approval.status]} />],
    [t.facts.risk, <RiskBadge key="r" risk={approval.risk_level} />],
    [t.facts.agent, <AgentLink key="a" id={approval.agent_id} />],
    [
      t.facts.kind,
      <span key="k" className="mono small">
        {approval.action_type}
      </span>,
    ],
    [t.facts.asked, <Time key="t" at={approval.requested_at} />],
  ];
  if (approval.status === 'pending') facts.push([t.facts.expires, <Time key="e" at={approval.expires_at} />]);
  if (approval.conversation_id)
    facts.push([
      t.facts.conversation,
      <Link key="c" to="/conversations/$id" params={{ id: approval.conversation_id }} className="break">
        {approval.conversation_id}
      </Link>,
    ]);
  if (approval.message_id) facts.push([t.facts.message, <MessageLink key="m" id={approval.message_id} />]);
  if (approval.first_approved_by)
    facts.push([t.facts.first, <OperatorName key="f" id={approval.first_approved_by} />]);
  if (approval.resolved_by)
    facts.push([t.facts.resolvedBy, <OperatorName key="o" id={approval.resolved_by} />]);
  if (approval.resolved_at) facts.push([t.facts.resolvedAt, <Time key="ra" at={approval.resolved_at} />]);
  if (approval.reason) facts.push([t.facts.reason, approval.reason]);
  const empty = Object.keys(approval.payload).length === 0;
  return (
    <div className="stack">
      <p className="strong break">{approval.summary}</p>
      <Facts of={facts} />
      {approval.message_id && <MessageBody id={approval.message_id} />}
      {!empty && (
        <>
          <h3>{t.payload}</h3>
          <Json value={approval.payload} label={t.payload} />
        </>
      )}
      {empty && !approval.message_id && <p className="muted small">{t.noPayload}</p>}
      {approval.output !== null && approval.output !== undefined && (
        <>
          <h3>{t.output}</h3>
          <Json value={approval.output} label={t.output} />
        </>
      )}
    </div>
  );
}

function MessageBody({ id }: { id: string }) {
  const query = useQuery({
    queryKey: ['message', id],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/messages/{id}', { params: { path: { id } }, signal })),
  });
  return (
    <>
      <h3>{t.messageBody}</h3>
      <Loaded query={query} lines={2}>
        {({ message }) => <Body body={message.body} />}
      </Loaded>
    </>
  );
}
