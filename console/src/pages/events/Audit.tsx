// The audit log as evidence: its newest hash, a download, and a check of the whole chain.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { api, need } from '../../api/client';
import { asApiError, errorOf } from '../../api/error';
import { text } from '../../text';
import { CopyBox } from '../../ui/Copy';
import { TextField } from '../../ui/Field';
import { formatNumber } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { Facts, PageHead, Panel } from '../../ui/Page';
import { ErrorBox, Loaded, Notice } from '../../ui/State';
import { ChainChecker, type Verdict } from './chain';
import { Words } from '../../ui/Words';

const t = text.audit;
const REPORT_EVERY_ROWS = 500;

export function AuditPage() {
  const head = useQuery({
    queryKey: ['events', 'head'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/audit', { signal })),
  });
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          <>
            <Link to="/events" className="button">
              {text.events.title}
            </Link>
            <a
              className="button"
              href="/v1/operator/audit/export"
              download="ekho-audit.jsonl"
              title={t.exportAbout}
            >
              <Icon name="download" size={14} />
              {t.export}
            </a>
          </>
        }
      />
      <div className="grid-2">
        <Panel title={t.head}>
          <Loaded query={head}>
            {(data) => (
              <div className="stack">
                <Facts
                  of={[
                    [t.head, formatNumber(data.head_seq)],
                    [t.first, formatNumber(data.first_seq)],
                  ]}
                />
                <div className="stack tight">
                  <h3>{t.hash}</h3>
                  <CopyBox value={data.head_hash} label={t.hash} />
                  <p className="small muted">{t.hashAbout}</p>
                </div>
              </div>
            )}
          </Loaded>
        </Panel>
        <Check />
      </div>
    </>
  );
}

type State =
  | { kind: 'idle' }
  | { kind: 'running'; rows: number; total: number }
  | { kind: 'done'; verdict: Verdict }
  | { kind: 'failed'; error: unknown };

async function verify(
  kept: string | null,
  signal: AbortSignal,
  report: (rows: number, total: number) => void,
): Promise<Verdict> {
  const response = await fetch('/v1/operator/audit/export', { signal, credentials: 'same-origin' });
  if (!response.ok || !response.body) throw errorOf(await response.json().catch(() => null), response);
  const checker = new ChainChecker(kept);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? '')).split('\n');
    rest = done ? '' : (lines.pop() ?? '');
    for (const line of lines) {
      if (!(await checker.line(line))) {
        await reader.cancel();
        return checker.verdict();
      }
      if (checker.rows % REPORT_EVERY_ROWS === 0) report(checker.rows, checker.total);
    }
    if (done) return checker.verdict();
  }
}

function Check() {
  const [state, setState] = useState<State>({ kind: 'idle' });
  const [kept, setKept] = useState('');
  const stop = useRef<AbortController | null>(null);
  const secure = typeof crypto !== 'undefined' && crypto.subtle !== undefined;
  const hash = kept.trim().toLowerCase();
  const run = () => {
    const controller = new AbortController();
    stop.current = controller;
    setState({ kind: 'running', rows: 0, total: 0 });
    verify(hash || null, controller.signal, (rows, total) => setState({ kind: 'running', rows, total }))
      .then((verdict) => setState({ kind: 'done', verdict }))
      .catch((thrown: unknown) =>
        setState(
          controller.signal.aborted ? { kind: 'idle' } : { kind: 'failed', error: asApiError(thrown) },
        ),
      );
  };
  return (
    <Panel title={t.verify} about={t.verifyAbout}>
      {!secure ? (
        <Notice tone="warn">
          <Words of={t.insecure} />
        </Notice>
      ) : (
        <form
          className="stack"
          onSubmit={(event) => {
            event.preventDefault();
            run();
          }}
        >
          <TextField
            label={t.compare}
            hint={t.compareAbout}
            value={kept}
            className="input mono"
            autoComplete="off"
            spellCheck={false}
            pattern="\s*[0-9a-fA-F]{64}\s*"
            onChange={(event) => setKept(event.target.value)}
          />
          <div className="row">
            <button type="submit" className="button primary" disabled={state.kind === 'running'}>
              {t.verify}
            </button>
            {state.kind === 'running' && (
              <button type="button" className="button" onClick={() => stop.current?.abort()}>
                {t.stop}
              </button>
            )}
          </div>
          <div role="status">
            {state.kind === 'running' && (
              <div className="stack tight">
                <span className="meter">
                  <span style={{ width: `${state.total === 0 ? 0 : (state.rows / state.total) * 100}%` }} />
                </span>
                <span className="small muted num">
                  {t.verifying(formatNumber(state.rows), formatNumber(state.total))}
                </span>
              </div>
            )}
            {state.kind === 'done' && <VerdictNotice verdict={state.verdict} kept={hash !== ''} />}
            {state.kind === 'failed' && <ErrorBox error={state.error} onRetry={run} />}
          </div>
        </form>
      )}
    </Panel>
  );
}

function VerdictNotice({ verdict, kept }: { verdict: Verdict; kept: boolean }) {
  switch (verdict.kind) {
    case 'good':
      return (
        <div className="stack tight">
          <Notice tone="ok">{t.good(formatNumber(verdict.rows))}</Notice>
          {kept &&
            (verdict.keptAt === null ? (
              <Notice tone="bad">{t.compareMissing}</Notice>
            ) : (
              <Notice tone="ok">{t.compareFound(verdict.keptAt)}</Notice>
            ))}
        </div>
      );
    case 'broken':
      return <Notice tone="bad">{t.broken(verdict.seq)}</Notice>;
    case 'gap':
      return <Notice tone="bad">{t.gap(verdict.expected, verdict.found)}</Notice>;
    case 'cut':
      return <Notice tone="warn">{t.cut}</Notice>;
    case 'head_differs':
      return <Notice tone="bad">{t.headDiffers}</Notice>;
  }
}
