"""Retries, server-sent events, lanes and controls."""

import unittest

from ekho._adapter.controls import Controls
from ekho._adapter.lanes import MAX_UNACKED, Lanes, Offer
from ekho._retry import Attempts, Backoff, Repeat, RetryPolicy, Targets, Verdict, judge
from ekho._sse import SseEvent, SseEventTooLarge, SseParser
from ekho.errors import EkhoConnectionError, EkhoRequestError
from ekho.types import ControlMessage, InboxMessage


def refusal(status_code, code=None, retry_after=None):
    body = '{"error": "no"}' if code is None else f'{{"code": "{code}"}}'
    return EkhoRequestError("/v1/messages", status_code, body, retry_after=retry_after)


def broken(unsent):
    return EkhoConnectionError("connection_failed", "/v1/messages", "no answer", unsent=unsent)


class Retries(unittest.TestCase):
    def test_verdicts(self):
        give_up, elsewhere, later = Verdict.GIVE_UP, Verdict.ELSEWHERE, Verdict.LATER
        cases = [
            (refusal(429), later, later),
            (refusal(401, "timestamp_before_leadership"), later, later),
            (refusal(503, "no_leader"), elsewhere, elsewhere),
            (refusal(503, "outcome_unknown"), elsewhere, give_up),
            (refusal(502), elsewhere, give_up),
            (refusal(504), elsewhere, give_up),
            (broken(True), elsewhere, elsewhere),
            (broken(False), elsewhere, give_up),
            (ValueError("of the program itself"), give_up, give_up),
        ]
        for status_code in (302, 400, 401, 403, 404, 409, 413, 500):
            cases.append((refusal(status_code), give_up, give_up))
        for error, harmless, only_if_undone in cases:
            with self.subTest(repr(error)):
                self.assertIs(judge(error, Repeat.HARMLESS), harmless)
                self.assertIs(judge(error, Repeat.ONLY_IF_UNDONE), only_if_undone)

    def test_delays_are_bounded_and_never_below_what_the_relay_asks(self):
        backoff = Backoff(0.1, 2.0)
        for failure in range(200):
            self.assertLessEqual(backoff.next_delay(), min(2.0, 0.1 * 2 ** min(failure, 50)))
        backoff.reset()
        self.assertTrue(5 <= backoff.next_delay(5) <= 5.1)

    def test_a_round_tries_every_address_once(self):
        targets = Targets(3)
        policy = RetryPolicy(max_rounds=2, base_delay=0.01, max_delay=0.01)
        attempts = Attempts(policy, targets, Repeat.HARMLESS)
        tried, waits = [], []
        while True:
            tried.append(targets.current)
            delay = attempts.after(refusal(503, "no_leader"), targets.current)
            if delay is None:
                break
            waits.append(delay > 0)
        self.assertEqual(tried, [0, 1, 2, 0, 1, 2])
        self.assertEqual(waits, [False, False, True, False, False])

    def test_calls_stay_with_the_address_that_answered(self):
        targets = Targets(2)
        targets.leave(0)
        targets.leave(0)
        self.assertEqual(targets.current, 1, "another call had moved on already")

    def test_a_long_retry_after_is_raised_at_once(self):
        attempts = Attempts(RetryPolicy(), Targets(1), Repeat.HARMLESS)
        self.assertIsNone(attempts.after(refusal(429, retry_after="3600"), 0))
        self.assertGreaterEqual(attempts.after(refusal(429, retry_after="7"), 0), 7)


class Events(unittest.TestCase):
    TEXT = (
        '\ufeff: keep-alive\n\nid: 7\nevent: message\ndata: {"a":\ndata: "ü"}\n\n'
        "event: control\r\ndata:x\r\n\r\nid\rdata\r\rretry: 5\nevent: lost\n\n"
    )

    def test_the_same_events_in_pieces_of_any_size(self):
        for size in range(1, len(self.TEXT) + 1):
            parser, events = SseParser(1024), []
            for at in range(0, len(self.TEXT), size):
                events += parser.push(self.TEXT[at : at + size])
            expected = [
                SseEvent("message", '{"a":\n"ü"}', "7"),
                SseEvent("control", "x", "7"),
                SseEvent("message", "", ""),
            ]
            self.assertEqual(events, expected, f"pieces of {size}")

    def test_events_are_limited_in_size(self):
        for text in ("x" * 17, "data: 1234\n" * 5):
            with self.assertRaises(SseEventTooLarge):
                SseParser(16).push(text)
        self.assertEqual(len(SseParser(16).push("data: 1234\n\n" * 50)), 50)


def message(message_id, conversation_id):
    return InboxMessage(message_id, conversation_id=conversation_id)


class Work(unittest.TestCase):
    def test_a_lane_keeps_order_and_has_one_worker(self):
        lanes = Lanes()
        self.assertIs(lanes.offer(message("1", "a")), Offer.NEW_LANE)
        self.assertIs(lanes.offer(message("2", "b")), Offer.NEW_LANE)
        self.assertIs(lanes.offer(message("3", "a")), Offer.QUEUED)
        self.assertEqual(lanes.next("a").message_id, "1")
        self.assertIs(lanes.offer(message("4", "a")), Offer.QUEUED, "while 1 is in work")
        self.assertEqual([lanes.next("a").message_id, lanes.next("a").message_id], ["3", "4"])
        self.assertIsNone(lanes.next("a"))
        self.assertIs(lanes.offer(message("5", "a")), Offer.NEW_LANE)

    def test_a_copy_is_dropped_and_a_lost_ack_is_made_up_for(self):
        lanes = Lanes()
        lanes.offer(message("1", "a"))
        self.assertIs(lanes.offer(message("1", "a")), Offer.IN_WORK)
        lanes.next("a")
        lanes.finished("1", needs_ack=True)
        self.assertIs(lanes.offer(message("1", "a")), Offer.ACK_AGAIN)
        lanes.acked_late("1")
        self.assertIsNot(lanes.offer(message("1", "a")), Offer.ACK_AGAIN)

    def test_lost_acks_are_remembered_up_to_a_limit(self):
        lanes = Lanes()
        for number in range(MAX_UNACKED + 1):
            lanes.finished(str(number), needs_ack=True)
        self.assertIsNot(lanes.offer(message("0", "a")), Offer.ACK_AGAIN)
        self.assertIs(lanes.offer(message(str(MAX_UNACKED), "a")), Offer.ACK_AGAIN)

    def test_conversations_stay_active_while_they_are_worked_on(self):
        lanes = Lanes()
        lanes.offer(message("1", "b"))
        lanes.touch("a")
        self.assertEqual(lanes.active_conversations(), ["a", "b"])
        self.assertEqual(lanes.active_conversations(), ["b"])
        lanes.next("b")
        lanes.finished("1", needs_ack=False)
        lanes.next("b")
        self.assertEqual(lanes.active_conversations(), [])

    def test_the_newest_control_decides_and_each_is_told_once(self):
        def update(*pairs):
            fresh = controls.update([ControlMessage(*pair) for pair in pairs])
            return [control.control_id for control in fresh], controls.paused

        controls = Controls()
        self.assertEqual(update(("1", "pause")), (["1"], True))
        self.assertEqual(update(("2", "resume"), ("1", "pause")), (["2"], False))
        again = [("3", "quarantine"), ("2", "resume"), ("1", "pause")]
        self.assertEqual(update(*again), (["3"], True))
        self.assertEqual(update(*again), ([], True))
        self.assertEqual(update(("4", "dance"), ("3", "quarantine")), (["4"], True))
        self.assertEqual(update(), ([], False), "a pause that ended is over")


if __name__ == "__main__":
    unittest.main()
