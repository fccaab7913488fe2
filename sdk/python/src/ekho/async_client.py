"""The client of one agent, on asyncio: one method an agent call (docs/agent-api.md). Signing, retries
and failover are the transport's. A call that is cancelled ends at once.

A call raises EkhoRequestError where the relay refuses, EkhoConnectionError where no usable answer
comes, and EkhoArgumentError where nothing was sent. ``timeout`` is in seconds and for a call with all
its tries; each try has a limit of its own.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Callable,
    List,
    Mapping,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
)

import httpx

from . import _calls as calls
from . import types as t
from ._async_transport import AsyncTransport
from ._calls import Call
from ._identity_types import AgentIdentity, EncryptionKey, KeyRing
from ._learn import LEARNING_SECONDS
from ._retry import Backoff, RetryPolicy
from ._settings import DEFAULT_TIMEOUT_SECONDS, Checker, Settings, intervals
from ._stream import Broken, StreamReader
from .errors import EkhoArgumentError, EkhoError, EkhoRequestError, is_transient
from .signing import Signer
from .tasks import EkhoAsyncTask
from .telemetry import Telemetry

logger = logging.getLogger("ekho.client")
A = TypeVar("A")


class EkhoAsyncAgentClient:
    """Makes signed calls for one agent."""

    def __init__(
        self,
        credentials: t.AgentCredentials,
        *,
        http_client: Optional[httpx.AsyncClient] = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        connect_timeout: float = 5.0,
        stream_idle_timeout: float = 60.0,
        max_answer_bytes: int = 128 * 1024 * 1024,
        verify: Union[ssl.SSLContext, bool] = True,
        proxy: Optional[str] = None,
        retry: Optional[RetryPolicy] = None,
        telemetry: Optional[Telemetry] = None,
        identity: Optional[AgentIdentity] = None,
        fleet_id: Optional[str] = None,
        key_ring: Optional[KeyRing] = None,
        learn_keys: bool = False,
        encryption_keys: Sequence[EncryptionKey] = (),
    ) -> None:
        """``verify`` and ``proxy`` are httpx's: certificates of your own, a proxy. ``http_client``
        takes the place of both. ``identity`` signs what is sent end to end, ``key_ring`` checks what comes in, and
        ``learn_keys`` takes into the ring what the relay says of keys. With ``encryption_keys``, the
        present one first, bodies are encrypted and decrypted."""
        if not isinstance(credentials, t.AgentCredentials):
            raise EkhoArgumentError("credentials are missing")
        signer = Signer(credentials.agent_id, credentials.secret)
        self.agent_id = credentials.agent_id
        self.poll_interval_seconds, self.heartbeat_interval_seconds = intervals(credentials)
        self.settings = Settings(
            timeout=timeout,
            connect_timeout=connect_timeout,
            stream_idle_timeout=stream_idle_timeout,
            max_answer_bytes=max_answer_bytes,
            verify=verify,
            proxy=proxy,
            retry=retry,
            telemetry=telemetry,
            identity=identity,
            fleet_id=fleet_id,
            key_ring=key_ring,
            learn_keys=learn_keys,
            encryption_keys=encryption_keys,
        )
        self._preparer = self.settings.preparer(self.agent_id)
        self._checker = Checker(self.settings, self.agent_id)
        self._transport = AsyncTransport(
            credentials.relay_base_url, signer, self.settings.http, http_client
        )

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def __aenter__(self) -> EkhoAsyncAgentClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"EkhoAsyncAgentClient({self.agent_id!r})"

    async def _run(self, call: Call[A], timeout: Optional[float] = None) -> A:
        return await self._transport.run(call, timeout)

    async def _check(self, message: t.InboxMessage) -> None:
        learner = self._checker.learner
        if learner is not None:
            try:
                if learner.operators_due(message):
                    learner.take_operators(await self.get_operator_keys(timeout=LEARNING_SECONDS))
                if learner.agent_due(message):
                    sender = message.sender_agent_id
                    keys = await self.get_identity_keys(sender, timeout=LEARNING_SECONDS)
                    learner.take_agent(keys)
            except EkhoError as error:
                # The ring stays as it is: a message must not wait for what the relay cannot say.
                logger.warning("keys were not learned: %s", error)
        self._checker.check(message)

    async def _learn_readers(
        self, payloads: Sequence[t.SendMessageInput], timeout: Optional[float]
    ) -> None:
        """The keys of those to whom messages are to be encrypted."""
        readers, learner = self._preparer.readers, self._checker.learner
        for agent_id in readers.due(payloads):
            keys = await self.get_encryption_keys(agent_id, timeout=timeout)
            if learner is not None:
                learner.take_agent(await self.get_identity_keys(agent_id, timeout=timeout))
            readers.take(keys)

    async def enroll(
        self, payload: t.EnrollInput, *, timeout: Optional[float] = None
    ) -> t.EnrollResponse:
        """Makes a new agent of an enrolment token. The client keeps its own credentials; see also
        ``ekho.enroll_async``, which needs none."""
        return await self._run(calls.enroll(payload), timeout)

    # --- sending -----------------------------------------------------------------------------

    async def send_message(
        self,
        payload: t.SendMessageInput,
        *,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> t.SendMessageResult:
        """However often it has to be tried, the relay stores one message. Give a key of your own
        where the same message might be sent again later."""
        await self._learn_readers([payload], timeout)
        return await self._run(
            calls.send_message(payload, idempotency_key, self._preparer), timeout
        )

    async def send_batch(
        self, payloads: Sequence[t.SendMessageInput], *, timeout: Optional[float] = None
    ) -> List[t.BatchResult]:
        """Up to 100 messages in one request, each with an outcome of its own, in the order given."""
        await self._learn_readers(payloads, timeout)
        return await self._run(calls.send_batch(payloads, self._preparer), timeout)

    async def get_message(
        self, message_id: str, *, timeout: Optional[float] = None
    ) -> t.MessageState:
        """What became of a message this agent sent."""
        return await self._run(calls.get_message(message_id), timeout)

    async def cancel_message(
        self, message_id: str, *, timeout: Optional[float] = None
    ) -> t.CancelResult:
        """Takes back what was not handed out yet. Taking it back twice is a success."""
        try:
            return await self._run(calls.cancel_message(message_id), timeout)
        except EkhoRequestError as error:
            if error.status_code != 409:
                raise
            # Perhaps an earlier try took it back, and its answer was lost.
            state = await self.get_message(message_id, timeout=timeout)
            if state.status != "cancelled":
                raise
            return t.CancelResult(state.message_id, state.status)

    # --- receiving ---------------------------------------------------------------------------

    async def get_inbox(
        self,
        limit: int = 25,
        *,
        wait_seconds: Optional[int] = None,
        types: Optional[Sequence[str]] = None,
        timeout: Optional[float] = None,
    ) -> t.InboxResponse:
        """What is waiting, oldest first; with ``wait_seconds`` as a long poll."""
        inbox = await self._run(calls.get_inbox(limit, wait_seconds, types), timeout)
        # In order, so that of two messages with one nonce the later is the one found out.
        for message in inbox.messages:
            await self._check(message)
        return inbox

    async def inbox_stream(
        self,
        *,
        types: Optional[Sequence[str]] = None,
        last_event_id: Optional[str] = None,
        on_reconnect: Optional[Callable[[Exception], None]] = None,
    ) -> AsyncIterator[t.StreamEvent]:
        """The inbox as it fills, over one connection that is opened anew when it breaks. Ends when
        the client is closed, and raises where the relay refuses for good."""
        retry = self.settings.http.retry
        backoff = Backoff(retry.base_delay, retry.max_delay)
        reader = StreamReader(types, last_event_id)
        while True:
            try:
                async for piece in self._transport.pieces(reader.call()):
                    for event in reader.take(piece):
                        backoff.reset()
                        if event.message is not None:
                            await self._check(event.message)
                        yield event
            except Broken as broken:
                if on_reconnect is not None:
                    on_reconnect(broken.error)
            except EkhoError as error:
                if self._transport.closed:
                    return
                if not is_transient(error):
                    raise
                if on_reconnect is not None:
                    on_reconnect(error)
            await asyncio.sleep(backoff.next_delay())

    async def ack_messages(
        self, acks: Sequence[t.AckInput], *, timeout: Optional[float] = None
    ) -> t.Updated:
        """Done with these. Acking twice is harmless."""
        return await self._run(calls.ack_messages(acks), timeout)

    async def nack_messages(
        self, nacks: Sequence[t.NackInput], *, timeout: Optional[float] = None
    ) -> t.Updated:
        """Hands messages back, to come again after delay_seconds, or the relay's own delay."""
        return await self._run(calls.nack_messages(nacks), timeout)

    async def extend_leases(
        self, leases: Sequence[t.LeaseInput], *, timeout: Optional[float] = None
    ) -> t.LeasesResult:
        """Keeps messages longer than the delivery timeout."""
        return await self._run(calls.extend_leases(leases), timeout)

    # --- actions, rooms, conversations -------------------------------------------------------

    async def propose_action(
        self, payload: t.ProposeActionInput, *, timeout: Optional[float] = None
    ) -> t.ActionDecision:
        """Not repeated where it may have arrived: that would ask the operator twice."""
        return await self._run(calls.propose_action(payload), timeout)

    async def get_approval(
        self, approval_id: str, *, timeout: Optional[float] = None
    ) -> t.ApprovalStatus:
        return await self._run(calls.get_approval(approval_id), timeout)

    async def action_result(
        self, payload: t.ActionResultInput, *, timeout: Optional[float] = None
    ) -> t.OkResult:
        """What came of an approved action. Reporting the same again is a success."""
        try:
            return await self._run(calls.action_result(payload), timeout)
        except EkhoRequestError as error:
            if error.status_code != 409:
                raise
            state = await self.get_approval(payload["approval_id"], timeout=timeout)
            if state.status != payload["result"]:
                raise
            return {"ok": True}

    async def create_room(
        self, payload: t.CreateRoomInput, *, timeout: Optional[float] = None
    ) -> t.CreateRoomResult:
        """Not repeated where it may have arrived: that would open two."""
        return await self._run(calls.create_room(payload), timeout)

    async def raise_notice(
        self, payload: t.NoticeInput, *, timeout: Optional[float] = None
    ) -> t.NoticeResult:
        """A conversation is stuck and a person should look."""
        return await self._run(calls.raise_notice(payload), timeout)

    async def acquire_floor(
        self,
        conversation_id: str,
        ttl_seconds: Optional[int] = None,
        *,
        timeout: Optional[float] = None,
    ) -> t.FloorResult:
        """The turn to speak. Asking again while holding it extends it."""
        return await self._run(calls.acquire_floor(conversation_id, ttl_seconds), timeout)

    async def release_floor(
        self, conversation_id: str, *, timeout: Optional[float] = None
    ) -> t.ReleasedResult:
        return await self._run(calls.release_floor(conversation_id), timeout)

    # --- the fleet ---------------------------------------------------------------------------

    async def list_peers(
        self,
        search: Optional[str] = None,
        *,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> t.Peers:
        """Agents of the fleet by their names, this one among them."""
        return await self._run(calls.list_peers(search, limit, cursor), timeout)

    async def whom(self, named: str, *, timeout: Optional[float] = None) -> t.Recipient:
        """Whom a person means: an agent's or a room's id, ``all``, or the name of one agent. Raises
        EkhoArgumentError where no agent or several have that name."""
        known = calls.known_recipient(named)
        if known is not None:
            return known
        ids: List[str] = []
        cursor: Optional[str] = None
        while True:
            peers = await self.list_peers(named, limit=100, cursor=cursor, timeout=timeout)
            ids += [peer.id for peer in peers.agents if peer.display_name == named]
            cursor = peers.next_cursor
            if not cursor:
                return calls.one_called(named, ids)

    async def get_conversation(
        self,
        conversation_id: str,
        *,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> t.Said:
        """What this agent sent and was handed out in a conversation, newest first."""
        return await self._run(calls.get_conversation(conversation_id, limit, cursor), timeout)

    async def a2a(
        self,
        agent_id: str,
        method: str,
        params: Mapping[str, Any],
        *,
        timeout: Optional[float] = None,
    ) -> Any:
        """Asks another agent by A2A 1.0: calls ``method`` and gives its ``result``. Repeated where
        an answer was lost: a message with the same messageId is sent once. What the method refuses
        is an EkhoRequestError with status 200 and the JSON-RPC error in ``fields["rpc_error"]``."""
        return await self._run(calls.a2a(agent_id, method, params), timeout)

    # --- A2A tasks ---------------------------------------------------------------------------

    def task(self, task_id: str) -> EkhoAsyncTask:
        return EkhoAsyncTask(self._run, task_id)

    def task_of(self, message: t.InboxMessage) -> Optional[EkhoAsyncTask]:
        """The task that a message of the inbox belongs to; None where it belongs to none."""
        task_id = calls.task_id_of(message)
        return None if task_id is None else self.task(task_id)

    async def put_agent_card(
        self, card: t.AgentCard, *, timeout: Optional[float] = None
    ) -> t.OkResult:
        """What the agent's A2A card says, in place of what it said before."""
        return await self._run(calls.put_agent_card(card), timeout)

    # --- the agent itself --------------------------------------------------------------------

    async def heartbeat(
        self, payload: t.HeartbeatInput, *, timeout: Optional[float] = None
    ) -> t.HeartbeatResult:
        return await self._run(calls.heartbeat(payload), timeout)

    async def register_identity_key(
        self, public_key: str, *, timeout: Optional[float] = None
    ) -> t.KeyIdResult:
        """The Ed25519 key with which this agent signs messages end to end."""
        return await self._run(calls.register_identity_key(public_key), timeout)

    async def get_identity_keys(
        self, agent_id: str, *, timeout: Optional[float] = None
    ) -> t.AgentKeys:
        """The keys that an agent of the fleet registered, to check what it signs."""
        return await self._run(calls.get_identity_keys(agent_id), timeout)

    async def publish_encryption_key(self, *, timeout: Optional[float] = None) -> t.KeyIdResult:
        """Publishes the first of ``encryption_keys`` for others to encrypt to, in place of the one
        before; where the client has an identity, that vouches for it."""
        public_key, signed = self._preparer.signed_key()
        return await self._run(calls.publish_encryption_key(public_key, signed), timeout)

    async def revoke_encryption_key(self, *, timeout: Optional[float] = None) -> t.RevokedKeyResult:
        """Revokes for good the key that others encrypt to now."""
        return await self._run(calls.revoke_encryption_key(), timeout)

    async def get_encryption_keys(
        self, agent_id: str, *, timeout: Optional[float] = None
    ) -> t.AgentEncryptionKeys:
        """The keys that an agent of the fleet published to be encrypted to."""
        return await self._run(calls.get_encryption_keys(agent_id), timeout)

    async def get_operator_keys(self, *, timeout: Optional[float] = None) -> t.OperatorKeys:
        return await self._run(calls.get_operator_keys(), timeout)

    async def rotate_credentials(
        self, overlap_seconds: Optional[int] = None, *, timeout: Optional[float] = None
    ) -> t.RotateResult:
        """A new secret; this client signs with it at once. Store it before the program ends: the
        old one works for ``overlap_seconds`` more (300). Where the answer was lost, rotate again
        meanwhile."""
        answer = await self._run(calls.rotate_credentials(overlap_seconds), timeout)
        self._transport.signer = Signer(self.agent_id, answer.secret)
        return answer

    async def upload_attachment(
        self, *, filename: str, mime: str, data_base64: str, timeout: Optional[float] = None
    ) -> t.AttachmentResult:
        return await self._run(calls.upload_attachment(filename, mime, data_base64), timeout)

    async def download_attachment(
        self, attachment_id: str, *, timeout: Optional[float] = None
    ) -> bytes:
        return (await self._transport.whole(calls.download_attachment(attachment_id), timeout))[0]


async def enroll_async(
    relay_base_url: Union[str, Sequence[str]],
    payload: t.EnrollInput,
    *,
    http_client: Optional[httpx.AsyncClient] = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
) -> t.EnrollResponse:
    """Makes an agent of an enrolment token; ``to_credentials()`` of the answer makes its client."""
    settings = Settings(timeout=timeout)
    transport = AsyncTransport(relay_base_url, None, settings.http, http_client)
    try:
        return await transport.run(calls.enroll(payload))
    finally:
        await transport.aclose()
