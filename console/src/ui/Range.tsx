// A range of time as two moments of the reader's own zone.
import { text } from '../text';

/** ISO in UTC to what `datetime-local` takes, and back. */
function toLocal(iso: string | undefined): string {
  if (!iso) return '';
  const at = new Date(iso);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const toIso = (local: string): string | undefined =>
  local === '' || Number.isNaN(Date.parse(local)) ? undefined : new Date(local).toISOString();

export function RangeFields({
  from,
  until,
  onChange,
}: {
  from: string | undefined;
  until: string | undefined;
  onChange: (range: { from?: string | undefined; until?: string | undefined }) => void;
}) {
  return (
    <>
      <label className="range-field">
        <span>{text.common.from}</span>
        <input
          type="datetime-local"
          className="input"
          value={toLocal(from)}
          onChange={(event) => onChange({ from: toIso(event.target.value), until })}
        />
      </label>
      <label className="range-field">
        <span>{text.common.until}</span>
        <input
          type="datetime-local"
          className="input"
          value={toLocal(until)}
          onChange={(event) => onChange({ from, until: toIso(event.target.value) })}
        />
      </label>
    </>
  );
}
