// Password and second factor.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { api, need } from '../../api/client';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { CopyBox } from '../../ui/Copy';
import { QrCode } from '../../ui/QrCode';
import { Dialog, FormDialog } from '../../ui/Dialog';
import { TextField } from '../../ui/Field';
import { Panel } from '../../ui/Page';
import { ErrorBox, Loaded } from '../../ui/State';
import { useToast } from '../../ui/Toast';

const p = text.account.password;
const t = text.account.totp;

export function Password() {
  const client = useQueryClient();
  const toast = useToast();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const changing = useMutation({
    mutationFn: () =>
      need(api.POST('/v1/operator/password', { body: { current_password: current, new_password: next } })),
    onSuccess: () => {
      setCurrent('');
      setNext('');
      setAgain('');
      toast(p.done);
      void client.invalidateQueries({ queryKey: ['sessions'] });
    },
  });
  const differ = again !== '' && again !== next;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!differ) changing.mutate();
  };
  return (
    <Panel title={p.title}>
      <form className="stack" onSubmit={submit}>
        <TextField
          label={p.current}
          type="password"
          value={current}
          required
          autoComplete="current-password"
          onChange={(event) => setCurrent(event.target.value)}
        />
        <TextField
          label={p.new}
          type="password"
          value={next}
          required
          minLength={8}
          hint={p.hint}
          autoComplete="new-password"
          onChange={(event) => setNext(event.target.value)}
        />
        <TextField
          label={p.repeat}
          type="password"
          value={again}
          required
          autoComplete="new-password"
          wrong={differ ? p.differ : undefined}
          onChange={(event) => setAgain(event.target.value)}
        />
        <p className="small muted">{p.about}</p>
        {changing.error && <ErrorBox error={changing.error} />}
        <div>
          <button type="submit" className="button primary" disabled={changing.isPending || differ}>
            {p.change}
          </button>
        </div>
      </form>
    </Panel>
  );
}

export function SecondFactor() {
  const [open, setOpen] = useState<'begin' | 'disable' | null>(null);
  const query = useQuery({
    queryKey: ['totp'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/totp', { signal })),
  });
  return (
    <Panel title={t.title}>
      <Loaded query={query} lines={2}>
        {(data) => (
          <div className="stack">
            <div className="row wrap">
              <Badge tone={data.enabled ? 'ok' : 'idle'}>
                {data.enabled ? t.on(data.recovery_codes_left) : text.policies.states.off}
              </Badge>
            </div>
            {!data.enabled && <p className="muted">{t.off}</p>}
            <div>
              {data.enabled ? (
                <button type="button" className="button danger" onClick={() => setOpen('disable')}>
                  {t.disable}
                </button>
              ) : (
                <button type="button" className="button primary" onClick={() => setOpen('begin')}>
                  {t.begin}
                </button>
              )}
            </div>
          </div>
        )}
      </Loaded>
      {open === 'begin' && <BeginDialog onClose={() => setOpen(null)} />}
      {open === 'disable' && <DisableDialog onClose={() => setOpen(null)} />}
    </Panel>
  );
}

function BeginDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const beginning = useMutation({
    mutationFn: () => need(api.POST('/v1/operator/totp', { body: { password } })),
  });
  const confirming = useMutation({
    mutationFn: () =>
      need(api.POST('/v1/operator/totp/confirm', { body: { totp_code: code.replaceAll(' ', '') } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ['totp'] }),
  });
  const begun = beginning.data;
  const codes = confirming.data?.recovery_codes;
  return (
    <Dialog title={codes ? t.codes : t.beginTitle} onClose={onClose}>
      {!begun && (
        <form
          className="dialog-body"
          onSubmit={(event) => {
            event.preventDefault();
            beginning.mutate();
          }}
        >
          <TextField
            label={t.passwordFirst}
            type="password"
            value={password}
            required
            autoFocus
            autoComplete="current-password"
            onChange={(event) => setPassword(event.target.value)}
          />
          {beginning.error && <ErrorBox error={beginning.error} />}
          <div>
            <button type="submit" className="button primary" disabled={beginning.isPending}>
              {t.begin}
            </button>
          </div>
        </form>
      )}
      {begun && !codes && (
        <form
          className="dialog-body"
          onSubmit={(event) => {
            event.preventDefault();
            confirming.mutate();
          }}
        >
          <p className="muted">{t.scan}</p>
          <div className="enrol-code">
            <QrCode value={begun.otpauth_url} label={t.qr} />
            <div className="stack tight">
              <span className="small muted">{t.orType}</span>
              <CopyBox value={begun.secret} label={t.secret} />
              <a href={begun.otpauth_url}>{t.link}</a>
            </div>
          </div>
          <TextField
            label={t.code}
            value={code}
            required
            autoFocus
            inputMode="numeric"
            autoComplete="one-time-code"
            onChange={(event) => setCode(event.target.value)}
          />
          {confirming.error && <ErrorBox error={confirming.error} />}
          <div>
            <button type="submit" className="button primary" disabled={confirming.isPending}>
              {t.confirm}
            </button>
          </div>
        </form>
      )}
      {codes && (
        <div className="dialog-body">
          <p className="muted">{t.codesAbout}</p>
          <CopyBox value={codes.join('\n')} label={t.codes} />
          <div>
            <button type="button" className="button primary" onClick={onClose}>
              {t.kept}
            </button>
          </div>
        </div>
      )}
    </Dialog>
  );
}

function DisableDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const digits = code.replaceAll(' ', '');
  const factor = /^\d{6}$/.test(digits) ? { totp_code: digits } : { recovery_code: code.trim() };
  return (
    <FormDialog
      title={t.disableTitle}
      submit={t.disable}
      danger
      done={t.disabled}
      onClose={onClose}
      onSubmit={() =>
        need(api.POST('/v1/operator/totp/disable', { body: { password, ...factor } })).then(() =>
          client.invalidateQueries({ queryKey: ['totp'] }),
        )
      }
    >
      <TextField
        label={text.signIn.password}
        type="password"
        value={password}
        required
        autoFocus
        autoComplete="current-password"
        onChange={(event) => setPassword(event.target.value)}
      />
      <TextField
        label={t.codeOrRecovery}
        value={code}
        required
        autoComplete="one-time-code"
        onChange={(event) => setCode(event.target.value)}
      />
    </FormDialog>
  );
}
