"""Bodies that only their readers can read (docs/encryption.md): a content key encrypts the body, HPKE
encrypts the content key to each reader. Both are bound to who says it to whom, in which conversation.
Test vectors: sdk/vectors/encryption.json."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ..errors import EkhoArgumentError, EkhoEncryptionError
from . import _hpke as hpke
from ._encryption_keys import EncryptionKey, PublicEncryptionKey
from ._jcs import canonical_json
from ._keys import from_base64

FORM = "ekho-encrypted-v1"
FIELD = "ekho_encrypted"
MAX_READERS = 64
_ROUTING = ("message_type", "conversation_id", "correlation_id")


def encryption_context(message: Mapping[str, Any], sender_id: str) -> str:
    """What both encryptions are bound to: canonical JSON of what routes the message."""
    recipient = message["recipient"]
    kind = recipient["kind"]
    return canonical_json(
        {
            "type": FORM,
            "sender_id": sender_id,
            "recipient": {"kind": kind}
            if kind == "broadcast"
            else {"kind": kind, "id": recipient["id"]},
            **{name: message[name] for name in _ROUTING},
        }
    )


def encrypt_body(
    message: Mapping[str, Any],
    sender_id: str,
    key: EncryptionKey,
    readers: Sequence[Tuple[str, PublicEncryptionKey]],
    nonce: Optional[str] = None,
) -> Dict[str, Any]:
    """The body to send in place of ``message["body"]``.

    With a ``nonce`` that is the caller's own, the same message under it is the same bytes, so that it
    can be sent again; otherwise no two are the same.
    """
    if not 1 <= len(readers) <= MAX_READERS:
        raise EkhoArgumentError(f"a message is encrypted to 1 to {MAX_READERS} readers")
    if not isinstance(message.get("body"), Mapping):
        raise EkhoArgumentError("a body is an object")
    try:
        context = encryption_context(message, sender_id)
        text = json.dumps(
            message["body"], separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        # Its readers would not take it otherwise.
        canonical_json(json.loads(text))
        plaintext = text.encode("utf-8")
    except KeyError as missing:
        raise EkhoArgumentError(f"an encrypted message needs {missing}") from None
    except (TypeError, ValueError) as error:
        raise EkhoArgumentError(f"the body cannot be JSON: {error}") from None
    return _seal(context, message["recipient"], plaintext, key, readers, nonce)


def _seal(
    context: str,
    recipient: Mapping[str, Any],
    plaintext: bytes,
    key: EncryptionKey,
    readers: Sequence[Tuple[str, PublicEncryptionKey]],
    nonce: Optional[str],
) -> Dict[str, Any]:
    derive = _derivation(context, plaintext, key, readers, nonce)
    content_key = derive("content key", hpke.KEY_BYTES)
    info = context.encode("utf-8")
    ciphertext = hpke.seal_once(content_key, info, plaintext)
    about = hashlib.sha256(ciphertext).digest()
    sealed = []
    for agent_id, public in readers:
        ikm = derive(f"ephemeral key\n{agent_id}\n{public.key_id}", 32)
        enc, wrapped = hpke.seal(public.raw, info, about, content_key, ikm)
        sealed.append(
            {
                "agent_id": agent_id,
                "key_id": public.key_id,
                "enc": _text(enc),
                "key": _text(wrapped),
            }
        )
    return {
        FIELD: {
            "type": FORM,
            "recipient": dict(recipient),
            "readers": sealed,
            "ciphertext": _text(ciphertext),
        }
    }


def _derivation(
    context: str,
    plaintext: bytes,
    key: EncryptionKey,
    readers: Sequence[Tuple[str, PublicEncryptionKey]],
    nonce: Optional[str],
) -> Any:
    """Keys that are random to everybody else, and the same again for the same message: of the
    sender's seed and all that is sealed, so that no key ever seals two different things."""
    transcript = canonical_json(
        {
            "context": context,
            "plaintext_sha256": hashlib.sha256(plaintext).hexdigest(),
            "readers": [[agent_id, public.key_id] for agent_id, public in readers],
            "nonce": nonce if nonce is not None else secrets.token_hex(32),
            "fresh": nonce is None,
        }
    )
    digest = hashlib.sha256(transcript.encode("utf-8")).hexdigest()

    def derive(what: str, length: int) -> bytes:
        return hpke.expand(key._derivation, f"{what}\n{digest}".encode(), length)

    return derive


def is_encrypted(body: object) -> bool:
    """Whether a body is an encrypted one, of whatever form."""
    return isinstance(body, Mapping) and set(body) == {FIELD}


def decrypt_body(
    message: Mapping[str, Any], sender_id: str, self_agent_id: str, keys: Sequence[EncryptionKey]
) -> Tuple[Dict[str, Any], str]:
    """The body as it was before it was encrypted, and the id of the key that opened it. Of
    ``message`` the body counts, ``message_type``, ``conversation_id`` and ``correlation_id``. Raises
    EkhoEncryptionError."""
    sealed = message["body"].get(FIELD)
    if not isinstance(sealed, Mapping) or sealed.get("type") != FORM:
        raise _failed("unknown_form")
    recipient, readers = sealed.get("recipient"), sealed.get("readers")
    ciphertext = _bytes(sealed.get("ciphertext"))
    if not isinstance(recipient, Mapping) or not isinstance(readers, list) or ciphertext is None:
        raise _failed("unknown_form")
    if not keys:
        raise _failed("no_key")
    mine = [
        reader
        for reader in readers[:MAX_READERS]
        if isinstance(reader, Mapping) and reader.get("agent_id") == self_agent_id
    ]
    if not mine:
        raise _failed("not_a_reader")
    known = {key.key_id: key for key in keys}
    reader = next((reader for reader in mine if reader.get("key_id") in known), None)
    if reader is None:
        raise _failed("unknown_key")
    key = known[reader["key_id"]]
    try:
        bound = {**message, "recipient": recipient}
        info = encryption_context(bound, sender_id).encode("utf-8")
        enc, wrapped = _bytes(reader.get("enc")) or b"", _bytes(reader.get("key")) or b""
        about = hashlib.sha256(ciphertext).digest()
        content_key = hpke.open_sealed(key._private, enc, info, about, wrapped)
        plaintext = hpke.open_once(content_key, info, ciphertext)
    except (hpke.OpenError, EkhoArgumentError, KeyError):
        raise _failed("altered") from None
    return _read_body(plaintext), key.key_id


def _read_body(plaintext: bytes) -> Dict[str, Any]:
    """A sender may have encrypted what the relay would not have let pass, and what others read
    otherwise: what is no UTF-8, begins with a byte order mark, or has no canonical form."""
    try:
        # As text, because bytes would be read in whichever Unicode they look like.
        body = json.loads(plaintext.decode("utf-8"), parse_constant=_no_number)
        canonical_json(body)
    except (ValueError, RecursionError, EkhoArgumentError):
        raise _failed("unknown_form") from None
    if not isinstance(body, dict):
        raise _failed("unknown_form")
    return body


def _no_number(word: str) -> None:
    raise ValueError(word)


_WHY = {
    "unknown_form": "it has a form that this version does not know",
    "no_key": "this client has no encryption key",
    "not_a_reader": "it was not encrypted to this agent",
    "unknown_key": "it was encrypted to a key that this client does not have",
    "altered": "it is not what its sender encrypted, or was said by or to somebody else",
}


def _failed(reason: str) -> EkhoEncryptionError:
    return EkhoEncryptionError("decryption_failed", _WHY[reason], reason)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: object) -> Optional[bytes]:
    return from_base64(text) if isinstance(text, str) else None
