"""What programs write, as a type checker sees it: mypy --strict reads this against the installed
package. Nothing here is run."""

from typing import Any, Dict, List, Optional

import ekho
from ekho.identity import AgentIdentity, EncryptionKey, KeyRing

credentials = ekho.AgentCredentials("agent_1", "secret", ["http://a.test", "http://b.test"])


def blocking(client: ekho.EkhoAgentClient) -> None:
    message: ekho.SendMessageInput = {
        "recipient": {"kind": "agent", "id": "agent_2"},
        "message_type": "direct",
        "body": {"text": "hi"},
        "conversation_id": "c",
    }
    sent: ekho.SendMessageResult = client.send_message(message, idempotency_key="k", timeout=5)
    message_id: str = sent.message_id
    results: List[ekho.BatchResult] = client.send_batch([message])
    inbox: ekho.InboxResponse = client.get_inbox(10, wait_seconds=30, types=["direct"])
    body: Dict[str, Any] = inbox.messages[0].body
    updated: int = client.ack_messages([{"message_id": message_id}])["updated"]
    state: ekho.MessageState = client.get_message(message_id)
    approval: Optional[str] = state.approval_id
    task: Optional[ekho.EkhoTask] = client.task_of(inbox.messages[0])
    if task is not None:
        standing: str = task.complete("done").state
        print(standing)
    for event in client.inbox_stream():
        print(event.message, event.control)
    content: bytes = client.download_attachment("att_1")
    print(results, body, updated, approval, content)

    key, seed = EncryptionKey.generate()
    encrypts = ekho.EkhoAgentClient(credentials, encryption_keys=[key])
    key_id: str = encrypts.publish_encryption_key()["key_id"]
    revoked: Optional[str] = encrypts.revoke_encryption_key()["revoked_key_id"]
    known: ekho.AgentEncryptionKeys = client.get_encryption_keys("agent_2")
    sealed: ekho.SendMessageInput = {**message, "encrypt_for": ["agent_2"]}
    encryption: ekho.Encryption = inbox.messages[0].encryption
    print(seed, key_id, revoked, known.keys, sealed, encryption.status)

    client.send_message({"recipient": {"kind": "nobody"}})  # type: ignore[typeddict-item]
    client.send_message(message, "k")  # type: ignore[call-arg]
    client.get_inbox(wait_seconds="1")  # type: ignore[arg-type]
    print(sent.no_such_field)  # type: ignore[attr-defined]


async def on_asyncio(client: ekho.EkhoAsyncAgentClient) -> None:
    decision: ekho.ActionDecision = await client.propose_action(
        {
            "conversation_id": "c",
            "action_type": "deploy",
            "summary": "Deploy",
            "risk_level": "high",
            "payload": {},
        }
    )
    async for event in client.inbox_stream(types=["alert"]):
        print(event, decision.approval_id)


def on_message(message: ekho.InboxMessage, adapter: ekho.EkhoAgentAdapter) -> None:
    status: str = message.verification.status
    adapter.reply(message, {"text": status}, message_type="complete")


async def on_message_async(message: ekho.InboxMessage, adapter: ekho.EkhoAsyncAgentAdapter) -> None:
    await adapter.reply(message, {"text": "hi"})


def adapters() -> None:
    identity, seed = AgentIdentity.generate()
    ring = KeyRing("flt_1")
    client = ekho.EkhoAgentClient(credentials, identity=identity, key_ring=ring)
    with ekho.EkhoAgentAdapter(credentials, ekho.AdapterHooks(on_message), client=client) as agent:
        report: ekho.StopReport = agent.stop(deadline=1)
        print(report.handed_back, seed)
    ekho.EkhoAsyncAgentAdapter(credentials, ekho.AsyncAdapterHooks(on_message_async))
    ekho.AdapterHooks(on_message_async)  # type: ignore[arg-type]
