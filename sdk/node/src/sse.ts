// Reads server-sent events (the WHATWG HTML standard, 9.2) from text that comes in any pieces.

export interface SseEvent {
  name: string;
  data: string;
  /** The last id seen so far on this connection. */
  id: string | undefined;
}

/** An event grew beyond what the reader is willing to hold. */
export class SseEventTooLarge extends Error {}

export class SseParser {
  readonly #maxChars: number;
  #rest = '';
  #name = '';
  #data: string[] = [];
  #dataChars = 0;
  #id: string | undefined;
  #atStart = true;

  constructor(maxEventChars: number) {
    this.#maxChars = maxEventChars;
  }

  /** Takes the next piece, gives back the events that it completes. */
  push(piece: string): SseEvent[] {
    let text = this.#rest + piece;
    if (this.#atStart && text !== '') {
      this.#atStart = false;
      if (text.startsWith('\ufeff')) text = text.slice(1);
    }
    const events: SseEvent[] = [];
    let from = 0;
    for (;;) {
      const end = lineEnd(text, from);
      // A CR at the very end may be the first half of CR LF: wait for what follows.
      if (end === -1 || (text[end] === '\r' && end + 1 === text.length)) break;
      const event = this.#line(text.slice(from, end));
      if (event) events.push(event);
      from = text[end] === '\r' && text[end + 1] === '\n' ? end + 2 : end + 1;
    }
    this.#rest = text.slice(from);
    if (this.#rest.length + this.#dataChars > this.#maxChars) throw new SseEventTooLarge();
    return events;
  }

  #line(line: string): SseEvent | undefined {
    if (line === '') return this.#dispatch();
    if (line.startsWith(':')) return undefined;
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.#name = value;
    if (field === 'id' && !value.includes('\0')) this.#id = value;
    if (field === 'data') {
      this.#data.push(value);
      this.#dataChars += value.length + 1;
      if (this.#dataChars > this.#maxChars) throw new SseEventTooLarge();
    }
    return undefined;
  }

  #dispatch(): SseEvent | undefined {
    const name = this.#name || 'message';
    const data = this.#data;
    this.#name = '';
    this.#data = [];
    this.#dataChars = 0;
    return data.length === 0 ? undefined : { name, data: data.join('\n'), id: this.#id };
  }
}

function lineEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 10 || code === 13) return at;
  }
  return -1;
}
