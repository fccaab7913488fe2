// What the licence allows, installing one, and removing it.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';
import { ConfirmDialog, FormDialog } from '../../ui/Dialog';
import { TextArea } from '../../ui/Field';
import { Facts, PageHead, Panel } from '../../ui/Page';
import { Loaded, Notice } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.licence;
const FEATURES = ['many_fleets', 'advanced_policies', 'analytics'];

export function LicencePage() {
  const [open, setOpen] = useState<'install' | 'remove' | null>(null);
  const [key, setKey] = useState('');
  const may = useMay('settings');
  const client = useQueryClient();
  const query = useQuery({
    queryKey: ['license'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/license', { signal })),
  });
  const close = () => setOpen(null);
  const after = async (now: unknown) => {
    client.setQueryData(['license'], now);
    await client.invalidateQueries({
      predicate: (one) => ['overview', 'analytics', 'fleets'].includes(String(one.queryKey[0])),
    });
  };
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          may && (
            <>
              {query.data?.source === 'installed' && (
                <button type="button" className="button danger" onClick={() => setOpen('remove')}>
                  {t.remove}
                </button>
              )}
              <button
                type="button"
                className="button primary"
                onClick={() => {
                  setKey('');
                  setOpen('install');
                }}
              >
                {t.install}
              </button>
            </>
          )
        }
      />
      <Loaded query={query} lines={6}>
        {(licence) => (
          <div className="stack">
            {licence.problems.map((problem) => (
              <Notice key={problem.code + problem.text} tone="warn">
                {problem.text}
                <span className="detail">
                  {text.errors.code} <code>{problem.code}</code>
                </span>
              </Notice>
            ))}
            <div className="grid-2">
              <Panel title={t.tier}>
                <Facts
                  of={[
                    [t.tier, t.tiers[licence.tier] ?? licence.tier],
                    [
                      t.org,
                      licence.org ?? (
                        <span key="o" className="faint">
                          –
                        </span>
                      ),
                    ],
                    [
                      t.fleets,
                      licence.used
                        ? t.fleetsUsed(licence.used.fleets, licence.max_fleets)
                        : String(licence.max_fleets),
                    ],
                    [t.issued, <Time key="i" at={licence.issued_at} as="full" />],
                    [t.expires, <Time key="e" at={licence.expires_at} as="full" none={t.never} />],
                    [
                      t.source,
                      licence.source ? (
                        (t.sources[licence.source] ?? licence.source)
                      ) : (
                        <span key="s" className="faint">
                          –
                        </span>
                      ),
                    ],
                  ]}
                />
              </Panel>
              <Panel title={t.features} flush>
                <ul className="plain-rows">
                  {FEATURES.map((feature) => (
                    <li key={feature} className="row apart">
                      <span>
                        <span className="strong">{t.names[feature]}</span>
                        <span className="small muted" style={{ display: 'block' }}>
                          {t.allows[feature]}
                        </span>
                      </span>
                      {licence.features.includes(feature) ? (
                        <Badge tone="ok">{t.included}</Badge>
                      ) : (
                        <Badge tone="idle">{t.notIncluded}</Badge>
                      )}
                    </li>
                  ))}
                </ul>
              </Panel>
            </div>
          </div>
        )}
      </Loaded>
      {open === 'install' && (
        <FormDialog
          title={t.install}
          submit={t.install}
          done={t.installed}
          onClose={close}
          disabled={key.trim() === ''}
          onSubmit={() => need(api.PUT('/v1/operator/license', { body: { key: key.trim() } })).then(after)}
        >
          <TextArea
            label={t.key}
            hint={t.keyHint}
            mono
            rows={6}
            value={key}
            autoFocus
            spellCheck={false}
            onChange={(event) => setKey(event.target.value)}
          />
        </FormDialog>
      )}
      {open === 'remove' && (
        <ConfirmDialog
          title={t.removeTitle}
          about={t.removeAbout}
          submit={t.remove}
          danger
          done={t.removed}
          onClose={close}
          onSubmit={() => need(api.DELETE('/v1/operator/license')).then(after)}
        />
      )}
    </>
  );
}
