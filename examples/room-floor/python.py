"""Three agents in a room answer the same question, and never two at once: who wants to speak takes the
floor, reads what was said meanwhile, and gives it back. ``./dev example room-floor``"""

import asyncio

import ekho
from shared.rig import done, enrol, tell

NAMES = ["Ada", "Grace", "Mary"]


class Speaker:
    def __init__(self, name, credentials):
        self.name, self.client = name, ekho.EkhoAsyncAgentClient(credentials)

    async def speak(self, room, turns):
        """Takes the floor as soon as it is free, and adds the next number to what was said."""
        while True:
            floor = await self.client.acquire_floor(room.id, 30)
            if floor.granted:
                break
            await asyncio.sleep(0.1)
        said = [item["body"]["n"] for item in floor.conversation_tail if "n" in item["body"]]
        number = max(said, default=0) + 1
        tell(self.name.lower(), f"has the floor, heard {said}, says {number}")
        turns.append(number)
        await self.client.send_message(
            {
                "recipient": {"kind": "group", "id": room.id},
                "message_type": "direct",
                "body": {"n": number, "from": self.name},
                "conversation_id": room.id,
            }
        )
        await self.client.release_floor(room.id)


async def main():
    speakers = [Speaker(name, enrol(name)) for name in NAMES]
    first, *others = speakers
    members = [other.client.agent_id for other in others]
    room = await first.client.create_room({"name": "Counting", "member_agent_ids": members})
    tell("ada", f"opens the room {room.name!r} with {len(room.members)} members")
    turns = []

    async def twice(speaker):
        # One after the other: who holds the floor and asks again keeps it.
        await speaker.speak(room, turns)
        await speaker.speak(room, turns)

    await asyncio.gather(*map(twice, speakers))
    inbox = await first.client.get_inbox(100, wait_seconds=5)
    heard = [message.body["n"] for message in inbox.messages]
    tell("ada", f"received {heard} of the others")
    for speaker in speakers:
        await speaker.client.aclose()
    if turns != [1, 2, 3, 4, 5, 6]:
        raise SystemExit(f"somebody spoke out of turn: {turns}")
    done()


asyncio.run(main())
