// What happened about an agent or was done by it.
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import { text } from '../../text';
import { eventColumns } from '../../links/eventColumns';
import { DataTable } from '../../ui/DataTable';
import { Segments } from '../../ui/Field';
import { Empty } from '../../ui/State';

export function AgentEvents({ id }: { id: string }) {
  const [which, setWhich] = useState<'about' | 'by'>('about');
  const list = useList({
    key: ['events', 'agent', id, which],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/events', {
          params: {
            query: { cursor, limit: 100, ...(which === 'about' ? { resource_id: id } : { actor_id: id }) },
          },
          signal,
        }),
      ),
    rowsOf: (page) => page.events,
  });
  return (
    <div className="stack">
      <div>
        <Segments
          label={text.events.title}
          value={which}
          onChange={setWhich}
          choices={[
            { value: 'about', label: text.events.columns.about },
            { value: 'by', label: text.events.columns.by },
          ]}
        />
      </div>
      <DataTable
        label={text.events.title}
        columns={eventColumns}
        list={list}
        idOf={(event) => event.id}
        empty={
          <Empty title={text.events.none}>
            <p>{text.events.noneAbout}</p>
          </Empty>
        }
      />
    </div>
  );
}
