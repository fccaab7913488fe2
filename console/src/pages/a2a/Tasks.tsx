// Tasks: the list, and one of them with what was said, what was made, and its updates as they come.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import { AgentLink, ConversationLink } from '../../links/links';
import { StateBadge } from '../../links/status';
import { useLiveEvents } from '../../live/live';
import type { components } from '../../api/schema';
import { text } from '../../text';
import { TASK_STATES } from '../../url/searches';
import { Aside } from '../../ui/Aside';
import { Id, Json } from '../../ui/Copy';
import { type Column, DataTable } from '../../ui/DataTable';
import { FilterSelect } from '../../ui/Field';
import { formatBytes, shortId } from '../../ui/format';
import { Facts } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { artifactsOf, historyOf, updateOf } from './task';

const t = text.a2a.tasks;
type Task = components['schemas']['A2aTaskView'];
type State = Task['state'];
type TaskUpdate = components['schemas']['A2aUpdateView'];

interface Search {
  state?: State;
  agent_id?: string;
  context_id?: string;
  selected?: string;
}

export function Tasks({
  search,
  onSelect,
  onState,
}: {
  search: Search;
  onSelect: (id: string | undefined) => void;
  onState: (state: State | undefined) => void;
}) {
  const { selected, state, agent_id, context_id } = search;
  const list = useList({
    key: ['a2a-tasks', { state, agent_id, context_id }],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/a2a/tasks', {
          params: { query: { state, agent_id, context_id, cursor, limit: 50 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.tasks,
  });
  const columns: Column<Task>[] = [
    {
      id: 'task',
      header: t.columns.task,
      width: '150px',
      cell: (row) => (
        <Link
          to="/a2a"
          search={{ ...search, selected: row.id }}
          className="mono small"
          replace
          resetScroll={false}
          title={row.id}
        >
          {shortId(row.id)}
        </Link>
      ),
    },
    {
      id: 'state',
      header: t.columns.state,
      width: '136px',
      cell: (row) => <StateBadge state={row.state} label={text.a2a.states[row.state]} />,
    },
    { id: 'agent', header: t.columns.agent, cell: (row) => <AgentLink id={row.agent_id} /> },
    { id: 'client', header: t.columns.client, when: 'low', cell: (row) => <AgentLink id={row.client_id} /> },
    {
      id: 'messages',
      header: t.columns.messages,
      width: '96px',
      right: true,
      when: 'low',
      cell: (row) => row.message_count,
    },
    {
      id: 'artifacts',
      header: t.columns.artifacts,
      width: '88px',
      right: true,
      when: 'low',
      cell: (row) => row.artifact_count,
    },
    { id: 'since', header: t.columns.since, width: '116px', cell: (row) => <Time at={row.state_at} /> },
  ];
  const filtered = state !== undefined || agent_id !== undefined || context_id !== undefined;
  return (
    <>
      <div className="filters">
        <FilterSelect
          label={t.state}
          value={state ?? ''}
          choices={[
            { value: '', label: `${t.state}: ${text.common.any.toLowerCase()}` },
            ...TASK_STATES.map((value) => ({ value, label: text.a2a.states[value] ?? value })),
          ]}
          onChange={(value) => onState(TASK_STATES.find((one) => one === value))}
        />
        {agent_id && (
          <span className="chip row">
            {t.columns.agent}: <AgentLink id={agent_id} />
          </span>
        )}
        {filtered && (
          <Link to="/a2a" className="button quiet">
            {text.common.clearFilters}
          </Link>
        )}
      </div>
      <div className="split" data-open={selected !== undefined}>
        <DataTable
          label={text.a2a.tabs['tasks'] ?? ''}
          columns={columns}
          list={list}
          idOf={(row) => row.id}
          openId={selected}
          onOpen={(row) => onSelect(row.id)}
          empty={
            filtered ? (
              <Empty title={text.common.nothingMatches} />
            ) : (
              <Empty title={t.none}>
                <p>{t.noneAbout}</p>
                <Link to="/a2a" search={{ tab: 'clients' }} className="button">
                  {text.a2a.tabs['clients']}
                </Link>
              </Empty>
            )
          }
        />
        {selected && <TaskAside key={selected} id={selected} onClose={() => onSelect(undefined)} />}
      </div>
    </>
  );
}

function TaskAside({ id, onClose }: { id: string; onClose: () => void }) {
  const query = useQuery({
    queryKey: ['a2a-task', id],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/a2a/tasks/{id}', { params: { path: { id }, query: { after: 0 } }, signal })),
  });
  return (
    <Aside title={t.detail} onClose={onClose}>
      <Loaded query={query} lines={8}>
        {(task) => (
          <div className="stack">
            <Facts
              of={[
                [t.columns.task, <Id key="i" id={task.id} />],
                [
                  t.columns.state,
                  <StateBadge key="s" state={task.state} label={text.a2a.states[task.state]} />,
                ],
                [t.columns.since, <Time key="w" at={task.state_at} />],
                [t.columns.agent, <AgentLink key="a" id={task.agent_id} />],
                [t.columns.client, <AgentLink key="c" id={task.client_id} />],
                [t.columns.context, <ConversationLink key="x" id={task.context_id} />],
                [t.size, formatBytes(task.size_bytes)],
              ]}
            />
            <h3>{t.history}</h3>
            <ul className="stack tight">
              {historyOf(task.task).map((message, index) => (
                <li key={message.id || index} className="task-message" data-client={message.fromClient}>
                  <span className="small strong">{message.fromClient ? t.user : t.agent}</span>
                  {message.text && <p className="timeline-text">{message.text}</p>}
                  {message.other.length > 0 && <Json value={message.other} label={t.history} />}
                </li>
              ))}
            </ul>
            <h3>{t.artifacts}</h3>
            {artifactsOf(task.task).length === 0 ? (
              <p className="small muted">{t.noArtifacts}</p>
            ) : (
              <ul className="stack tight">
                {artifactsOf(task.task).map((artifact) => (
                  <li key={artifact.id} className="task-message">
                    <span className="small strong">{artifact.name}</span>
                    {artifact.text && <p className="timeline-text">{artifact.text}</p>}
                    {artifact.other.length > 0 && (
                      <Json value={artifact.other} label={t.artifact(artifact.id)} />
                    )}
                  </li>
                ))}
              </ul>
            )}
            <h3>{t.updates}</h3>
            <Updates id={id} first={task.updates} count={task.update_count} />
          </div>
        )}
      </Loaded>
    </Aside>
  );
}

/** The log of updates, followed as it grows: an event of the stream says that there is more. */
function Updates({ id, first, count }: { id: string; first: TaskUpdate[]; count: number }) {
  const [later, setLater] = useState<TaskUpdate[]>([]);
  const all = [...first, ...later.filter((update) => !first.some((known) => known.number === update.number))];
  const last = all[all.length - 1]?.number ?? 0;
  const more = async () => {
    const task = await need(
      api.GET('/v1/operator/a2a/tasks/{id}', { params: { path: { id }, query: { after: last } } }),
    );
    setLater((before) => [
      ...before,
      ...task.updates.filter((update) => !before.some((known) => known.number === update.number)),
    ]);
  };
  useLiveEvents((event) => {
    if (event.event_type === 'a2a_task.status' && event.resource_id === id)
      void more().catch(() => undefined);
  });
  useEffect(() => setLater([]), [id]);
  if (all.length === 0) return <p className="small muted">{t.noUpdates}</p>;
  return (
    <>
      <ol className="stack tight" aria-live="polite">
        {all.map((one) => {
          const update = updateOf(one.update);
          return (
            <li key={one.number} className="row small" style={{ alignItems: 'flex-start' }}>
              <span className="faint num" style={{ flex: '0 0 62px' }}>
                <Time at={one.at} as="clock" />
              </span>
              {update.kind === 'status' && (
                <span>
                  <StateBadge state={update.state} label={text.a2a.states[update.state]} /> {update.says}
                </span>
              )}
              {update.kind === 'artifact' && (
                <span>
                  <span className="strong">{t.artifact(update.id)}</span>{' '}
                  <span className="muted">{update.text}</span>
                </span>
              )}
              {update.kind === 'other' && <code>{JSON.stringify(update.value)}</code>}
            </li>
          );
        })}
      </ol>
      {last < count && (
        <button type="button" className="link small" onClick={() => void more().catch(() => undefined)}>
          {t.more}
        </button>
      )}
    </>
  );
}
