import { describe, expect, it } from 'vitest';
import { EventParser } from './sse';

const STREAM =
  ': hello\n\nevent: event\nid: evt_1\ndata: {"a":\ndata: 1}\n\nevent: counts\r\ndata: {}\r\n\r\ndata: plain\n\n';
const EXPECTED = [
  { event: 'event', data: '{"a":\n1}', id: 'evt_1' },
  { event: 'counts', data: '{}', id: 'evt_1' },
  { event: 'message', data: 'plain', id: 'evt_1' },
];

describe('EventParser', () => {
  it('reads a stream that comes at once', () => {
    expect(new EventParser().push(STREAM)).toEqual(EXPECTED);
  });

  it('reads the same however it is cut', () => {
    for (let size = 1; size < 12; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < STREAM.length; at += size)
        events.push(...parser.push(STREAM.slice(at, at + size)));
      expect(events).toEqual(EXPECTED);
    }
  });

  it('gives nothing for comments and half an event', () => {
    expect(new EventParser().push(': keep-alive\n\nevent: event\ndata: {"cut"')).toEqual([]);
  });
});
