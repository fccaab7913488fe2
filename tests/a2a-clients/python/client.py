"""The official SDK for Python as a client of a relay, on one binding.

    python client.py {"url", "token", "agent", "sleeper", "binding"}

Prints `ok OPERATION` for each that did what it should; fails at the first that did not. What the
agents answer to which text is scripted in tests/api/a2a/real_clients.rs.
"""

import asyncio
import json
import sys
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import grpc
import httpx
import jwt
from a2a.client import (
    A2AClientError,
    A2ACardResolver,
    AuthInterceptor,
    ClientConfig,
    ClientFactory,
    CredentialService,
)
from a2a.client.client import ClientCallContext
from a2a.types.a2a_pb2 import (
    AgentCard,
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Message,
    Part,
    Role,
    SendMessageRequest,
    StreamResponse,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from a2a.utils import errors
from a2a.utils.signing import InvalidSignaturesError, create_signature_verifier
from google.protobuf.json_format import Parse

GIVEN = json.loads(sys.argv[1])
BINDING = GIVEN["binding"]


class Token(CredentialService):
    def __init__(self, token):
        self.token = token

    async def get_credentials(self, security_scheme_name, context):
        return self.token if security_scheme_name == "bearer" else None


def message(text, **more):
    return Message(
        message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[Part(text=text)], **more
    )


def request(text, at_once=False, **more):
    asked = SendMessageRequest(message=message(text, **more))
    asked.configuration.return_immediately = at_once
    return asked


def key_of(kid, jku):
    found = httpx.get(jku).json()["keys"]
    return jwt.PyJWK(next(key for key in found if key["kid"] == kid))


verify = create_signature_verifier(key_of, ["EdDSA"])


def card_url(agent):
    return f"{GIVEN['url']}/agents/{agent}"


async def card_of(agent, **more):
    async with httpx.AsyncClient() as http:
        return await A2ACardResolver(http, card_url(agent)).get_agent_card(**more)


def client_of(card, streaming=True, token=GIVEN["token"]):
    config = ClientConfig(
        streaming=streaming,
        supported_protocol_bindings=[BINDING],
        grpc_channel_factory=grpc.aio.insecure_channel,
    )
    return ClientFactory(config).create(card, [AuthInterceptor(Token(token))])


async def send(client, asked, **more):
    """What a call without a stream answers."""
    told = [event async for event in client.send_message(asked, **more)]
    assert len(told) == 1, told
    return told[0].task


async def refused(expected, call):
    try:
        await call
    except expected as error:
        return error
    raise AssertionError(f"not refused with {expected}")


async def first_of(stream):
    async for event in stream:
        return event
    return None


def state(task):
    return TaskState.Name(task.status.state)


async def card(own, _):
    assert own.name == "awake", own
    bindings = [interface.protocol_binding for interface in own.supported_interfaces]
    assert BINDING in bindings, bindings
    fleet = await A2ACardResolver(httpx.AsyncClient(), GIVEN["url"]).get_agent_card()
    assert GIVEN["agent"] in [skill.id for skill in fleet.skills]


async def signature(own, _):
    await card_of(GIVEN["agent"], signature_verifier=verify)
    forged = AgentCard()
    forged.CopyFrom(own)
    forged.description = "forged"
    try:
        verify(forged)
    except InvalidSignaturesError:
        return
    raise AssertionError("a forged card was taken for a good one")


async def extended_card(own, client):
    async with client_of(own) as one_more:
        asked = GetExtendedAgentCardRequest()
        shown = await one_more.get_extended_agent_card(asked, signature_verifier=verify)
    assert len(shown.capabilities.extensions) == 2, shown


async def blocking(own, _):
    async with client_of(own, streaming=False) as client:
        task = await send(client, request("echo hello"))
    assert state(task) == "TASK_STATE_COMPLETED", task
    assert task.artifacts[0].parts[0].text == "hello", task
    assert task.status.message.parts[0].text == "done", task


async def not_blocking(own, client):
    async with client_of(own, streaming=False) as plain:
        task = await send(plain, request("wait", at_once=True))
    assert state(task) in ("TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"), task


async def streaming(own, client):
    told = [event async for event in client.send_message(request("steps"))]
    assert told[0].HasField("task"), told
    pieces = [event.artifact_update for event in told if event.HasField("artifact_update")]
    assert [piece.artifact.parts[0].text for piece in pieces] == ["a", "b"], told
    assert [(piece.append, piece.last_chunk) for piece in pieces] == [(False, False), (True, True)]
    states = [state(event.status_update) for event in told if event.HasField("status_update")]
    assert states[0] == "TASK_STATE_WORKING" and states[-1] == "TASK_STATE_COMPLETED", states
    ids = {piece.task_id for piece in pieces}
    assert ids == {told[0].task.id}, ids


async def get(own, client):
    async with client_of(own, streaming=False) as plain:
        sent = await send(plain, request("echo again"))
    task = await client.get_task(GetTaskRequest(id=sent.id))
    assert task.artifacts[0].parts[0].text == "again", task
    assert task.history[0].parts[0].text == "echo again", task
    bare = await client.get_task(GetTaskRequest(id=sent.id, history_length=0))
    assert not bare.history, bare


async def listing(own, client):
    context = str(uuid.uuid4())
    made = set()
    async with client_of(own, streaming=False) as plain:
        for number in range(3):
            sent = await send(plain, request(f"echo {number}", context_id=context))
            made.add(sent.id)
    found, pages, token = [], 0, ""
    while True:
        page = await client.list_tasks(
            ListTasksRequest(context_id=context, page_size=2, page_token=token)
        )
        assert page.total_size == 3, page
        found += [task.id for task in page.tasks]
        pages, token = pages + 1, page.next_page_token
        if not token:
            break
    assert pages == 2 and sorted(found) == sorted(made), (pages, found, made)
    done = ListTasksRequest(
        context_id=context, status=TaskState.TASK_STATE_COMPLETED, include_artifacts=True
    )
    page = await client.list_tasks(done)
    assert len(page.tasks) == 3 and page.tasks[0].artifacts, page


async def cancel(own, client):
    async with client_of(own, streaming=False) as plain:
        sent = await send(plain, request("wait", at_once=True))
    task = await client.cancel_task(CancelTaskRequest(id=sent.id))
    assert state(task) == "TASK_STATE_CANCELED", task


async def subscribe(own, client):
    stream = client.send_message(request("wait"))
    task = (await anext(stream)).task
    await stream.aclose()
    states, text = [], ""
    async for event in client.subscribe(SubscribeToTaskRequest(id=task.id)):
        if event.HasField("task"):
            # It follows again: now the agent may go on.
            async with client_of(own, streaming=False) as plain:
                await send(plain, request(f"go on {task.id}"))
        if event.HasField("artifact_update"):
            text += event.artifact_update.artifact.parts[0].text
        if event.HasField("status_update"):
            states.append(state(event.status_update))
    assert text == "late" and states[-1] == "TASK_STATE_COMPLETED", (text, states)


async def input_required(own, client):
    async with client_of(own, streaming=False) as plain:
        asked = await send(plain, request("ask"))
        assert state(asked) == "TASK_STATE_INPUT_REQUIRED", asked
        assert asked.status.message.parts[0].text == "which?", asked
        answer = request("echo this", task_id=asked.id, context_id=asked.context_id)
        task = await send(plain, answer)
    assert task.id == asked.id and state(task) == "TASK_STATE_COMPLETED", task
    assert task.artifacts[0].parts[0].text == "this", task


async def offline(own, client):
    sleeper = client_of(await card_of(GIVEN["sleeper"]))
    stream = sleeper.send_message(request("echo good morning"))
    task = (await anext(stream)).task
    assert state(task) == "TASK_STATE_SUBMITTED", task
    async with client_of(own, streaming=False) as plain:
        await send(plain, request("wake"))
    told = [event async for event in stream]
    texts = [
        event.artifact_update.artifact.parts[0].text
        for event in told
        if event.HasField("artifact_update")
    ]
    assert texts == ["good morning"], told
    assert state(told[-1].status_update) == "TASK_STATE_COMPLETED", told
    await sleeper.close()


class Receiver:
    """Takes push notifications, and says what came."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.heard = asyncio.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                told = (self.headers["x-a2a-notification-token"], Parse(body, StreamResponse()))
                receiver.loop.call_soon_threadsafe(receiver.heard.put_nowait, told)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/told"
        Thread(target=self.server.serve_forever, daemon=True).start()


async def push(own, client):
    receiver = Receiver()
    async with client_of(own, streaming=False) as plain:
        task = await send(plain, request("wait", at_once=True))
        config = TaskPushNotificationConfig(
            task_id=task.id, id="mine", url=receiver.url, token="secret"
        )
        made = await client.create_task_push_notification_config(config)
        assert made == config, made
        asked = GetTaskPushNotificationConfigRequest(task_id=task.id, id="mine")
        assert await client.get_task_push_notification_config(asked) == config
        await send(plain, request(f"go on {task.id}"))
    text = ""
    while True:
        token, event = await receiver.heard.get()
        assert token == "secret", token
        if event.HasField("artifact_update"):
            text += event.artifact_update.artifact.parts[0].text
        if event.HasField("status_update") and state(event.status_update) == "TASK_STATE_COMPLETED":
            break
    assert text == "late", text
    of_task = ListTaskPushNotificationConfigsRequest(task_id=task.id)
    listed = await client.list_task_push_notification_configs(of_task)
    assert list(listed.configs) == [config], listed
    gone = DeleteTaskPushNotificationConfigRequest(task_id=task.id, id="mine")
    await client.delete_task_push_notification_config(gone)
    listed = await client.list_task_push_notification_configs(of_task)
    assert not listed.configs, listed


async def failures(own, client):
    none = "task_00000000000000000000000000000000"
    await refused(errors.TaskNotFoundError, client.get_task(GetTaskRequest(id=none)))
    async with client_of(own, streaming=False) as plain:
        task = await send(plain, request("echo x"))
        over = CancelTaskRequest(id=task.id)
        await refused(errors.TaskNotCancelableError, plain.cancel_task(over))
        empty = request("x")
        del empty.message.parts[:]
        await refused(errors.InvalidParamsError, send(plain, empty))
        more = request("more", task_id=task.id)
        await refused(errors.UnsupportedOperationError, send(plain, more))
    ended = client.subscribe(SubscribeToTaskRequest(id=task.id))
    await refused(errors.UnsupportedOperationError, first_of(ended))
    async with client_of(own, streaming=False, token="no such token") as stranger:
        await refused(A2AClientError, stranger.get_task(GetTaskRequest(id=task.id)))


async def versions(own, client):
    context = ClientCallContext(service_parameters={"A2A-Version": "9.9"})
    asked = GetTaskRequest(id="task_x")
    await refused(errors.VersionNotSupportedError, client.get_task(asked, context=context))
    if BINDING != "JSONRPC":
        return
    # The same client on the interface of 0.3 that the card lists.
    old = AgentCard()
    old.CopyFrom(own)
    kept = [one for one in own.supported_interfaces if one.protocol_version == "0.3"]
    del old.supported_interfaces[:]
    old.supported_interfaces.extend(kept)
    async with client_of(old, streaming=False) as legacy:
        task = await send(legacy, request("echo of old"))
        assert state(task) == "TASK_STATE_COMPLETED", task
        assert task.artifacts[0].parts[0].text == "of old", task
    async with client_of(old) as legacy:
        told = [event async for event in legacy.send_message(request("steps"))]
        assert state(told[-1].status_update) == "TASK_STATE_COMPLETED", told


OPERATIONS = [
    card,
    signature,
    extended_card,
    blocking,
    not_blocking,
    streaming,
    get,
    listing,
    cancel,
    subscribe,
    input_required,
    offline,
    push,
    failures,
    versions,
]
if BINDING == "GRPC":
    # There the SDK names its own version first, whatever else it is told.
    OPERATIONS.remove(versions)


async def main():
    own = await card_of(GIVEN["agent"])
    async with client_of(own) as client:
        for operation in OPERATIONS:
            await asyncio.wait_for(operation(own, client), 30)
            print("ok", operation.__name__, flush=True)


asyncio.run(main())
