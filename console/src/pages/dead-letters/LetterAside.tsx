// One dead letter with its body.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import { ConversationName } from '../../links/ConversationName';
import { AgentLink, MessageLink } from '../../links/links';
import { text } from '../../text';
import { Aside } from '../../ui/Aside';
import { Json } from '../../ui/Copy';
import { Facts } from '../../ui/Page';
import { Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { Attachments } from '../conversations/Attachments';
import { Body } from '../conversations/Body';

const t = text.deadLetters;

export function LetterAside({
  id,
  onClose,
  onDo,
}: {
  id: string;
  onClose: () => void;
  onDo: ((what: 'redrive' | 'purge') => void) | undefined;
}) {
  const query = useQuery({
    queryKey: ['dead-letters', 'one', id],
    queryFn: async ({ signal }) =>
      (await need(api.GET('/v1/operator/dead-letters/{id}', { params: { path: { id } }, signal })))
        .dead_letter,
  });
  const messageId = query.data?.original_message_id ?? '';
  const message = useQuery({
    queryKey: ['message', messageId],
    enabled: messageId !== '',
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/messages/{id}', { params: { path: { id: messageId } }, signal })),
  });
  return (
    <Aside
      title={t.detail}
      onClose={onClose}
      foot={
        onDo &&
        query.data && (
          <>
            <button type="button" className="button danger" onClick={() => onDo('purge')}>
              {t.purge}
            </button>
            <button type="button" className="button primary" onClick={() => onDo('redrive')}>
              {t.redrive}
            </button>
          </>
        )
      }
    >
      <Loaded query={query}>
        {(letter) => (
          <div className="stack">
            <p className="strong break">{letter.failure_reason}</p>
            <Facts
              of={[
                [t.columns.when, <Time key="w" at={letter.dead_lettered_at} as="full" />],
                [t.columns.to, <AgentLink key="t" id={letter.recipient_agent_id} />],
                [
                  t.columns.from,
                  <AgentLink
                    key="f"
                    id={letter.sender_agent_id.startsWith('agent_') ? letter.sender_agent_id : null}
                  />,
                ],
                [t.columns.tries, letter.retry_count],
                [t.columns.type, letter.message_type],
                [
                  t.columns.conversation,
                  <Link
                    key="c"
                    to="/conversations/$id"
                    params={{ id: letter.conversation_id }}
                    search={{ item: letter.original_message_id }}
                    className="break"
                  >
                    <ConversationName id={letter.conversation_id} />
                  </Link>,
                ],
                [text.message.title, <MessageLink key="m" id={letter.original_message_id} />],
              ]}
            />
            <h3>{t.body}</h3>
            <Body body={letter.body} />
            <Attachments of={message.data?.attachments ?? []} />
            {Object.keys(letter.metadata).length > 0 && (
              <>
                <h3>{t.metadata}</h3>
                <Json value={letter.metadata} label={t.metadata} />
              </>
            )}
          </div>
        )}
      </Loaded>
    </Aside>
  );
}
