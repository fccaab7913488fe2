// An operation under way, step by step.
import type { Cluster } from '../../api/types';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { Panel } from '../../ui/Page';
import { isDone, type Operation, type Step, stepsOf } from './progress';

const t = text.cluster.progress;

function words(step: Step, operation: Operation): string {
  switch (step.name) {
    case 'asked':
      return t.asked;
    case 'elsewhere':
      return step.other ? t.leads(step.other) : t.noLongerLeads;
    case 'quiet':
      return t.quiet;
    case 'stopped':
      return step.done ? t.stoppedNow : step.ready ? t.stopped : t.stopLater;
    case 'leads':
      return t.leadsNow;
    case 'removed':
      return t.removed;
    case 'joined':
      return step.other ? t.joinedAs(step.other) : t.joined;
    case 'votes':
      return operation.op === 'replace' ? t.votes : t.votesNow;
    case 'noVote':
      return t.noVote;
  }
}

export function Progress({
  operation,
  cluster,
  onDismiss,
}: {
  operation: Operation;
  cluster: Cluster;
  onDismiss: () => void;
}) {
  const steps = stepsOf(operation, cluster);
  const done = isDone(steps);
  const current = steps.findIndex((step) => !step.done && !step.optional);
  return (
    <Panel
      title={`${t.title[operation.op] ?? operation.op} ${operation.node}`}
      about={done ? undefined : t.about}
      actions={
        <>
          <Badge tone={done ? 'ok' : 'info'}>{done ? t.done : t.waiting}</Badge>
          <button type="button" className="button small" onClick={onDismiss}>
            {t.dismiss}
          </button>
        </>
      }
    >
      <ol className="progress-steps" aria-live="polite">
        {steps.map((step, index) => {
          const state = step.done ? 'done' : index === current ? 'current' : 'open';
          return (
            <li key={step.name} data-state={state}>
              <span className="progress-mark" aria-hidden="true">
                {step.done ? '✓' : index + 1}
              </span>
              <span>
                {words(step, operation)}
                <span className="hidden-visually">
                  : {step.done ? t.done : state === 'current' ? t.waiting : t.open}
                </span>
              </span>
            </li>
          );
        })}
      </ol>
    </Panel>
  );
}
