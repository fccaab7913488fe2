// Lanes and controls of the adapter.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Controls } from '../../dist/esm/adapter/controls.js';
import { Lanes } from '../../dist/esm/adapter/lanes.js';

const message = (message_id, conversation_id) => ({ message_id, conversation_id });
const listed = (...pairs) => pairs.map(([control_id, action]) => ({ control_id, action }));
const ids = (controls) => controls.map(({ control_id }) => control_id);

test('a lane keeps order and has one worker', () => {
  const lanes = new Lanes();
  assert.equal(lanes.offer(message('1', 'a')), 'new_lane');
  assert.equal(lanes.offer(message('2', 'b')), 'new_lane');
  assert.equal(lanes.offer(message('3', 'a')), 'queued');
  assert.equal(lanes.next('a').message_id, '1');
  assert.equal(lanes.offer(message('4', 'a')), 'queued', 'while 1 is in work');
  assert.equal(lanes.next('a').message_id, '3');
  assert.equal(lanes.next('a').message_id, '4');
  assert.equal(lanes.next('a'), undefined);
  assert.equal(lanes.offer(message('5', 'a')), 'new_lane');
  assert.equal(lanes.size, 5);
});

test('a copy is dropped, a lost ack is made up for', () => {
  const lanes = new Lanes();
  lanes.offer(message('1', 'a'));
  assert.equal(lanes.offer(message('1', 'a')), 'in_work');
  lanes.next('a');
  lanes.finished('1', true);
  assert.equal(lanes.offer(message('1', 'a')), 'ack_again');
  lanes.ackedLate('1');
  assert.notEqual(lanes.offer(message('1', 'a')), 'ack_again');
});

test('lost acks are remembered up to a limit', () => {
  const lanes = new Lanes();
  for (let number = 0; number <= 1000; number += 1) lanes.finished(String(number), true);
  assert.notEqual(lanes.offer(message('0', 'a')), 'ack_again');
  assert.equal(lanes.offer(message('1000', 'a')), 'ack_again');
});

test('conversations stay active while they are worked on', () => {
  const lanes = new Lanes();
  lanes.offer(message('1', 'b'));
  lanes.touch('a');
  assert.deepEqual(lanes.activeConversations(), ['a', 'b']);
  assert.deepEqual(lanes.activeConversations(), ['b']);
  lanes.next('b');
  lanes.finished('1', false);
  lanes.next('b');
  assert.deepEqual(lanes.activeConversations(), []);
});

test('the newest control decides, each is told once', () => {
  const controls = new Controls();
  assert.deepEqual(ids(controls.update(listed(['1', 'pause']))), ['1']);
  assert.ok(controls.paused);
  assert.deepEqual(ids(controls.update(listed(['2', 'resume'], ['1', 'pause']))), ['2']);
  assert.ok(!controls.paused);
  const again = listed(['3', 'quarantine'], ['2', 'resume'], ['1', 'pause']);
  assert.deepEqual(ids(controls.update(again)), ['3']);
  assert.deepEqual(controls.update(again), []);
  assert.ok(controls.paused);
  assert.deepEqual(ids(controls.update(listed(['4', 'dance'], ['3', 'quarantine']))), ['4']);
  assert.ok(controls.paused, 'what is not known changes nothing');
  controls.update([]);
  assert.ok(!controls.paused, 'a pause that ended is over');
});
