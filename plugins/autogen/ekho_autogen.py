"""An AutoGen agent or team as an agent of an Ekho fleet: what comes in is its task, what it says last
goes back to the sender. Copy this file, or import it.

Each conversation has an agent or team of its own, so that they do not mix up what was said.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Callable, Union

import ekho
from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.messages import TextMessage

#: Conversations whose agents are kept; of the others what was said is forgotten.
MOST_CONVERSATIONS = 1000


def hooks_for(make: Callable[[], Union[ChatAgent, Team]]) -> ekho.AsyncAdapterHooks:
    """Hooks of an adapter that answers with the agents or teams that ``make`` makes."""
    runners: OrderedDict[str, Union[ChatAgent, Team]] = OrderedDict()

    async def on_message(message: ekho.InboxMessage, agent: ekho.EkhoAsyncAgentAdapter) -> None:
        runner = runners.pop(message.conversation_id, None) or make()
        runners[message.conversation_id] = runner
        if len(runners) > MOST_CONVERSATIONS:
            runners.popitem(last=False)
        task = TextMessage(
            content=str(message.body.get("text", message.body)), source=message.sender_agent_id
        )
        result = await runner.run(task=task)
        answer = {"text": result.messages[-1].to_text()}
        await agent.reply(message, answer, idempotency_key=f"answer-{message.message_id}")

    return ekho.AsyncAdapterHooks(on_message=on_message)


def send_tool(client: ekho.EkhoAsyncAgentClient) -> Callable[[str, str], object]:
    """A tool for an AssistantAgent, to ask other agents of the fleet."""

    async def send_to_fleet(agent_id: str, text: str) -> str:
        """Send a message to another agent of the fleet, by its id; gives the message's id."""
        sent = await client.send_message(
            {
                "recipient": {"kind": "agent", "id": agent_id},
                "message_type": "direct",
                "body": {"text": text},
                "conversation_id": f"autogen-{agent_id}",
            }
        )
        return sent.message_id

    return send_to_fleet
