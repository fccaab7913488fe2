// What the policies would do: with a message that nobody sent, and with those that came last.
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import type { Message, PolicyDraft, Preview } from '../../api/types';
import { AgentPicker } from '../../links/AgentPicker';
import { Actor, AgentLink, MessageLink, ResourceLink } from '../../links/links';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { SelectField, TextArea, TextField } from '../../ui/Field';
import { Panel } from '../../ui/Page';
import { Empty, ErrorBox, Notice, Skeleton } from '../../ui/State';
import { bodyLine } from '../conversations/Body';
import { MESSAGE_TYPES, PRIORITIES } from './form';

const t = text.policies.preview;
const RECENT = 20;

/** As it stands in the form, where that is not saved. */
interface Judged {
  draft: PolicyDraft | null;
  replaces: string | undefined;
}

const withDraft = ({ draft, replaces }: Judged) =>
  draft ? { draft, ...(replaces ? { replaces } : {}) } : {};

export function PreviewTab(judged: Judged) {
  return (
    <div className="stack">
      {judged.draft && <Notice>{text.policies.unsaved}</Notice>}
      <div className="grid-2">
        <Hypothetical {...judged} />
        <Recent {...judged} />
      </div>
    </div>
  );
}

function Hypothetical(judged: Judged) {
  const [from, setFrom] = useState('');
  const [to, setTo] = useState('');
  const [type, setType] = useState('direct');
  const [priority, setPriority] = useState('normal');
  const [conversation, setConversation] = useState('');
  const [body, setBody] = useState('{"text": "…"}');
  const [notJson, setNotJson] = useState(false);
  const asking = useMutation({
    mutationFn: (parsed: Record<string, unknown>) =>
      need(
        api.POST('/v1/operator/policies/preview', {
          body: {
            sender_agent_id: from,
            message_type: type,
            priority: PRIORITIES.find((one) => one === priority),
            body: parsed,
            ...(to ? { recipient_agent_id: to } : {}),
            ...(conversation ? { conversation_id: conversation } : {}),
            ...withDraft(judged),
          },
        }),
      ),
  });
  const run = () => {
    try {
      const parsed: unknown = JSON.parse(body.trim() === '' ? '{}' : body);
      if (typeof parsed !== 'object' || parsed === null) throw new SyntaxError();
      setNotJson(false);
      asking.mutate(parsed as Record<string, unknown>);
    } catch {
      setNotJson(true);
    }
  };
  return (
    <Panel title={t.hypothetical}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          run();
        }}
      >
        <div className="form-grid">
          <AgentPicker
            label={t.from}
            value={from}
            onChange={setFrom}
            required
            hint={from === '' ? t.pickSender : undefined}
          />
          <AgentPicker label={t.to} value={to} onChange={setTo} placeholder={text.timeline.everybody} />
          <SelectField
            label={t.type}
            value={type}
            choices={MESSAGE_TYPES.map((value) => ({ value, label: value }))}
            onChange={(event) => setType(event.target.value)}
          />
          <SelectField
            label={t.priority}
            value={priority}
            choices={PRIORITIES.map((value) => ({ value, label: value }))}
            onChange={(event) => setPriority(event.target.value)}
          />
          <TextField
            label={t.conversation}
            value={conversation}
            wide
            onChange={(event) => setConversation(event.target.value)}
          />
          <TextArea
            label={t.body}
            mono
            rows={3}
            value={body}
            spellCheck={false}
            wrong={notJson ? text.policies.notJson : undefined}
            onChange={(event) => setBody(event.target.value)}
          />
        </div>
        <div>
          <button type="submit" className="button primary" disabled={from === '' || asking.isPending}>
            {t.run}
          </button>
        </div>
        {asking.error && <ErrorBox error={asking.error} />}
        {asking.data && <Result preview={asking.data} />}
      </form>
    </Panel>
  );
}

function OutcomeBadge({ preview }: { preview: Preview }) {
  const tone = !preview.allowed
    ? 'bad'
    : preview.outcome === 'require_approval'
      ? 'warn'
      : preview.outcome === 'allow'
        ? 'ok'
        : 'info';
  return <Badge tone={tone}>{t.outcomes[preview.outcome] ?? preview.outcome}</Badge>;
}

function Decider({ preview }: { preview: Preview }) {
  const by = preview.decided_by;
  if (!by) return <span className="muted">{t.byNothing}</span>;
  // A draft that is not saved has no page to go to.
  return by.id.startsWith('pol_') ? <ResourceLink kind="policy" id={by.id} /> : <span>{t.this}</span>;
}

function Result({ preview }: { preview: Preview }) {
  return (
    <div className="stack" role="status">
      <div className="row wrap">
        <OutcomeBadge preview={preview} />
        <span className="strong">{preview.allowed ? t.allowed : t.denied}</span>
        {preview.decided_by && (
          <span className="muted">
            {t.by} “{preview.decided_by.name}”
          </span>
        )}
      </div>
      {preview.tags.length > 0 && (
        <p className="small">
          {t.tags}: {preview.tags.join(', ')}
        </p>
      )}
      <h3>{t.looked}</h3>
      <ol className="stack tight">
        {preview.policies.map((step, index) => (
          <li key={`${step.id}-${index}`} className="row wrap small">
            <Badge tone={step.matched ? 'accent' : 'idle'}>{step.matched ? t.matched : t.notMatched}</Badge>
            <span className="strong">{step.name}</span>
            <span className="muted">{step.why}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

interface Judgement {
  message: Message;
  preview: Preview;
}

/** The newest accepted messages, each judged as if it came now. */
async function judgeRecent(judged: Judged): Promise<Judgement[]> {
  const { events } = await need(
    api.GET('/v1/operator/events', { params: { query: { type: 'message.queued', limit: RECENT } } }),
  );
  const all = await Promise.all(
    events.map(async ({ resource_id: id }): Promise<Judgement | null> => {
      try {
        const [{ message }, preview] = await Promise.all([
          need(api.GET('/v1/operator/messages/{id}', { params: { path: { id } } })),
          need(api.POST('/v1/operator/policies/preview', { body: { message_id: id, ...withDraft(judged) } })),
        ]);
        return message.sender_kind === 'agent' ? { message, preview } : null;
      } catch {
        // Retention may have removed it meanwhile; operators' messages are judged by no policy.
        return null;
      }
    }),
  );
  return all.filter((one) => one !== null);
}

function Recent(judged: Judged) {
  const asking = useMutation({ mutationFn: () => judgeRecent(judged) });
  return (
    <Panel
      title={t.recent}
      about={t.recentAbout}
      flush
      actions={
        <button
          type="button"
          className="button small"
          disabled={asking.isPending}
          onClick={() => asking.mutate()}
        >
          {t.ask}
        </button>
      }
    >
      {asking.isPending && <Skeleton lines={6} />}
      {asking.error && (
        <div className="panel-body">
          <ErrorBox error={asking.error} onRetry={() => asking.mutate()} />
        </div>
      )}
      {asking.isIdle && (
        <Empty title={t.ask} compact>
          <p>{t.recentAbout}</p>
        </Empty>
      )}
      {asking.data?.length === 0 && <Empty title={t.noneRecent} compact />}
      {asking.data && asking.data.length > 0 && (
        <ul className="plain-rows">
          {asking.data.map(({ message, preview }) => (
            <li key={message.id} className="stack tight">
              <div className="row wrap" style={{ gap: '6px 8px' }}>
                <OutcomeBadge preview={preview} />
                <Actor kind={message.sender_kind} id={message.sender_id} />
                <span className="faint">→</span>
                {message.recipient_kind === 'agent' ? (
                  <AgentLink id={message.recipient_id} />
                ) : (
                  <span>{message.recipient_kind}</span>
                )}
                <MessageLink id={message.id}>
                  <span className="muted">{message.message_type}</span>
                </MessageLink>
                {preview.decided_by && (
                  <span className="small muted">
                    {t.by} <Decider preview={preview} />
                  </span>
                )}
              </div>
              <span className="cut small muted">{bodyLine(message.body)}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
