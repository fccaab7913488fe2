"""A graph that counts what was said in a conversation, and asks before it deletes anything. Run and
tested by ``plugins/check.sh``; the relay is the rig's."""

import asyncio

import ekho
from ekho_langgraph import hooks_for
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from shared.rig import done, enrol, operator, tell


def answer(state: MessagesState):
    said = state["messages"][-1].content
    if "delete" in said:
        # The graph stands still here until an operator has decided.
        granted = interrupt(f"May I {said}?")
        return {"messages": [AIMessage("done" if granted else "I was not allowed to")]}
    return {"messages": [AIMessage(f"that was message {len(state['messages'])} here")]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
builder.add_edge("answer", END)
graph = builder.compile(checkpointer=InMemorySaver())


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


async def reply(client):
    inbox = await client.get_inbox(wait_seconds=30)
    await client.ack_messages([{"message_id": item.message_id} for item in inbox.messages])
    said = inbox.messages[0].body["text"]
    tell("graph", said)
    return said


async def decide(word):
    """An operator, who decides what waits."""
    while True:
        waiting = await asyncio.to_thread(operator, "GET", "/v1/operator/approvals?limit=20")
        for approval in waiting["approvals"]:
            if approval["status"] == "pending":
                tell("operator", f"{word}s {approval['summary']!r}")
                path = f"/v1/operator/approvals/{approval['id']}/{word}"
                await asyncio.to_thread(operator, "POST", path, {"reason": "example"})
                return
        await asyncio.sleep(0.1)


async def main():
    credentials = enrol("Graph")
    client = ekho.EkhoAsyncAgentClient(enrol("Client"))
    async with ekho.EkhoAsyncAgentAdapter(credentials, hooks_for(graph)) as agent:
        await ask(client, agent.agent_id, "c-1", "hello")
        assert await reply(client) == "that was message 1 here"
        await ask(client, agent.agent_id, "c-1", "hello again")
        assert await reply(client) == "that was message 3 here", "the thread is remembered"
        await ask(client, agent.agent_id, "c-2", "hello elsewhere")
        assert await reply(client) == "that was message 1 here", "each conversation has its own"
        for word, answer_text in (("approve", "done"), ("reject", "I was not allowed to")):
            await ask(client, agent.agent_id, f"c-{word}", "delete the archive")
            _, said = await asyncio.gather(decide(word), reply(client))
            assert said == answer_text
    await client.aclose()
    done()


asyncio.run(main())
