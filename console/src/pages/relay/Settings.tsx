// Every setting with what it means, its default, and its value to change.
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { ApiError } from '../../api/error';
import { relaySettingsQuery } from '../../api/settings';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { RISKS } from '../../url/searches';
import { Check } from '../../ui/Field';
import { PageHead, Panel } from '../../ui/Page';
import { ErrorBox, Loaded, Notice } from '../../ui/State';
import { useErrorToast, useToast } from '../../ui/Toast';
import { ATTACHMENTS, type Field, GROUPS, type Group, read, shown } from './fields';

const t = text.settings;

export function SettingsPage() {
  const query = useQuery(relaySettingsQuery);
  const attachments = useQuery({
    queryKey: ['settings', 'attachments'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/settings/attachments', { signal })),
  });
  const may = useMay('settings');
  return (
    <>
      <PageHead title={t.title} about={t.about} />
      <div className="stack">
        {!may && <Notice>{t.readOnly}</Notice>}
        <Loaded query={query} lines={14}>
          {(settings) => (
            <Form
              name="relay"
              settings={settings}
              groups={GROUPS}
              save={(changes) => need(api.PUT('/v1/operator/settings', { body: changes }))}
            />
          )}
        </Loaded>
        <Loaded query={attachments} lines={4}>
          {(settings) => (
            <Form
              name="attachments"
              settings={settings}
              groups={ATTACHMENTS}
              save={(changes) => need(api.PUT('/v1/operator/settings/attachments', { body: changes }))}
            />
          )}
        </Loaded>
        <FleetSettings />
      </div>
    </>
  );
}

/** Settings that are saved together. */
function Form<Values extends object>({
  name,
  settings,
  groups,
  save,
}: {
  name: string;
  settings: Values;
  groups: Group<keyof Values & string>[];
  save: (changes: Partial<Values>) => Promise<Values>;
}) {
  const may = useMay('settings');
  const client = useQueryClient();
  const toast = useToast();
  const [typed, setTyped] = useState<Record<string, string>>({});
  const all = groups.flatMap((group) => group.fields);
  const changes: Record<string, unknown> = {};
  const wrong: Record<string, string> = {};
  for (const field of all) {
    const now = typed[field.name];
    if (now === undefined || now === shown(field.kind, settings[field.name])) continue;
    const got = read(field.kind, now);
    if (got.ok) changes[field.name] = got.value;
    else wrong[field.name] = got.wrong;
  }
  const count = Object.keys(changes).length + Object.keys(wrong).length;
  const saving = useMutation({
    mutationFn: (_: Record<string, string>) => save(changes as Partial<Values>),
    onSuccess: (now, sent) => {
      client.setQueryData(['settings', name], now);
      // What was typed while it was being saved stays, to be saved next.
      setTyped((latest) =>
        Object.fromEntries(Object.entries(latest).filter(([field, value]) => sent[field] !== value)),
      );
      toast(t.saved);
    },
  });
  const refused = saving.error instanceof ApiError ? saving.error.fields : {};
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (Object.keys(wrong).length === 0) saving.mutate(typed);
      }}
    >
      {groups.map(({ group, fields }) => (
        <Panel key={group} title={t.groups[group]} flush>
          <ul className="plain-rows">
            {fields.map((field) => (
              <Row
                key={field.name}
                field={field}
                value={typed[field.name] ?? shown(field.kind, settings[field.name])}
                may={may}
                wrong={wrong[field.name] ?? refused[field.name]}
                changed={changes[field.name] !== undefined}
                onChange={(value) => setTyped((before) => ({ ...before, [field.name]: value }))}
              />
            ))}
          </ul>
        </Panel>
      ))}
      {count > 0 && (
        <div className="save-bar" role="region" aria-label={t.changed(count)}>
          <span className="strong">{t.changed(count)}</span>
          {saving.error && <ErrorBox error={saving.error} />}
          <span className="top-spacer" />
          <button
            type="button"
            className="button"
            onClick={() => {
              setTyped({});
              saving.reset();
            }}
          >
            {t.discard}
          </button>
          <button
            type="submit"
            className="button primary"
            disabled={saving.isPending || Object.keys(wrong).length > 0}
          >
            {saving.isPending ? text.common.working : t.save}
          </button>
        </div>
      )}
    </form>
  );
}

function Row({
  field,
  value,
  may,
  wrong,
  changed,
  onChange,
}: {
  field: Field;
  value: string;
  may: boolean;
  wrong: string | undefined;
  changed: boolean;
  onChange: (value: string) => void;
}) {
  const name = t.names[field.name] ?? field.name;
  const id = `setting-${field.name}`;
  const standard = shown(field.kind, field.standard);
  return (
    <li className="setting-row">
      <div>
        <label htmlFor={field.kind === 'risks' ? undefined : id} id={`${id}-label`} className="strong">
          {name}
        </label>{' '}
        <code className="small faint">{field.name}</code>
        <p className="small muted" id={`${id}-means`}>
          {t.means[field.name]}
        </p>
      </div>
      <div className="stack tight">
        {field.kind === 'risks' ? (
          <Risks id={id} value={value} may={may} onChange={onChange} />
        ) : (
          <input
            id={id}
            className="input"
            value={value}
            readOnly={!may}
            aria-invalid={wrong ? true : undefined}
            aria-describedby={`${id}-means ${id}-note`}
            data-changed={changed}
            onChange={(event) => onChange(event.target.value)}
          />
        )}
        <span className={wrong ? 'small wrong-text' : 'small faint'} id={`${id}-note`}>
          {wrong ??
            (value === standard
              ? t.isDefault
              : t.default(standard === '' ? text.common.none.toLowerCase() : standard))}
        </span>
      </div>
    </li>
  );
}

function Risks({
  id,
  value,
  may,
  onChange,
}: {
  id: string;
  value: string;
  may: boolean;
  onChange: (value: string) => void;
}) {
  const chosen = value
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
  return (
    <div className="chips" role="group" aria-labelledby={`${id}-label`}>
      {RISKS.map((risk) => {
        const on = chosen.includes(risk);
        return (
          <button
            key={risk}
            type="button"
            className="chip choice"
            aria-pressed={on}
            disabled={!may}
            onClick={() =>
              onChange(RISKS.filter((one) => (one === risk ? !on : chosen.includes(one))).join(', '))
            }
          >
            {risk}
          </button>
        );
      })}
    </div>
  );
}

function FleetSettings() {
  const may = useMay('policies');
  const client = useQueryClient();
  const toast = useToast();
  const failed = useErrorToast();
  const query = useQuery({
    queryKey: ['settings', 'fleet'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/settings/fleet', { signal })),
  });
  const change = (edge_outbox: boolean) =>
    void need(api.PUT('/v1/operator/settings/fleet', { body: { edge_outbox } }))
      .then((now) => {
        client.setQueryData(['settings', 'fleet'], now);
        toast(t.saved);
      })
      .catch(failed);
  return (
    <Panel title={t.fleetTitle}>
      <Loaded query={query} lines={1}>
        {(data) => (
          <Check
            label={t.edge}
            hint={t.edgeAbout}
            checked={data.edge_outbox}
            disabled={!may}
            onChange={(event) => change(event.target.checked)}
          />
        )}
      </Loaded>
    </Panel>
  );
}
