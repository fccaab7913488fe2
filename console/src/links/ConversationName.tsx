// What a conversation is called: a room by its name, any other by its id.
import { useRoomName } from './names';

export function ConversationName({ id }: { id: string }) {
  return <>{useRoomName(id) ?? id}</>;
}
