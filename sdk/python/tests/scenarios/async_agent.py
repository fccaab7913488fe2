"""An agent of a scenario on the asyncio client. Scenarios are told step by step, so that it has a loop
in a thread of its own, and each step waits for what is done there."""

import asyncio
import threading

from agent import CALLS, plain, settings_of

import ekho


class AsyncAgent:
    def __init__(self, relays, fleet_id, token, step, trusted):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.adapter, self.reading, self.key_id, self.encryption_key_id = None, None, None, None
        self.wait(self._enrol(relays, fleet_id, token, step, trusted))

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _enrol(self, relays, fleet_id, token, step, trusted):
        settings = settings_of(fleet_id, step, trusted)
        enrolled = await ekho.enroll_async(
            relays, {"fleet_id": fleet_id, "token": token, "display_name": step["agent"]}
        )
        self.agent_id = enrolled.agent_id
        credentials = ekho.AgentCredentials(enrolled.agent_id, enrolled.secret, relays)
        self.client = ekho.EkhoAsyncAgentClient(credentials, **settings)
        if "identity" in settings:
            self.public_key = str(settings["identity"].public_key)
            answer = await self.client.register_identity_key(self.public_key)
            self.key_id = answer["key_id"]
        if step.get("encrypts"):
            answer = await self.client.publish_encryption_key()
            self.encryption_key_id = answer["key_id"]

    def call(self, name, given):
        async def run():
            return plain(await CALLS[name](self.client, given))

        return self.wait(run())

    def start_adapter(self, does):
        self.seen, self.controls, self.pending, self.outcome = [], [], [], None

        async def on_message(message, adapter):
            self.seen.append(plain(message))
            if does == "reply":
                await adapter.reply(message, {"echo": message.body})
            elif does == "fail_once" and message.attempt == 1:
                raise RuntimeError("failed on purpose")
            elif does == "hang":
                await asyncio.sleep(60)
            elif does == "complete_task":
                task = adapter.task_of(message)
                await task.artifact("done")
                await task.complete()

        async def on_control(control, _):
            self.controls.append(control.action)

        async def on_approval_pending(approval_id, _):
            self.pending.append(approval_id)

        hooks = ekho.AsyncAdapterHooks(
            on_message=on_message,
            on_control=on_control,
            on_approval_pending=on_approval_pending,
        )
        self.adapter = ekho.EkhoAsyncAgentAdapter(client=self.client, hooks=hooks)
        self.wait(self.adapter.start())

    def stop_adapter(self, deadline):
        return plain(self.wait(self.adapter.stop(deadline=deadline)))

    def propose(self, action):
        self.outcome = None

        async def run():
            try:
                await self.adapter.propose_action(action)
                self.outcome = {"ok": True}
            except ekho.EkhoError as error:
                self.outcome = {"ok": False, "code": error.code}

        asyncio.run_coroutine_threadsafe(run(), self.loop)

    def start_stream(self):
        self.events = []

        async def run():
            async for event in self.client.inbox_stream():
                self.events.append(plain(event))

        self.reading = asyncio.run_coroutine_threadsafe(run(), self.loop)

    def stop_stream(self):
        self.reading.cancel()

    def close(self):
        if self.adapter is not None:
            self.stop_adapter(1)
        if self.reading is not None:
            self.reading.cancel()
        self.wait(self.client.aclose())
        self.loop.call_soon_threadsafe(self.loop.stop)
