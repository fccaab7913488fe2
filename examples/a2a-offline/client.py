"""Asks an agent by A2A with the official SDK, and prints what its stream tells.

    python client.py URL_OF_THE_AGENT BEARER_TOKEN QUESTION

Nothing here knows that the agent may be asleep.
"""

import asyncio
import sys
import time
import uuid

import httpx
from a2a.client import (
    A2ACardResolver,
    AuthInterceptor,
    ClientConfig,
    ClientFactory,
    CredentialService,
)
from a2a.types.a2a_pb2 import Message, Part, Role, SendMessageRequest, TaskState


class Token(CredentialService):
    def __init__(self, token):
        self.token = token

    async def get_credentials(self, security_scheme_name, context):
        return self.token if security_scheme_name == "bearer" else None


async def main(url, token, question):
    began = time.monotonic()

    def tell(what):
        print(f"   client  {time.monotonic() - began:5.1f} s  {what}", flush=True)

    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, url).get_agent_card()
    tell(f"the card says: {card.name}: {card.description}")
    config = ClientConfig(
        streaming=True,
        supported_protocol_bindings=["JSONRPC"],
        httpx_client=httpx.AsyncClient(timeout=None),
    )
    client = ClientFactory(config).create(card, [AuthInterceptor(Token(token))])
    message = Message(
        message_id=str(uuid.uuid4()), role=Role.ROLE_USER, parts=[Part(text=question)]
    )
    tell(f"asks: {question}")
    answer = None
    async for event in client.send_message(SendMessageRequest(message=message)):
        if event.HasField("task"):
            tell(f"{event.task.id} is {TaskState.Name(event.task.status.state)}")
        if event.HasField("status_update"):
            tell(TaskState.Name(event.status_update.status.state))
        if event.HasField("artifact_update"):
            answer = event.artifact_update.artifact.parts[0].text
            tell(f"the stream delivers: {answer}")
    await client.close()
    return 0 if answer else 1


sys.exit(asyncio.run(main(*sys.argv[1:])))
