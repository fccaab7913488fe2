// An event in one line: what, by whom, about what, and the part of its payload that explains it.
import type { Event } from '../api/types';
import { text } from '../text';
import { Badge, type Tone } from '../ui/Badge';
import { readable } from '../ui/format';
import { Actor, ResourceLink } from './links';

const BAD =
  /\.(dead_lettered|policy_denied|extension_blocked|auto_quarantined|quarantine|revoked|expired|gave_up|login_failed|locked_out|delivery_failed|rate_limit_exceeded|edge_refused|update_refused)$/;
const WARN =
  /\.(pause|retry_requeued|requested|first_approved|stalled|policy_dry_run|drained|removed|archived|deleted|purged|cancelled)$/;
const OK = /\.(acked|approved|resume|enrolled|joined|redriven|restored|auto_unquarantined)$/;

export function toneOfEvent(type: string): Tone {
  if (BAD.test(type) || type === 'approval.rejected') return 'bad';
  if (WARN.test(type)) return 'warn';
  if (OK.test(type)) return 'ok';
  return 'info';
}

export function labelOfEvent(type: string): string {
  return text.events.labels[type] ?? readable(type.replace('.', ': '));
}

export function EventBadge({ type }: { type: string }) {
  return (
    <Badge tone={toneOfEvent(type)} title={type}>
      {labelOfEvent(type)}
    </Badge>
  );
}

/** Payload fields that say why, in the order in which they are looked for. */
const WHY = [
  'reason',
  'failure_reason',
  'error',
  'last_error',
  'policy',
  'policy_name',
  'name',
  'summary',
  'extension',
  'state',
  'status',
  'label',
];

export function whyOf(event: Event): string | null {
  const payload = event.payload;
  if (typeof payload !== 'object' || payload === null) return null;
  for (const field of WHY) {
    const value = (payload as Record<string, unknown>)[field];
    if (typeof value === 'string' && value !== '') return text.statuses.reasons[value] ?? value;
  }
  return null;
}

export function EventLine({ event, brief }: { event: Event; brief?: boolean }) {
  const why = brief ? null : whyOf(event);
  const aboutItself = brief || event.actor_id === event.resource_id || event.resource_id === '';
  return (
    <span className="row wrap" style={{ gap: '6px 8px' }}>
      <EventBadge type={event.event_type} />
      <Actor kind={event.actor_kind} id={event.actor_id} />
      {!aboutItself && <span className="faint">→</span>}
      {!aboutItself && <ResourceLink kind={event.resource_kind} id={event.resource_id} />}
      {why && <span className="muted break">{why}</span>}
    </span>
  );
}
