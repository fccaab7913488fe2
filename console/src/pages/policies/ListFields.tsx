// Fields that hold several values: agents by name, words with commas, choices to tick.
import { useState } from 'react';
import { AgentLink } from '../../links/links';
import { AgentPicker } from '../../links/AgentPicker';
import { text } from '../../text';
import { TextField } from '../../ui/Field';
import { Icon } from '../../ui/Icon';

export function AgentsField({
  label,
  ids,
  onChange,
}: {
  label: string;
  ids: string[];
  onChange: (ids: string[]) => void;
}) {
  // A new key empties the picker once its choice has become a chip.
  const [turn, setTurn] = useState(0);
  return (
    <div className="stack tight">
      <AgentPicker
        key={turn}
        label={label}
        value=""
        placeholder={text.common.any}
        onChange={(id) => {
          if (id === '' || ids.includes(id)) return;
          onChange([...ids, id]);
          setTurn(turn + 1);
        }}
      />
      {ids.length > 0 && (
        <ul className="chips">
          {ids.map((id) => (
            <li key={id} className="chip row chip-removable">
              <AgentLink id={id} />
              <button
                type="button"
                className="chip-remove"
                aria-label={text.common.remove}
                onClick={() => onChange(ids.filter((one) => one !== id))}
              >
                <Icon name="close" size={12} />
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function WordsField({
  label,
  hint,
  values,
  wrong,
  onChange,
}: {
  label: string;
  hint: string;
  values: string[];
  wrong?: string | undefined;
  onChange: (values: string[]) => void;
}) {
  const [typed, setTyped] = useState(values.join(', '));
  return (
    <TextField
      label={label}
      hint={hint}
      value={typed}
      wrong={wrong}
      onChange={(event) => {
        setTyped(event.target.value);
        onChange([
          ...new Set(
            event.target.value
              .split(',')
              .map((word) => word.trim())
              .filter(Boolean),
          ),
        ]);
      }}
    />
  );
}

export function ChoicesField({
  label,
  choices,
  values,
  onChange,
}: {
  label: string;
  choices: readonly string[];
  values: string[];
  onChange: (values: string[]) => void;
}) {
  return (
    <fieldset className="field">
      <legend>{label}</legend>
      <div className="chips choices">
        {choices.map((choice) => {
          const chosen = values.includes(choice);
          return (
            <button
              key={choice}
              type="button"
              className="chip choice"
              aria-pressed={chosen}
              onClick={() =>
                onChange(chosen ? values.filter((value) => value !== choice) : [...values, choice])
              }
            >
              {choice}
            </button>
          );
        })}
      </div>
    </fieldset>
  );
}
