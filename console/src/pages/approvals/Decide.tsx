// The decision itself, with its reason.
import { useQueryClient } from '@tanstack/react-query';
import { api, need } from '../../api/client';
import type { Approval } from '../../api/types';
import { RiskBadge } from '../../links/status';
import { text } from '../../text';
import { ReasonDialog } from '../../ui/Dialog';
import { useToast } from '../../ui/Toast';

const t = text.approvals;
export type Decision = 'approve' | 'reject';

export function DecideDialog({
  approval,
  as,
  onClose,
}: {
  approval: Approval;
  as: Decision;
  onClose: () => void;
}) {
  const client = useQueryClient();
  const toast = useToast();
  const decide = async (reason: string) => {
    const params = { path: { id: approval.id } };
    const body = reason ? { reason } : {};
    const done =
      as === 'approve'
        ? await need(api.POST('/v1/operator/approvals/{id}/approve', { params, body }))
        : await need(api.POST('/v1/operator/approvals/{id}/reject', { params, body }));
    // Where two have to agree, the first yes leaves it pending.
    toast(as === 'reject' ? t.rejected : done.status === 'pending' ? t.firstApproved : t.approved);
    await Promise.all(
      ['approvals', 'approval', 'counts', 'overview'].map((key) =>
        client.invalidateQueries({ queryKey: [key] }),
      ),
    );
  };
  const ofMessage = approval.message_id !== null && approval.message_id !== undefined;
  const approves = as === 'approve';
  return (
    <ReasonDialog
      optional
      title={approves ? t.approveTitle : t.rejectTitle}
      submit={approves ? t.approve : t.reject}
      danger={!approves}
      about={
        approves
          ? ofMessage
            ? t.approveMessageAbout
            : t.approveAbout
          : ofMessage
            ? t.rejectMessageAbout
            : t.rejectAbout
      }
      onSubmit={decide}
      onClose={onClose}
    >
      <div className="row wrap">
        <RiskBadge risk={approval.risk_level} />
        <span className="strong break">{approval.summary}</span>
      </div>
    </ReasonDialog>
  );
}
