"""A LangGraph graph as an agent of an Ekho fleet: what comes in is given to the graph, what it says
last goes back to the sender. Copy this file, or import it.

A conversation is a thread of the graph, so with a checkpointer the graph remembers it. Where the graph
interrupts, an operator is asked whether it may go on; the graph resumes with True or False.
"""

from __future__ import annotations

from typing import Any, Dict

import ekho
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.types import Command


def hooks_for(graph: Runnable[Any, Dict[str, Any]]) -> ekho.AsyncAdapterHooks:
    """Hooks of an adapter that answers with a graph whose state has ``messages``."""

    async def on_message(message: ekho.InboxMessage, agent: ekho.EkhoAsyncAgentAdapter) -> None:
        thread: RunnableConfig = {"configurable": {"thread_id": message.conversation_id}}
        # The id lets a message that comes twice take its own place in the thread.
        said = HumanMessage(str(message.body.get("text", message.body)), id=message.message_id)
        state = await graph.ainvoke({"messages": [said]}, thread)
        while interrupts := state.get("__interrupt__"):
            granted = await _ask(agent, message, interrupts[0].value)
            state = await graph.ainvoke(Command(resume=granted), thread)
        answer = {"text": str(state["messages"][-1].content)}
        await agent.reply(message, answer, idempotency_key=f"answer-{message.message_id}")

    return ekho.AsyncAdapterHooks(on_message=on_message)


async def _ask(
    agent: ekho.EkhoAsyncAgentAdapter, message: ekho.InboxMessage, question: Any
) -> bool:
    """Whether an operator lets the graph go on."""
    action: ekho.ProposeActionInput = {
        "conversation_id": message.conversation_id,
        "action_type": "langgraph.interrupt",
        "summary": str(question),
        "risk_level": "high",
        "payload": {},
    }
    try:
        await agent.propose_action(action)
        return True
    except ekho.EkhoActionError as refused:
        if refused.code == "adapter_stopped":
            raise
        return False
