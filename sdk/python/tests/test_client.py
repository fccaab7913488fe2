"""What a real relay cannot be made to do at will: gateways that fail, answers that are no answers.
And what goes over the wire. Everything else is tested against a relay, see sdk/scenarios."""

import asyncio
import json
import os
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from typing import ClassVar
from unittest import mock

import httpx

import ekho
from ekho.telemetry import Telemetry

MESSAGE = {
    "recipient": {"kind": "agent", "id": "agent_2"},
    "message_type": "direct",
    "body": {"text": "Zürich — 東京 🛰"},
    "conversation_id": "c",
}
SENT = {"message_id": "msg_1", "status": "queued", "queued_at": "now"}
FAST = ekho.RetryPolicy(base_delay=0.001, max_delay=0.002)


def answer(status_code, value, **headers):
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.Response(status_code, json=value, headers=names)


class Both:
    """The same test for the blocking client and the one on asyncio."""

    def client(self, answers, relays="http://a.test", **settings):
        self.asked = []
        waiting = list(answers)

        def handle(request):
            self.asked.append(request)
            found = waiting.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        settings.setdefault("retry", FAST)
        credentials = ekho.AgentCredentials("agent_1", "very-secret", relays)
        return self.make(credentials, httpx.MockTransport(handle), settings)

    def test_a_send_keeps_its_key_and_bytes_and_is_signed_anew(self):
        busy = answer(503, {"code": "no_leader"})
        reset = httpx.ReadError("reset")
        client = self.client([busy, reset, answer(502, {}), answer(200, SENT)])
        self.assertEqual(client.send_message(MESSAGE).message_id, "msg_1")
        self.assertEqual(len(self.asked), 4)

        def different(name):
            return len({request.headers[name] for request in self.asked})

        self.assertEqual(different("idempotency-key"), 1)
        self.assertEqual(len({request.content for request in self.asked}), 1)
        self.assertEqual(different("x-ekho-nonce"), 4)
        self.assertEqual(different("x-ekho-signature"), 4)
        self.assertIn("Zürich — 東京 🛰".encode(), self.asked[0].content)
        for request in self.asked:
            self.assertNotIn("very-secret", str(request.headers.raw) + str(request.content))

    def test_the_next_address_takes_over_and_is_stayed_with(self):
        answers = [httpx.ConnectError("refused"), answer(200, SENT), answer(200, SENT)]
        client = self.client(answers, ["http://a.test", "http://b.test/"])
        client.send_message(MESSAGE)
        client.send_message(MESSAGE)
        hosts = [request.url.host for request in self.asked]
        self.assertEqual(hosts, ["a.test", "b.test", "b.test"])

    def test_what_cannot_be_done_twice_is_repeated_only_where_undone(self):
        room = answer(201, {"id": "room_1", "name": "n", "created_at": "now", "members": []})
        undone = [httpx.ConnectError("refused"), answer(503, {"code": "overloaded"}), room]
        self.assertEqual(self.client(undone).create_room({"name": "n"}).id, "room_1")
        unknown = answer(503, {"code": "outcome_unknown"})
        for perhaps in (httpx.ReadError("reset"), answer(502, {}), unknown):
            client = self.client([perhaps, room])
            with self.assertRaises(ekho.EkhoError):
                client.create_room({"name": "n"})
            self.assertEqual(len(self.asked), 1)

    def test_after_a_429_no_other_send_leaves_before_the_window_opens(self):
        limited = answer(429, {"code": "rate_limited", "retry_after_seconds": 1})
        no_rounds = ekho.RetryPolicy(max_rounds=1)
        client = self.client([limited, answer(200, SENT)], retry=no_rounds)
        began = time.monotonic()
        with self.assertRaises(ekho.EkhoRequestError):
            client.send_message(MESSAGE)
        client.send_message(MESSAGE)
        self.assertGreaterEqual(time.monotonic() - began, 0.99)

    def test_a_refusal_says_what_where_and_under_which_id(self):
        error = {"formErrors": [], "fieldErrors": {"ttl_seconds": ["a whole number"]}}
        body = {"error": error, "code": "validation_failed"}
        client = self.client([answer(400, body, x_request_id="req_1")])
        with self.assertRaises(ekho.EkhoRequestError) as caught:
            client.send_message(MESSAGE)
        refusal = caught.exception
        self.assertEqual((refusal.path, refusal.status_code), ("/v1/messages", 400))
        self.assertEqual((refusal.code, refusal.request_id), ("validation_failed", "req_1"))
        self.assertEqual(refusal.field_errors, {"ttl_seconds": ["a whole number"]})
        self.assertTrue(str(refusal).startswith("Ekho request failed for /v1/messages: 400 "))
        self.assertFalse(ekho.is_transient(refusal))

    def test_answers_that_are_none(self):
        for content in (b"no JSON", b"[]", b'{"messages": 1}', b"null"):
            client = self.client([httpx.Response(200, content=content)])
            with self.assertRaises(ekho.EkhoConnectionError) as caught:
                client.get_inbox()
            self.assertEqual(caught.exception.code, "answer_not_understood")
        client = self.client([httpx.Response(200, content=b"x" * 100)], max_answer_bytes=50)
        with self.assertRaises(ekho.EkhoConnectionError) as caught:
            client.get_inbox()
        self.assertEqual(caught.exception.code, "answer_too_large")
        page = httpx.Response(418, content=b"<html>" * 50_000)
        with self.assertRaises(ekho.EkhoRequestError) as refused:
            self.client([page]).get_inbox()
        self.assertEqual(refused.exception.code, "http_418")

    def test_a_timeout_is_for_all_tries_together(self):
        slow = ekho.RetryPolicy(base_delay=60, max_delay=60)
        client = self.client([answer(503, {"code": "overloaded"})] * 9, retry=slow)
        began = time.monotonic()
        with self.assertRaises(ekho.EkhoError):
            client.get_inbox(timeout=0.05)
        self.assertLess(time.monotonic() - began, 5)

    def test_taking_back_and_reporting_twice_are_successes(self):
        conflict = answer(409, {"code": "conflict"})
        state = {"message_id": "msg_1", "status": "cancelled"}
        client = self.client([conflict, answer(200, state)])
        self.assertEqual(client.cancel_message("msg_1").status, "cancelled")
        client = self.client([conflict, answer(200, {**state, "status": "delivered"})])
        with self.assertRaises(ekho.EkhoRequestError):
            client.cancel_message("msg_1")
        client = self.client([conflict, answer(200, {"id": "apr_1", "status": "executed"})])
        report = {"approval_id": "apr_1", "result": "executed"}
        self.assertEqual(client.action_result(report), {"ok": True})

    def test_a_trace_goes_into_the_metadata_but_not_beside_a_key_of_ones_own(self):
        class Now(Telemetry):
            def inject(self, carrier):
                carrier["traceparent"] = f"00-{time.monotonic_ns()}"

        client = self.client([answer(200, SENT)] * 3, telemetry=Now())
        client.send_message({**MESSAGE, "metadata": {"a": 1}})
        client.send_message(MESSAGE, idempotency_key="k")
        client.send_message(MESSAGE, idempotency_key="k")
        first = json.loads(self.asked[0].content)["metadata"]
        self.assertEqual(set(first), {"a", "traceparent"})
        self.assertEqual(self.asked[1].content, self.asked[2].content)

    def test_ids_that_would_change_the_path_are_refused_or_escaped(self):
        client = self.client([answer(200, {"released": True})])
        for given in ("", ".", ".."):
            with self.assertRaises(ekho.EkhoArgumentError):
                client.get_approval(given)
        client.release_floor("team/red one?#%")
        path = b"/v1/conversations/team%2Fred%20one%3F%23%25/floor"
        self.assertEqual(self.asked[0].url.raw_path, path)
        self.assertEqual(self.asked[0].content, b"")

    def test_unusable_settings_are_refused_and_nothing_shows_the_secret(self):
        def make(agent_id="agent_1", secret="s", relays="http://a.test", **settings):
            self.make(ekho.AgentCredentials(agent_id, secret, relays), None, settings)

        bad = ["", [], "relay.example", "ftp://a.test", "http://u:p@a.test", "http://a.test/?q=1"]
        for given in [
            *({"relays": relays} for relays in bad),
            {"secret": ""},
            {"agent_id": "a b"},
            {"timeout": 0},
            {"identity": object()},
        ]:
            with self.subTest(str(given)), self.assertRaises(ekho.EkhoArgumentError):
                make(**given)
        with self.assertRaises(ekho.EkhoArgumentError):
            self.make(None, None, {})
        credentials = ekho.AgentCredentials("agent_1", "very-secret", "http://a.test")
        self.assertNotIn("very-secret", f"{credentials}{self.client([])!r}")

    def test_a_stream_goes_on_after_the_last_event_seen(self):
        def message(n):
            return f'id: {n}\nevent: message\ndata: {{"message_id":"msg_{n}"}}\n\n'

        def error(status_code, code):
            data = json.dumps({"status_code": status_code, "error": "no", "code": code})
            return httpx.Response(200, text=f"event: error\ndata: {data}\n\n")

        client = self.client(
            [
                httpx.Response(200, text=message(7)),
                answer(503, {"code": "stopping"}),
                httpx.Response(200, text=f"id: 8\nevent: unheard-of\ndata: {{}}\n\n{message(9)}"),
                error(503, "no_leader"),
                error(401, "revoked"),
            ]
        )
        seen = []
        with self.assertRaises(ekho.EkhoRequestError) as refused:
            for event in self.stream(client, types=["direct", "ä"]):
                seen.append(event.event_id)
        self.assertEqual(refused.exception.code, "revoked")
        self.assertEqual(seen, ["7", "9"])
        told = [request.headers.get("last-event-id") for request in self.asked]
        self.assertEqual(told, [None, "7", "7", "9", "9"])
        self.assertEqual(self.asked[0].url.raw_path, b"/v1/inbox/stream?types=direct,%C3%A4")

    def test_a_closed_client_says_so(self):
        client = self.client([])
        client.close()
        with self.assertRaises(ekho.EkhoArgumentError):
            client.get_inbox()


class Blocking(Both, unittest.TestCase):
    def stream(self, client, **query):
        return client.inbox_stream(**query)

    def make(self, credentials, transport, settings):
        http = httpx.Client(transport=transport) if transport else None
        client = ekho.EkhoAgentClient(credentials, http_client=http, **settings)
        self.addCleanup(client.close)
        if http is not None:
            client.close = http.close
        return client


class OnAsyncio(Both, unittest.TestCase):
    loop: ClassVar[asyncio.AbstractEventLoop]

    def stream(self, client, **query):
        events = client.inner.inbox_stream(**query)
        while True:
            yield self.loop.run_until_complete(events.__anext__())

    @classmethod
    def setUpClass(cls):
        cls.loop = asyncio.new_event_loop()

    @classmethod
    def tearDownClass(cls):
        cls.loop.close()

    def make(self, credentials, transport, settings):
        http = httpx.AsyncClient(transport=transport) if transport else None
        client = ekho.EkhoAsyncAgentClient(credentials, http_client=http, **settings)
        return _Waits(client, http, self.loop)

    def test_a_cancelled_call_ends_at_once(self):
        slow = ekho.RetryPolicy(base_delay=60, max_delay=60)
        client = self.client([answer(503, {"code": "overloaded"})] * 9, retry=slow)

        async def run():
            call = asyncio.ensure_future(client.inner.get_inbox())
            while not self.asked:
                await asyncio.sleep(0)
            call.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await call

        began = time.monotonic()
        self.loop.run_until_complete(run())
        self.assertLess(time.monotonic() - began, 5)


class _Waits:
    """An async client with methods that wait."""

    def __init__(self, inner, http, loop):
        self.inner, self._http, self._loop = inner, http, loop

    def __getattr__(self, name):
        def call(*args, **kwargs):
            return self._loop.run_until_complete(getattr(self.inner, name)(*args, **kwargs))

        return call

    def close(self):
        self._loop.run_until_complete(self._http.aclose())

    def __repr__(self):
        return repr(self.inner)


class Sent(BaseHTTPRequestHandler):
    """Answers that a message is queued."""

    def do_POST(self):
        content = json.dumps(SENT).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Proxies(unittest.TestCase):
    def test_a_relay_of_this_machine_is_reached_past_a_proxy_of_the_environment(self):
        with HTTPServer(("127.0.0.1", 0), Sent) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            relay = f"http://127.0.0.1:{server.server_port}"
            credentials = ekho.AgentCredentials("agent_1", "secret", relay)

            async def send():
                async with ekho.EkhoAsyncAgentClient(credentials) as client:
                    return await client.send_message(MESSAGE)

            elsewhere = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
            with mock.patch.dict(os.environ, elsewhere):
                with ekho.EkhoAgentClient(credentials) as client:
                    self.assertEqual(client.send_message(MESSAGE).message_id, "msg_1")
                self.assertEqual(asyncio.run(send()).message_id, "msg_1")
            server.shutdown()


class Traces(unittest.TestCase):
    def test_a_trace_goes_on_in_the_agent_that_receives(self):
        from opentelemetry import trace

        context = trace.SpanContext(7, 8, False, trace.TraceFlags(trace.TraceFlags.SAMPLED))
        telemetry, carrier = ekho.OpenTelemetry(), {}
        with trace.use_span(trace.NonRecordingSpan(context)):
            telemetry.inject(carrier)
        self.assertEqual(carrier["traceparent"], f"00-{7:032x}-{8:016x}-01")
        with telemetry.attached(carrier):
            found = trace.get_current_span().get_span_context()
        self.assertEqual((found.trace_id, found.span_id), (7, 8))
        self.assertFalse(trace.get_current_span().get_span_context().is_valid)


class Package(unittest.TestCase):
    def test_the_version_is_the_packages(self):
        self.assertEqual(ekho.__version__, version("ekho"))


if __name__ == "__main__":
    unittest.main()
