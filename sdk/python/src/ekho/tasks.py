"""A2A tasks: what a client asked this agent for, and how the agent answers. A message of type
``a2a.message`` in the inbox belongs to a task; acking it says that the agent works on it.

A message is a text, or a ``Message`` of A2A 1.0 without what the relay knows; an artifact is an
``Artifact`` of A2A 1.0, or a text, which is one part. Out of completed, failed, canceled and rejected
nothing leads: 409 ``conflict``.
"""

from __future__ import annotations

from typing import Awaitable, Optional, Protocol, TypeVar, Union

from . import _calls as calls
from ._calls import Call
from .errors import EkhoRequestError
from .types import JsonObject, TaskStanding

A = TypeVar("A")
TaskMessage = Union[str, JsonObject]
Artifact = Union[str, JsonObject]


class Run(Protocol):
    def __call__(self, call: Call[A], timeout: Optional[float] = None) -> A: ...


class AsyncRun(Protocol):
    def __call__(self, call: Call[A], timeout: Optional[float] = None) -> Awaitable[A]: ...


class EkhoTask:
    """A task of this agent."""

    def __init__(self, run: Run, task_id: str) -> None:
        self._run = run
        self.id = task_id

    def get(self) -> JsonObject:
        """A ``Task`` of A2A 1.0 with its history and artifacts."""
        return self._run(calls.get_task(self.id))

    def working(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The agent works on it."""
        return self.set_state("working", message)

    def require_input(self, message: TaskMessage) -> TaskStanding:
        """The agent needs something from the client, who answers with a further message."""
        return self.set_state("input-required", message)

    def complete(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The task is done."""
        return self.set_state("completed", message)

    def fail(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The task could not be done."""
        return self.set_state("failed", message)

    def reject(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The agent does not do such a thing."""
        return self.set_state("rejected", message)

    def set_state(self, state: str, message: Optional[TaskMessage] = None) -> TaskStanding:
        try:
            return self._run(calls.set_task_state(self.id, state, message))
        except EkhoRequestError as error:
            return calls.ended_so_before(self.id, state, error)

    def artifact(self, artifact: Artifact, *, last_chunk: bool = False) -> TaskStanding:
        """Gives the client a result, in place of one with the same artifactId."""
        return self._run(calls.put_artifact(self.id, artifact, False, last_chunk))

    def append_artifact(self, artifact: JsonObject, *, last_chunk: bool = False) -> TaskStanding:
        """Adds parts to the artifact of this artifactId, which must be there."""
        return self._run(calls.put_artifact(self.id, artifact, True, last_chunk))


class EkhoAsyncTask:
    """A task of this agent, on asyncio."""

    def __init__(self, run: AsyncRun, task_id: str) -> None:
        self._run = run
        self.id = task_id

    async def get(self) -> JsonObject:
        """A ``Task`` of A2A 1.0 with its history and artifacts."""
        return await self._run(calls.get_task(self.id))

    async def working(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The agent works on it."""
        return await self.set_state("working", message)

    async def require_input(self, message: TaskMessage) -> TaskStanding:
        """The agent needs something from the client, who answers with a further message."""
        return await self.set_state("input-required", message)

    async def complete(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The task is done."""
        return await self.set_state("completed", message)

    async def fail(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The task could not be done."""
        return await self.set_state("failed", message)

    async def reject(self, message: Optional[TaskMessage] = None) -> TaskStanding:
        """The agent does not do such a thing."""
        return await self.set_state("rejected", message)

    async def set_state(self, state: str, message: Optional[TaskMessage] = None) -> TaskStanding:
        try:
            return await self._run(calls.set_task_state(self.id, state, message))
        except EkhoRequestError as error:
            return calls.ended_so_before(self.id, state, error)

    async def artifact(self, artifact: Artifact, *, last_chunk: bool = False) -> TaskStanding:
        """Gives the client a result, in place of one with the same artifactId."""
        return await self._run(calls.put_artifact(self.id, artifact, False, last_chunk))

    async def append_artifact(
        self, artifact: JsonObject, *, last_chunk: bool = False
    ) -> TaskStanding:
        """Adds parts to the artifact of this artifactId, which must be there."""
        return await self._run(calls.put_artifact(self.id, artifact, True, last_chunk))
