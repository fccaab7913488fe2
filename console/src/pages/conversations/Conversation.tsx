// One conversation: who said what, to whom it went and when, what was decided, and why one message
// followed another.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useEffect, useMemo, useRef } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import { AgentLink } from '../../links/links';
import { isRoom, useRoomName } from '../../links/names';
import { useLiveTypes } from '../../live/live';
import { text } from '../../text';
import { CopyButton, Id } from '../../ui/Copy';
import { Segments } from '../../ui/Field';
import { PageHead } from '../../ui/Page';
import { Empty, ErrorBox, Skeleton } from '../../ui/State';
import { ComposeButton } from './Compose';
import { Timeline } from './Timeline';
import { readTimeline } from './timeline';

const route = getRouteApi('/app/conversations/$id');
const t = text.conversations;

export function ConversationPage() {
  const { id } = route.useParams();
  const { show, item } = route.useSearch();
  const navigate = route.useNavigate();
  useLiveTypes('message');
  const head = useQuery({
    queryKey: ['conversation', id, 'head'],
    queryFn: ({ signal }) =>
      need(
        api.GET('/v1/operator/conversations/{id}', { params: { path: { id }, query: { limit: 1 } }, signal }),
      ),
  });
  const list = useList({
    key: ['conversation', id, 'items'],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/conversations/{id}', {
          params: { path: { id }, query: { cursor, limit: 100 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.items,
  });
  const entries = useMemo(() => {
    const all = readTimeline(list.rows);
    return show === 'messages' ? all.filter((entry) => entry.kind === 'message') : all;
  }, [list.rows, show]);
  const conversation = head.data?.conversation;
  const room = useRoomName(id);
  const title = room ?? (id.length > 40 ? t.columns.conversation : id);

  const shown = useRef<string | undefined>(undefined);
  useEffect(() => {
    if (!item || shown.current === item) return;
    const element = document.getElementById(item);
    if (!element) return;
    shown.current = item;
    element.scrollIntoView({ block: 'center' });
  }, [item, entries]);

  return (
    <>
      <PageHead
        title={title}
        tab={room ?? id}
        above={<Link to="/conversations">{text.common.back(t.title)}</Link>}
        about={
          <span className="row wrap">
            {title === id ? <CopyButton value={id} label={text.common.copyId} /> : <Id id={id} whole />}
            {conversation && <span>{t.count(conversation.message_count)}</span>}
            {conversation && conversation.participants.length > 0 && (
              <span className="row wrap" style={{ gap: '6px 8px' }}>
                {t.between.toLowerCase()}{' '}
                {conversation.participants.map((agent) => (
                  <AgentLink key={agent} id={agent} />
                ))}
              </span>
            )}
          </span>
        }
        actions={
          <>
            <Segments
              label={t.show}
              value={show ?? 'all'}
              onChange={(value) =>
                void navigate({ search: value === 'all' ? {} : { show: 'messages' }, replace: true })
              }
              choices={[
                { value: 'all', label: t.showAll },
                { value: 'messages', label: t.showMessages },
              ]}
            />
            <ComposeButton primary conversation={id} room={isRoom(id) ? id : undefined} />
          </>
        }
      />
      {list.loading ? (
        <div className="panel">
          <Skeleton lines={10} />
        </div>
      ) : list.error && list.rows.length === 0 ? (
        <ErrorBox error={list.error} onRetry={list.reload} />
      ) : entries.length === 0 ? (
        <div className="panel">
          <Empty title={t.empty}>
            <p>{t.emptyAbout}</p>
          </Empty>
        </div>
      ) : (
        <Timeline entries={entries} item={item} />
      )}
      {list.more && (
        <div className="row" style={{ justifyContent: 'center', padding: 16 }}>
          <button type="button" className="button" disabled={list.loadingMore} onClick={list.loadMore}>
            {list.loadingMore ? text.common.loading : text.common.loadMore}
          </button>
        </div>
      )}
    </>
  );
}
