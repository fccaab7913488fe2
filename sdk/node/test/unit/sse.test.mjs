// Server-sent events, however their bytes are cut.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseEventTooLarge, SseParser } from '../../dist/esm/sse.js';

const TEXT =
  '\ufeff: keep-alive\n\nid: 7\nevent: message\ndata: {"a":\ndata: "ü"}\n\n' +
  'event: control\r\ndata:x\r\n\r\nid\rdata\r\rretry: 5\nevent: lost\n\n';

test('the same events in pieces of any size', () => {
  for (let size = 1; size <= TEXT.length; size += 1) {
    const parser = new SseParser(1024);
    const events = [];
    for (let at = 0; at < TEXT.length; at += size) {
      events.push(...parser.push(TEXT.slice(at, at + size)));
    }
    assert.deepEqual(events, [
      { name: 'message', data: '{"a":\n"ü"}', id: '7' },
      { name: 'control', data: 'x', id: '7' },
      { name: 'message', data: '', id: '' },
    ], `pieces of ${size}`);
  }
});

test('an unfinished event is not handed out', () => {
  const parser = new SseParser(1024);
  assert.deepEqual(parser.push('id: 1\ndata: half\n'), []);
  assert.deepEqual(parser.push('\n'), [{ name: 'message', data: 'half', id: '1' }]);
});

test('events are limited in size', () => {
  assert.throws(() => new SseParser(16).push('x'.repeat(17)), SseEventTooLarge);
  assert.throws(() => new SseParser(16).push('data: 1234\n'.repeat(5)), SseEventTooLarge);
  assert.equal(new SseParser(16).push('data: 1234\n\n'.repeat(50)).length, 50);
});
