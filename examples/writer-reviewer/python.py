"""A writer hands a draft to a reviewer, the reviewer sends a critique back, the writer says that the
text is complete. ``./dev example writer-reviewer.python``"""

import threading

import ekho
from shared.rig import done, enrol, tell

completed = threading.Event()


def review(message, agent):
    if message.message_type == "handoff":
        tell("reviewer", f"reads the draft: {message.body['text']}")
        text = "A frog should jump. Let it."
        tell("reviewer", f"sends a critique: {text}")
        agent.reply(message, {"text": text, "verdict": "revise"})
    if message.message_type == "complete":
        tell("reviewer", f"reads the complete text: {message.body['text']}")
        completed.set()


def revise(message, agent):
    tell("writer", f"reads the critique: {message.body['text']}")
    text = "An old silent pond / a frog jumps into the pond / splash! Silence again."
    tell("writer", f"sends the complete text: {text}")
    agent.reply(message, {"text": text, "revision": 2}, message_type="complete")


with ekho.EkhoAgentAdapter(
    enrol("Reviewer"), ekho.AdapterHooks(review)
) as reviewer, ekho.EkhoAgentAdapter(enrol("Writer"), ekho.AdapterHooks(revise)) as writer:
    draft = "An old silent pond / a frog sits by the pond / it is very quiet."
    tell("writer", f"sends a draft: {draft}")
    writer.send(
        {
            "recipient": {"kind": "agent", "id": reviewer.agent_id},
            "message_type": "handoff",
            "body": {"text": draft, "revision": 1},
            "conversation_id": "conv-haiku",
        }
    )
    if not completed.wait(25):
        raise SystemExit("not completed in time")
done()
