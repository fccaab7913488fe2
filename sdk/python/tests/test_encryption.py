"""End-to-end encryption, against the vectors that every language shares."""

import copy
import json
import unittest

from ekho import InboxMessage, reply_to
from ekho._calls import read_message
from ekho._prepare import Preparer
from ekho._readers import ReaderKeys
from ekho._settings import Checker, Settings
from ekho.errors import EkhoArgumentError, EkhoEncryptionError
from ekho.identity import (
    AgentIdentity,
    EncryptionKey,
    KeyRing,
    PublicEncryptionKey,
    Verifier,
    _encrypt,
    _hpke,
    chosen_key,
    decrypt_body,
    encrypt_body,
    encryption_context,
    encryption_key_statement,
    sign_encryption_key,
)
from ekho.types import AgentEncryptionKeys, Encryption, Verification

from .vectors import cases, vectors

ALL = vectors("encryption.json")


def readers_of(vector):
    return [(one["agent_id"], PublicEncryptionKey(one["public_key"])) for one in vector["readers"]]


class Hpke(unittest.TestCase):
    def test_vectors_of_the_rfc(self):
        for vector in cases(ALL, "hpke"):
            raw = {k: bytes.fromhex(v) for k, v in vector.items() if k != "name"}
            with self.subTest(vector["name"]):
                self.assertEqual(_hpke.derive_private(raw["ikmE"]), raw["skEm"])
                self.assertEqual(_hpke.derive_private(raw["ikmR"]), raw["skRm"])
                self.assertEqual(_hpke.public_of(raw["skRm"]), raw["pkRm"])
                info, aad = raw["info"], raw["aad"]
                sealed = _hpke.seal(raw["pkRm"], info, aad, raw["pt"], raw["ikmE"])
                self.assertEqual(sealed, (raw["enc"], raw["ct"]))
                opened = _hpke.open_sealed(raw["skRm"], raw["enc"], info, aad, raw["ct"])
                self.assertEqual(opened, raw["pt"])
                with self.assertRaises(_hpke.OpenError):
                    _hpke.open_sealed(raw["skRm"], raw["enc"], aad, aad, raw["ct"])

    def test_keys_with_which_nothing_would_be_secret_are_refused(self):
        for text in cases(ALL, "weak_public_keys"):
            with self.subTest(text), self.assertRaises(EkhoArgumentError):
                _hpke.seal(PublicEncryptionKey(text).raw, b"", b"", b"", bytes(32))


class Keys(unittest.TestCase):
    def test_a_key_and_its_id(self):
        for vector in cases(ALL, "keys"):
            key = EncryptionKey.from_seed(vector["seed"])
            self.assertEqual(str(key.public_key), vector["public_key"])
            self.assertEqual(key.key_id, vector["key_id"])
            self.assertNotIn(vector["seed"], repr(key))
        key, seed = EncryptionKey.generate()
        self.assertEqual(EncryptionKey.from_seed(seed).key_id, key.key_id)
        for make in (EncryptionKey.from_seed, PublicEncryptionKey):
            for text in ("", "AAAA", "!!"):
                with self.assertRaises(EkhoArgumentError):
                    make(text)

    def test_an_identity_key_vouches_for_one(self):
        vector = ALL["key_statement"]
        identity = AgentIdentity.from_seed(vector["identity_seed"])
        key = PublicEncryptionKey(vector["public_key"])
        fleet_id, agent_id = vector["fleet_id"], vector["agent_id"]
        statement = encryption_key_statement(fleet_id, agent_id, identity.key_id, key)
        self.assertEqual(statement, vector["statement"])
        signed = sign_encryption_key(key, fleet_id, agent_id, identity)
        for name in ("signed_by_key_id", "signature"):
            self.assertEqual(signed[name], vector[name])

    def test_which_to_encrypt_to(self):
        for case in cases(ALL, "choosing"):
            ring = None if case.get("no_ring") else KeyRing.from_json(ALL["key_ring"])
            for key_id in case.get("revoked", []):
                ring.revoke(key_id)
            with self.subTest(case["name"]):
                if "code" not in case:
                    key = chosen_key(case["agent_id"], case["keys"], ring)
                    self.assertEqual(key.key_id, case["key_id"])
                    continue
                with self.assertRaises(EkhoEncryptionError) as raised:
                    chosen_key(case["agent_id"], case["keys"], ring)
                self.assertEqual(raised.exception.code, case["code"])


class Bodies(unittest.TestCase):
    def test_encrypting(self):
        for vector in cases(ALL, "encrypting"):
            message, sender = vector["message"], vector["sender_id"]
            key, readers = EncryptionKey.from_seed(vector["seed"]), readers_of(vector)
            with self.subTest(vector["name"]):
                self.assertEqual(encryption_context(message, sender), vector["context"])
                body = encrypt_body(message, sender, key, readers, vector["nonce"])
                self.assertEqual(body, vector["encrypted"])
                one, two = (encrypt_body(message, sender, key, readers) for _ in range(2))
                self.assertNotEqual(one, two, "without a nonce no two are the same")

    def test_what_cannot_be_encrypted_is_refused(self):
        vector = ALL["encrypting"][0]
        key, readers = EncryptionKey.from_seed(vector["seed"]), readers_of(vector)
        message = vector["message"]
        for body, to in [
            (message["body"], []),
            (message["body"], readers * 65),
            ({1: set()}, readers),
            ({"a": "\ud800"}, readers),
            ({"a": json.loads("[" * 110 + "]" * 110)}, readers),
        ]:
            with self.assertRaises(EkhoArgumentError):
                encrypt_body({**message, "body": body}, "agent_a", key, to)
        with self.assertRaises(EkhoArgumentError):
            encrypt_body({"body": {}}, "agent_a", key, readers)

    def test_decrypting(self):
        keys = [EncryptionKey.from_seed(ALL["self_seed"])]
        checker = Checker(Settings(encryption_keys=keys), ALL["self_agent_id"])
        for case in cases(ALL, "decrypting"):
            with self.subTest(case["name"]):
                message = checker.check(read_message(case["message"]))
                found = message.encryption
                self.assertEqual(
                    (found.status, found.reason, found.key_id),
                    (case["status"], case.get("reason"), case.get("key_id")),
                )
                self.assertEqual(message.body, case.get("body", case["message"]["body"]))

    def test_a_plaintext_nested_too_deeply_ends_nothing(self):
        vector = ALL["encrypting"][0]
        key, readers = EncryptionKey.from_seed(vector["seed"]), readers_of(vector)
        deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
        recipient = vector["message"]["recipient"]
        for plaintext in (deep, b'{"a":NaN}', b"\xff"):
            body = _encrypt._seal(vector["context"], recipient, plaintext, key, readers, None)
            own = EncryptionKey.from_seed(ALL["self_seed"])
            with self.assertRaises(EkhoEncryptionError) as raised:
                decrypt_body({**vector["message"], "body": body}, "agent_a", "agent_b", [own])
            self.assertEqual(raised.exception.reason, "unknown_form")

    def test_an_older_key_still_opens_what_was_encrypted_to_it(self):
        case = ALL["decrypting"][0]
        older, (newer, _) = EncryptionKey.from_seed(ALL["self_seed"]), EncryptionKey.generate()
        for keys, reason in [([newer, older], None), ([newer], "unknown_key"), ([], "no_key")]:
            checker = Checker(Settings(encryption_keys=keys), ALL["self_agent_id"])
            found = checker.check(read_message(case["message"])).encryption
            self.assertEqual(found.reason, reason)


class Sending(unittest.TestCase):
    def setUp(self):
        self.identity, _ = AgentIdentity.generate()
        self.own, _ = EncryptionKey.generate()
        self.reader = EncryptionKey.from_seed(ALL["self_seed"])
        self.readers = ReaderKeys([self.own], None)
        entry = {"public_key": str(self.reader.public_key), "current": True, "revoked_at": None}
        self.readers.take(AgentEncryptionKeys("agent_b", [entry]))
        self.preparer = Preparer("agent_a", self.identity, "flt_1", None, self.readers)
        self.message = {
            **copy.deepcopy(ALL["encrypting"][0]["message"]),
            "encrypt_for": ["agent_b"],
        }

    def test_what_is_sent_is_signed_and_the_same_under_a_key_of_ones_own(self):
        sent, _ = self.preparer.prepare(self.message, "k")
        self.assertEqual(sent, self.preparer.prepare(self.message, "k")[0])
        self.assertNotEqual(sent["body"], self.preparer.prepare(self.message, None)[0]["body"])
        self.assertNotIn("encrypt_for", sent)
        self.assertEqual(list(sent["body"]), ["ekho_encrypted"])
        self.assertIn("encrypt_for", self.message, "what was given stays as it is")
        ring = KeyRing("flt_1")
        ring.trust_agent("agent_a", str(self.identity.public_key))
        received = read_message({**sent, "message_id": "msg_1", "sender_agent_id": "agent_a"})
        self.assertEqual(Verifier(ring, "agent_b").verify(received).status, "verified")
        settings = Settings(encryption_keys=[self.reader], key_ring=ring)
        opened = Checker(settings, "agent_b").check(received)
        self.assertEqual(opened.verification.status, "verified")
        self.assertEqual(opened.body, self.message["body"])

    def test_whom_it_is_for_has_to_fit(self):
        for given in ([], "agent_b", [1], ["agent_c"], None, 1):
            wrong = {**self.message, "encrypt_for": given}
            with self.subTest(given), self.assertRaises(EkhoArgumentError):
                self.readers.due([wrong])
            with self.subTest(given), self.assertRaises(EkhoArgumentError):
                self.preparer.prepare(wrong, None)
        with self.assertRaises(EkhoArgumentError):
            self.readers.due([{**self.message, "agent_sig": "x"}])
        with self.assertRaises(EkhoArgumentError):
            ReaderKeys([], None).due([self.message])
        self.assertEqual(self.readers.due([self.message]), [], "asked a moment ago")
        room = {**self.message, "recipient": {"kind": "group", "id": "room_1"}}
        wanted = {**room, "encrypt_for": ["agent_c", "agent_b", "agent_c"]}
        self.assertEqual(self.readers.due([wanted]), ["agent_c"])
        with self.assertRaises(EkhoEncryptionError) as raised:
            self.preparer.prepare(wanted, None)
        self.assertEqual(raised.exception.code, "no_encryption_key")

    def test_others_make_room_for_those_that_a_message_names(self):
        for number in range(9_999):
            self.readers.take(AgentEncryptionKeys(f"agent_{number}", []))
        self.assertEqual(self.readers.due([self.message]), [], "asked a moment ago")
        self.readers.take(AgentEncryptionKeys("agent_more", []))
        self.preparer.prepare(self.message, None)
        self.assertEqual(len(self.readers._known), 9_001)

    def test_the_relay_does_not_say_what_the_client_finds_out(self):
        said = {"verification": {"status": "verified"}, "encryption": {"status": "decrypted"}}
        message = read_message({"message_id": "msg_1", "body": {}, **said})
        found = Checker(Settings(), "agent_b").check(message)
        self.assertEqual(found.verification, Verification("unchecked", "no_key_ring"))
        self.assertEqual(found.encryption, Encryption("none"))

    def test_what_came_encrypted_is_answered_so(self):
        message = InboxMessage("msg_1", sender_agent_id="agent_a")
        self.assertNotIn("encrypt_for", reply_to(message, {}))
        message.encryption.status = "decrypted"
        self.assertEqual(reply_to(message, {})["encrypt_for"], ["agent_a"])


if __name__ == "__main__":
    unittest.main()
