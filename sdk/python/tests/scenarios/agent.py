"""An agent of a scenario: the calls, the adapter and the stream by the names that scenarios use."""

import base64
import dataclasses
import threading
import uuid

import ekho
from ekho.identity import AgentIdentity, EncryptionKey, KeyRing, sign_message

CALLS = {
    "send_message": lambda c, a: c.send_message(
        a["message"], idempotency_key=a.get("idempotency_key")
    ),
    "send_batch": lambda c, a: c.send_batch(a["messages"]),
    "get_message": lambda c, a: c.get_message(a["message_id"]),
    "cancel_message": lambda c, a: c.cancel_message(a["message_id"]),
    "get_inbox": lambda c, a: c.get_inbox(
        a.get("limit", 25), wait_seconds=a.get("wait_seconds"), types=a.get("types")
    ),
    "ack_messages": lambda c, a: c.ack_messages(a["acks"]),
    "nack_messages": lambda c, a: c.nack_messages(a["nacks"]),
    "extend_leases": lambda c, a: c.extend_leases(a["leases"]),
    "heartbeat": lambda c, a: c.heartbeat(a["heartbeat"]),
    "propose_action": lambda c, a: c.propose_action(a["action"]),
    "get_approval": lambda c, a: c.get_approval(a["approval_id"]),
    "action_result": lambda c, a: c.action_result(a["result"]),
    "create_room": lambda c, a: c.create_room(a["room"]),
    "raise_notice": lambda c, a: c.raise_notice(a["notice"]),
    "acquire_floor": lambda c, a: c.acquire_floor(a["conversation_id"], a.get("ttl_seconds")),
    "release_floor": lambda c, a: c.release_floor(a["conversation_id"]),
    "register_identity_key": lambda c, a: c.register_identity_key(a["public_key"]),
    "get_identity_keys": lambda c, a: c.get_identity_keys(a["agent_id"]),
    "publish_encryption_key": lambda c, a: c.publish_encryption_key(),
    "revoke_encryption_key": lambda c, a: c.revoke_encryption_key(),
    "get_encryption_keys": lambda c, a: c.get_encryption_keys(a["agent_id"]),
    "get_operator_keys": lambda c, a: c.get_operator_keys(),
    "list_peers": lambda c, a: c.list_peers(
        a.get("search"), limit=a.get("limit"), cursor=a.get("cursor")
    ),
    "whom": lambda c, a: c.whom(a["named"]),
    "get_conversation": lambda c, a: c.get_conversation(
        a["conversation_id"], limit=a.get("limit"), cursor=a.get("cursor")
    ),
    "a2a": lambda c, a: c.a2a(a["agent_id"], a["method"], a["params"]),
    "rotate_credentials": lambda c, a: c.rotate_credentials(a.get("overlap_seconds")),
    "put_agent_card": lambda c, a: c.put_agent_card(a["card"]),
    "task_get": lambda c, a: c.task(a["task_id"]).get(),
    "task_working": lambda c, a: c.task(a["task_id"]).working(),
    "task_require_input": lambda c, a: c.task(a["task_id"]).require_input(a["message"]),
    "task_artifact": lambda c, a: c.task(a["task_id"]).artifact(a["artifact"]),
    "task_append_artifact": lambda c, a: c.task(a["task_id"]).append_artifact(a["artifact"]),
    "task_complete": lambda c, a: c.task(a["task_id"]).complete(a["message"]),
    "task_fail": lambda c, a: c.task(a["task_id"]).fail(a["message"]),
    "task_reject": lambda c, a: c.task(a["task_id"]).reject(),
    "upload_attachment": lambda c, a: c.upload_attachment(**a),
    "download_attachment": lambda c, a: c.download_attachment(a["id"]),
}


def plain(value):
    """What JSON would hold."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value


def settings_of(fleet_id, step, trusted):
    """Settings of a client, as the step that enrols it says."""
    settings = {"fleet_id": fleet_id}
    if step.get("identity"):
        settings["identity"], _ = AgentIdentity.generate()
    if step.get("encrypts"):
        settings["encryption_keys"] = [EncryptionKey.generate()[0]]
    if trusted or step.get("learns") or step.get("trusts_operators"):
        settings["key_ring"] = KeyRing(fleet_id)
        settings["learn_keys"] = step.get("learns", False)
        for key in step.get("trusts_operators", []):
            settings["key_ring"].trust_operator(key)
        for other in trusted:
            settings["key_ring"].trust_agent(other.agent_id, other.public_key)
    return settings


def sign_as_operator(fleet_id, seed, operator_id, message):
    """What an operator sends along who signs with this seed."""
    identity = AgentIdentity.from_seed(seed)
    signed = sign_message(message, fleet_id, operator_id, identity, str(uuid.uuid4()))
    return {"operator_sig": signed.pop("agent_sig"), **signed}


class Agent:
    """One on the blocking client."""

    def __init__(self, relays, fleet_id, token, step, trusted):
        settings = settings_of(fleet_id, step, trusted)
        enrolled = ekho.enroll(
            relays, {"fleet_id": fleet_id, "token": token, "display_name": step["agent"]}
        )
        self.credentials = ekho.AgentCredentials(enrolled.agent_id, enrolled.secret, relays)
        self.agent_id, self.key_id, self.encryption_key_id = enrolled.agent_id, None, None
        self.client = ekho.EkhoAgentClient(self.credentials, **settings)
        self.adapter = None
        if "identity" in settings:
            self.public_key = str(settings["identity"].public_key)
            self.key_id = self.client.register_identity_key(self.public_key)["key_id"]
        if step.get("encrypts"):
            self.encryption_key_id = self.client.publish_encryption_key()["key_id"]

    def call(self, name, given):
        return plain(CALLS[name](self.client, given))

    # --- the adapter -------------------------------------------------------------------------

    def start_adapter(self, does):
        self.seen, self.controls, self.pending, self.outcome = [], [], [], None
        released = threading.Event()
        self.release = released.set

        def on_message(message, adapter):
            self.seen.append(plain(message))
            if does == "reply":
                adapter.reply(message, {"echo": message.body})
            elif does == "fail_once" and message.attempt == 1:
                raise SystemExit("failed on purpose")
            elif does == "hang":
                released.wait(60)
            elif does == "complete_task":
                task = adapter.task_of(message)
                task.artifact("done")
                task.complete()

        self.adapter = ekho.EkhoAgentAdapter(
            self.credentials,
            ekho.AdapterHooks(
                on_message=on_message,
                on_control=lambda control, _: self.controls.append(control.action),
                on_approval_pending=lambda approval_id, _: self.pending.append(approval_id),
            ),
            client=self.client,
        )
        self.adapter.start()

    def stop_adapter(self, deadline):
        report = self.adapter.stop(deadline=deadline)
        self.release()
        return plain(report)

    def propose(self, action):
        self.outcome = None

        def run():
            try:
                self.adapter.propose_action(action)
                self.outcome = {"ok": True}
            except ekho.EkhoError as error:
                self.outcome = {"ok": False, "code": error.code}

        threading.Thread(target=run, daemon=True).start()

    # --- the stream --------------------------------------------------------------------------

    def start_stream(self):
        self.events = []

        def run():
            for event in self.client.inbox_stream():
                self.events.append(plain(event))

        threading.Thread(target=run, daemon=True).start()

    def stop_stream(self):
        """It ends with its client; what comes meanwhile is not looked at."""

    def close(self):
        if self.adapter is not None:
            self.stop_adapter(1)
        self.client.close()
