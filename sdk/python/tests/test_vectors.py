"""Against the vectors that every language and the relay share."""

import json
import unittest

from ekho._learn import KeyLearner
from ekho.errors import EkhoArgumentError
from ekho.identity import (
    AgentIdentity,
    KeyRing,
    PublicKey,
    Verifier,
    canonical_json,
    envelope_text,
    sign_message,
)
from ekho.signing import Signer, canonical_request
from ekho.types import AgentKeys, InboxMessage, OperatorKeyEntry, OperatorKeys, read

from .vectors import cases, vectors


class Requests(unittest.TestCase):
    def test_signatures(self):
        for case in cases(vectors("signing.json")):
            with self.subTest(case["name"]):
                body = case["body_utf8"].encode("utf-8")
                method, target = case["method"], case["target"]
                moment = {"timestamp": case["timestamp"], "nonce": case["nonce"]}
                canonical = canonical_request(method, target, body=body, **moment)
                self.assertEqual(canonical, case["canonical"])
                headers = Signer("agent_1", case["secret"]).sign(method, target, body, **moment)
                self.assertEqual(headers["x-ekho-signature"], case["signature"])

    def test_every_try_is_signed_anew_and_shows_no_secret(self):
        signer = Signer("agent_1", "very-secret")
        first, second = signer.sign("GET", "/"), signer.sign("GET", "/")
        self.assertNotEqual(first["x-ekho-nonce"], second["x-ekho-nonce"])
        pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
        self.assertRegex(first["x-ekho-timestamp"], pattern)
        self.assertNotIn("very-secret", f"{first}{signer!r}")


class Envelopes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.all = vectors("envelopes.json")

    def test_canonical_json(self):
        for case in cases(self.all, "canonical_json"):
            with self.subTest(case["name"]):
                self.assertEqual(canonical_json(json.loads(case["json"])), case["canonical"])

    def test_what_is_no_json_is_refused(self):
        deep = json.loads("[" * 200 + "]" * 200)
        values = [
            float("nan"),
            float("inf"),
            10**400,
            "\ud800",
            deep,
            {1: 2},
            {"\ud800": 1},
            object(),
        ]
        for value in values:
            with self.assertRaises(EkhoArgumentError):
                canonical_json(value)

    def test_signing(self):
        for case in cases(self.all, "signing"):
            with self.subTest(case["name"]):
                identity = AgentIdentity.from_seed(case["seed"])
                self.assertEqual(str(identity.public_key), case["public_key"])
                self.assertEqual(identity.key_id, case["key_id"])
                fleet, sender, nonce = case["fleet_id"], case["sender_id"], case["nonce"]
                text = envelope_text(case["message"], fleet, sender, identity.key_id, nonce)
                self.assertEqual(text, case["sig_canonical"])
                fields = sign_message(case["message"], fleet, sender, identity, nonce)
                self.assertEqual(fields["agent_sig"], case["agent_sig"])

    def test_verifying(self):
        ring = KeyRing.from_json(self.all["key_ring"])
        self.assertEqual(ring.to_json(), self.all["key_ring"])
        verifier = Verifier(ring, self.all["self_agent_id"])
        for case in cases(self.all, "verifying"):
            with self.subTest(case["name"]):
                found = verifier.verify(read(InboxMessage, case["message"]))
                expected = (case["status"], case.get("reason"))
                self.assertEqual((found.status, found.reason), expected)

    def test_a_key_is_the_same_however_it_is_written(self):
        import base64

        key = AgentIdentity.from_seed(self.all["signing"][0]["seed"]).public_key
        raw = base64.b64decode(str(key))[12:]
        url_safe = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        for text in (base64.b64encode(raw).decode(), url_safe, str(key)):
            self.assertEqual(PublicKey(text).key_id, key.key_id)
        for text in ("", "AAAA", "!!", f"{key}AA"):
            with self.assertRaises(EkhoArgumentError):
                PublicKey(text)


class Operators(unittest.TestCase):
    def setUp(self):
        cases = [
            case for case in vectors("operator-keys.json")["cases"] if case["kind"] == "endorse"
        ]
        self.good = next(case for case in cases if case["holds"])
        self.bad = next(case for case in cases if not case["holds"])
        self.ring = KeyRing(self.good["fleet_id"])
        self.root_id = self.ring.trust_operator(self.good["by_public_key"])

    def entry(self, case, **other):
        return {
            "key_id": case["key_id"],
            "public_key": case["public_key"],
            "endorsed_by_key_id": self.root_id,
            "endorsement_sig": case["signature"],
            **other,
        }

    def test_operators_are_believed_along_endorsements_only(self):
        self.assertEqual(self.ring.take_endorsed([self.entry(self.bad)]), [])
        bare = self.entry(self.good, endorsed_by_key_id=None, endorsement_sig=None)
        self.assertEqual(self.ring.take_endorsed([bare]), [], "a root is pinned, not told")
        taken = self.ring.take_endorsed([self.entry(self.good)])
        self.assertEqual(taken, [self.good["key_id"]])

    def test_keys_of_another_kind_are_passed_over(self):
        learner = KeyLearner(self.ring)
        other = OperatorKeyEntry("key_0", "another kind", self.root_id, "AAAA")
        good = read(OperatorKeyEntry, self.entry(self.good))
        learner.take_operators(OperatorKeys("flt_1", [other, good]))
        self.assertIsNotNone(self.ring.operator_key(self.good["key_id"]))
        key, since = AgentIdentity.generate()[0].public_key, "2026-01-02T00:00:00.000Z"
        keys = [
            {"key_id": "key_0", "public_key": "another kind", "revoked_at": since},
            {"key_id": key.key_id, "public_key": str(key), "revoked_at": since},
        ]
        learner.take_agent(AgentKeys("agent_a", keys))
        self.assertIsNotNone(self.ring.agent_key("agent_a", key.key_id))
        for key_id in ("key_0", key.key_id):
            self.assertTrue(self.ring.is_revoked(key_id))

    def test_revoked_keys_stay_revoked(self):
        self.ring.revoke(self.good["key_id"])
        self.assertEqual(self.ring.take_endorsed([self.entry(self.good)]), [])

    def test_a_revocation_only_ever_reaches_further_back(self):
        self.ring.revoke("key_1", "2026-01-02T00:00:00.000Z")
        self.ring.revoke("key_1", "2026-01-03T00:00:00.000Z")
        self.assertTrue(self.ring.is_revoked("key_1", "2026-01-02T12:00:00.000Z"))
        self.assertFalse(self.ring.is_revoked("key_1", "2026-01-01T00:00:00.000Z"))
        self.ring.revoke("key_1")
        self.assertTrue(self.ring.is_revoked("key_1", "2026-01-01T00:00:00.000Z"))
        self.assertTrue(self.ring.is_revoked("key_1", "no time"))


if __name__ == "__main__":
    unittest.main()
