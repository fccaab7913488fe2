// The body of a message: its text where that is all there is, else as JSON.
import { text } from '../../text';
import { Json } from '../../ui/Copy';
import { historyOf } from '../a2a/task';

export function Body({ body }: { body: unknown }) {
  const words = a2aText(body);
  if (words !== null) return <p className="timeline-text">{words}</p>;
  if (typeof body === 'object' && body !== null) {
    const fields = Object.entries(body);
    const only = fields.length === 1 ? fields[0] : undefined;
    if (only && only[0] === 'text' && typeof only[1] === 'string')
      return <p className="timeline-text">{only[1]}</p>;
    if (fields.length === 0) return null;
  }
  return <Json value={body} label={text.message.body} />;
}

/** What a client of A2A said, where its message is made of texts alone. */
function a2aText(body: unknown): string | null {
  if (typeof body !== 'object' || body === null || !('message' in body)) return null;
  const [message] = historyOf({ history: [body.message] });
  return message && message.text !== '' && message.other.length === 0 ? message.text : null;
}

/** One line of a body, for tables. */
export function bodyLine(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'text' in body && typeof body.text === 'string')
    return body.text;
  return a2aText(body) ?? JSON.stringify(body);
}
