// Desktop notifications of new questions, while this console is open in any tab.
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useLiveEvents } from '../../live/live';
import { canNotify, notifies, setNotifies } from '../../live/notify';
import { text } from '../../text';
import { Icon } from '../../ui/Icon';
import { useToast } from '../../ui/Toast';

const t = text.approvals;

export function NotifyButton() {
  const [on, setOn] = useState(notifies);
  const toast = useToast();
  if (!canNotify()) return null;
  const toggle = async () => {
    if (on) {
      setNotifies(false);
      setOn(false);
      return;
    }
    const permission = await Notification.requestPermission();
    if (permission !== 'granted') {
      toast(t.notifyDenied, true);
      return;
    }
    setNotifies(true);
    setOn(true);
  };
  return (
    <button type="button" className="button" aria-pressed={on} onClick={() => void toggle()}>
      <Icon name={on ? 'check' : 'approvals'} size={14} />
      {on ? t.notifyOn : t.notify}
    </button>
  );
}

/** Part of the frame, so that it works from every page. */
export function Notifications() {
  const navigate = useNavigate();
  useLiveEvents((event) => {
    if (event.event_type !== 'approval.requested' || !notifies()) return;
    const id = event.resource_id;
    void need(api.GET('/v1/operator/approvals/{id}', { params: { path: { id } } }))
      .then(({ approval }) => {
        // The tag makes several open tabs show one notification.
        const shown = new Notification(t.notification(approval.risk_level), {
          body: approval.summary,
          tag: id,
          icon: '/ui/ekho.svg',
        });
        shown.onclick = () => {
          window.focus();
          shown.close();
          void navigate({ to: '/approvals', search: { selected: id } });
        };
      })
      .catch(() => undefined);
  });
  return null;
}
