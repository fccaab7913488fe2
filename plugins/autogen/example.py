"""A team of two AutoGen agents, without a model: one shouts, one counts. And an agent with the tool to
write to others. Run and tested by ``plugins/check.sh``; the relay is the rig's."""

import asyncio

import ekho
from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool
from ekho_autogen import hooks_for, send_tool
from shared.rig import done, enrol, tell


class Says(BaseChatAgent):
    """An agent that says what a function makes of what it heard."""

    def __init__(self, name, function):
        super().__init__(name, description=name)
        self._function = function

    @property
    def produced_message_types(self):
        return (TextMessage,)

    async def on_messages(self, messages, cancellation_token):
        text = self._function(messages[-1].content if messages else "")
        return Response(chat_message=TextMessage(content=text, source=self.name))

    async def on_reset(self, cancellation_token):
        pass


def make_team():
    rounds = []

    def count(text):
        rounds.append(text)
        return f"{text} (round {len(rounds)})"

    # The task and one word of each.
    stop = MaxMessageTermination(3)
    members = [Says("shouts", str.upper), Says("counts", count)]
    return RoundRobinGroupChat(members, termination_condition=stop)


async def ask(client, agent_id, conversation, text):
    tell("client", text)
    await client.send_message(
        {
            "recipient": {"kind": "agent", "id": agent_id},
            "message_type": "direct",
            "body": {"text": text},
            "conversation_id": conversation,
        }
    )
    inbox = await client.get_inbox(wait_seconds=30)
    await client.ack_messages([{"message_id": item.message_id} for item in inbox.messages])
    said = inbox.messages[0].body["text"]
    tell("team", said)
    return said


async def main():
    client = ekho.EkhoAsyncAgentClient(enrol("Client"))
    async with ekho.EkhoAsyncAgentAdapter(enrol("Team"), hooks_for(make_team)) as agent:
        assert await ask(client, agent.agent_id, "c-1", "grüezi") == "GRÜEZI (round 1)"
        assert await ask(client, agent.agent_id, "c-1", "again") == "AGAIN (round 2)"
        assert await ask(client, agent.agent_id, "c-2", "elsewhere") == "ELSEWHERE (round 1)"

        tool = FunctionTool(send_tool(agent.client), description="Send to the fleet")
        arguments = {"agent_id": client.agent_id, "text": "by a tool"}
        message_id = await tool.run_json(arguments, CancellationToken())
        inbox = await client.get_inbox(wait_seconds=30)
        assert [item.message_id for item in inbox.messages] == [message_id]
        tell("tool", f"{message_id}: {inbox.messages[0].body['text']}")
    await client.aclose()
    done()


asyncio.run(main())
