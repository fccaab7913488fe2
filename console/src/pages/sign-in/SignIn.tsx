// Signing in: password with second factor, the organisation's OpenID provider, or the tailnet.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { getRouteApi, useRouter } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';
import { api, CSRF_HEADER, need } from '../../api/client';
import { ApiError } from '../../api/error';
import { text } from '../../text';
import { TextField } from '../../ui/Field';
import { formatDuration } from '../../ui/format';
import { ErrorBox, Notice } from '../../ui/State';

const route = getRouteApi('/sign-in');

export function SignInPage() {
  const { to, again } = route.useSearch();
  const router = useRouter();
  const client = useQueryClient();
  useEffect(() => {
    document.title = `${text.signIn.title} · ${text.common.product}`;
  }, []);
  const methods = useQuery({
    queryKey: ['sign-in-methods'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/sign-in-methods', { signal })),
  });
  const goOn = async () => {
    client.removeQueries({ queryKey: ['me'] });
    await router.navigate({ to: to ?? '/', replace: true });
  };
  const known = methods.data;
  return (
    <main className="gate">
      <div className="gate-box">
        <div className="gate-brand">
          <img src="/ui/ekho.svg" alt="" width={32} height={32} />
          {text.common.product}
        </div>
        <div className="panel">
          <div className="panel-body stack">
            <h1>{text.signIn.title}</h1>
            {again && <p className="muted">{text.signIn.again}</p>}
            <PasswordForm onDone={goOn} />
            {known && (known.oidc || known.tailnet_login) && (
              <p className="faint small" style={{ textAlign: 'center' }}>
                {text.signIn.or}
              </p>
            )}
            {known?.oidc && <OidcLink to={to} />}
            {known?.tailnet_login && <TailnetButton who={known.tailnet_login} onDone={goOn} />}
            {methods.error && <ErrorBox error={methods.error} onRetry={() => void methods.refetch()} />}
          </div>
        </div>
      </div>
    </main>
  );
}

function OidcLink({ to }: { to: string | undefined }) {
  const back = encodeURIComponent(`/ui${to ?? '/'}`);
  return (
    <a className="button" href={`/v1/operator/oidc/login?return_to=${back}`}>
      {text.signIn.oidc}
    </a>
  );
}

function TailnetButton({ who, onDone }: { who: string; onDone: () => Promise<void> }) {
  const doing = useMutation({
    mutationFn: () =>
      need(
        api.POST('/v1/operator/login/tailnet', {
          body: { cookie: true },
          params: { header: { [CSRF_HEADER]: 'console' } },
        }),
      ),
    onSuccess: onDone,
  });
  return (
    <>
      <button type="button" className="button" disabled={doing.isPending} onClick={() => doing.mutate()}>
        {text.signIn.tailnet(who)}
      </button>
      {doing.error && <ErrorBox error={doing.error} />}
    </>
  );
}

type Factor = 'none' | 'code' | 'recovery';

function PasswordForm({ onDone }: { onDone: () => Promise<void> }) {
  const [fleet, setFleet] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [factor, setFactor] = useState<Factor>('none');
  const [code, setCode] = useState('');
  const doing = useMutation({
    mutationFn: () =>
      need(
        api.POST('/v1/operator/login', {
          body: {
            fleet_name: fleet.trim(),
            email: email.trim(),
            password,
            cookie: true,
            ...(factor === 'code' ? { totp_code: code.replaceAll(' ', '') } : {}),
            ...(factor === 'recovery' ? { recovery_code: code } : {}),
          },
        }),
      ),
    onSuccess: onDone,
    onError: (thrown) => {
      if (thrown instanceof ApiError && thrown.code === 'totp_required') setFactor('code');
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!doing.isPending) doing.mutate();
  };
  const change = (next: Factor) => {
    setCode('');
    doing.reset();
    setFactor(next);
  };
  return (
    <form className="stack" onSubmit={submit}>
      <TextField
        label={text.signIn.fleet}
        hint={text.signIn.fleetHint}
        value={fleet}
        required
        autoFocus
        autoComplete="organization"
        name="fleet"
        onChange={(event) => setFleet(event.target.value)}
      />
      <TextField
        label={text.signIn.email}
        type="email"
        value={email}
        required
        autoComplete="username"
        name="email"
        onChange={(event) => setEmail(event.target.value)}
      />
      <TextField
        label={text.signIn.password}
        type="password"
        value={password}
        required
        autoComplete="current-password"
        name="password"
        onChange={(event) => setPassword(event.target.value)}
      />
      {factor === 'code' && (
        <TextField
          label={text.signIn.code}
          hint={text.signIn.codeHint}
          value={code}
          required
          autoFocus
          inputMode="numeric"
          autoComplete="one-time-code"
          name="code"
          onChange={(event) => setCode(event.target.value)}
        />
      )}
      {factor === 'recovery' && (
        <TextField
          label={text.signIn.recovery}
          value={code}
          required
          autoFocus
          autoComplete="off"
          name="recovery"
          onChange={(event) => setCode(event.target.value)}
        />
      )}
      {factor !== 'none' && (
        <button
          type="button"
          className="link small"
          style={{ justifySelf: 'start' }}
          onClick={() => change(factor === 'code' ? 'recovery' : 'code')}
        >
          {factor === 'code' ? text.signIn.useRecovery : text.signIn.useCode}
        </button>
      )}
      {doing.error && <SignInError error={doing.error} asked={factor} />}
      <button type="submit" className="button primary" disabled={doing.isPending}>
        {doing.isPending ? text.common.working : text.signIn.submit}
      </button>
    </form>
  );
}

function SignInError({ error, asked }: { error: Error; asked: Factor }) {
  if (!(error instanceof ApiError)) return <ErrorBox error={error} />;
  if (error.code === 'totp_required') return null;
  if (error.code === 'invalid_credentials') {
    return <Notice tone="bad">{asked === 'none' ? text.signIn.wrong : text.signIn.wrongCode}</Notice>;
  }
  if (error.code === 'locked_out') {
    return (
      <Notice tone="bad">
        {text.signIn.locked(formatDuration((error.retryAfterSeconds ?? 60) * 1_000))}
      </Notice>
    );
  }
  return <ErrorBox error={error} />;
}
