// Labelled controls. A label, a hint and what is wrong are tied to their control by id.
import { type ComponentProps, type ReactNode, useId } from 'react';

interface Labelled {
  label: string;
  hint?: ReactNode;
  wrong?: string | undefined;
  wide?: boolean;
}

function Frame({ id, label, hint, wrong, wide, children }: Labelled & { id: string; children: ReactNode }) {
  return (
    <div className={wide ? 'field form-wide' : 'field'}>
      <label htmlFor={id}>{label}</label>
      {children}
      {hint && (
        <span className="hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      {wrong && (
        <span className="wrong" id={`${id}-wrong`}>
          {wrong}
        </span>
      )}
    </div>
  );
}

const described = (id: string, { hint, wrong }: Labelled): string | undefined =>
  [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(' ') || undefined;

export function TextField({ label, hint, wrong, wide, ...input }: Labelled & ComponentProps<'input'>) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} wrong={wrong} wide={wide ?? false}>
      <input
        id={id}
        className="input"
        aria-invalid={wrong ? true : undefined}
        aria-describedby={described(id, { label, hint, wrong })}
        data-focus={input.autoFocus}
        {...input}
      />
    </Frame>
  );
}

export function TextArea({
  label,
  hint,
  wrong,
  wide,
  mono,
  ...input
}: Labelled & { mono?: boolean } & ComponentProps<'textarea'>) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} wrong={wrong} wide={wide ?? true}>
      <textarea
        id={id}
        className={mono ? 'input mono' : 'input'}
        rows={3}
        aria-invalid={wrong ? true : undefined}
        aria-describedby={described(id, { label, hint, wrong })}
        data-focus={input.autoFocus}
        {...input}
      />
    </Frame>
  );
}

export interface Choice {
  value: string;
  label: string;
}

export function SelectField({
  label,
  hint,
  wrong,
  wide,
  choices,
  ...input
}: Labelled & { choices: Choice[] } & ComponentProps<'select'>) {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} wrong={wrong} wide={wide ?? false}>
      <select id={id} className="input" aria-describedby={described(id, { label, hint, wrong })} {...input}>
        {choices.map((choice) => (
          <option key={choice.value} value={choice.value}>
            {choice.label}
          </option>
        ))}
      </select>
    </Frame>
  );
}

/** A select in a row of filters, its name only for screen readers. */
export function FilterSelect({
  label,
  value,
  choices,
  onChange,
}: {
  label: string;
  value: string;
  choices: Choice[];
  onChange: (value: string) => void;
}) {
  return (
    <select
      className="input"
      aria-label={label}
      value={value}
      onChange={(event) => onChange(event.target.value)}
    >
      {choices.map((choice) => (
        <option key={choice.value} value={choice.value}>
          {choice.label}
        </option>
      ))}
    </select>
  );
}

export function Check({
  label,
  hint,
  ...input
}: { label: ReactNode; hint?: ReactNode } & ComponentProps<'input'>) {
  const id = useId();
  return (
    <div className="check">
      <input type="checkbox" id={id} {...input} />
      <label htmlFor={id}>
        {label}
        {hint && (
          <span className="faint small" style={{ display: 'block' }}>
            {hint}
          </span>
        )}
      </label>
    </div>
  );
}

export function Segments<Value extends string | number>({
  label,
  value,
  choices,
  onChange,
}: {
  label: string;
  value: Value;
  choices: { value: Value; label: string }[];
  onChange: (value: Value) => void;
}) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {choices.map((choice) => (
        <button
          key={choice.value}
          type="button"
          aria-pressed={choice.value === value}
          onClick={() => onChange(choice.value)}
        >
          {choice.label}
        </button>
      ))}
    </div>
  );
}
