// Backups: taken now, as a download that the browser writes to disk as it comes; and the last ones.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { Actor } from '../../links/links';
import { whyOf } from '../../links/EventLine';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Dialog } from '../../ui/Dialog';
import { TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';
import { Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.cluster;
const SHOWN = 5;

export function Backups() {
  const [open, setOpen] = useState(false);
  const may = useMay('backup');
  const taken = useQuery({
    queryKey: ['backups'],
    queryFn: async ({ signal }) =>
      (
        await need(
          api.GET('/v1/operator/events', {
            params: { query: { type: 'backup.taken', limit: SHOWN } },
            signal,
          }),
        )
      ).events,
  });
  return (
    <Panel
      title={t.backups}
      flush
      actions={
        may && (
          <button type="button" className="button small" onClick={() => setOpen(true)}>
            <Icon name="download" size={14} />
            {t.backup}
          </button>
        )
      }
    >
      <Loaded query={taken} lines={2}>
        {(events) =>
          events.length === 0 ? (
            <Empty title={t.noBackups} compact />
          ) : (
            <ul className="plain-rows">
              {events.map((event) => (
                <li key={event.id} className="row apart">
                  <span className="row wrap">
                    <Time at={event.created_at} />
                    <span className="muted">{whyOf(event)}</span>
                  </span>
                  <Actor kind={event.actor_kind} id={event.actor_id} />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      {open && <BackupDialog onClose={() => setOpen(false)} />}
    </Panel>
  );
}

function BackupDialog({ onClose }: { onClose: () => void }) {
  const [label, setLabel] = useState('');
  const query = label.trim() ? `?label=${encodeURIComponent(label.trim())}` : '';
  const stamp = new Date().toISOString().slice(0, 16).replace(/[:T]/g, '-');
  return (
    <Dialog title={t.backupTitle} onClose={onClose}>
      <div className="dialog-body">
        <p className="muted">{t.backupAbout}</p>
        <TextField
          label={t.backupLabel}
          value={label}
          maxLength={200}
          autoFocus
          onChange={(event) => setLabel(event.target.value)}
        />
        <p className="small faint mono">{t.backupHow}</p>
      </div>
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onClose}>
          {text.common.cancel}
        </button>
        <a
          className="button primary"
          href={`/v1/operator/backup${query}`}
          download={`ekho-${stamp}.tar`}
          onClick={() => setTimeout(onClose, 300)}
        >
          <Icon name="download" size={14} />
          {t.backupDownload}
        </a>
      </div>
    </Dialog>
  );
}
