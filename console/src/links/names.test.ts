import { expect, it } from 'vitest';
import { isRoom } from './names';

it('knows a room by its whole id', () => {
  expect(isRoom('room_01a21c74f3a9706b9475d430da8905da')).toBe(true);
  for (const other of [
    'room_service',
    'room_01a21c74f3a9706b9475d430da8905da-2',
    'room_01A21C74F3A9706B9475D430DA8905DA',
    'a room_01a21c74f3a9706b9475d430da8905da',
    '',
    null,
    undefined,
  ])
    expect(isRoom(other), String(other)).toBe(false);
});
