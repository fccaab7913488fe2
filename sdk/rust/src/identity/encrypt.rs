//! Bodies that only their readers can read (docs/encryption.md): a content key encrypts the body,
//! HPKE encrypts the content key to each reader. Both are bound to who says it to whom, in which
//! conversation. Test vectors: sdk/vectors/encryption.json.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::encryption_keys::{EncryptionKey, PublicEncryptionKey};
use super::hpke::{self, Unusable};
use super::jcs::canonical_json;
use super::keys::from_base64;
use crate::error::EkhoError;
use crate::types::InboxMessage;

const FORM: &str = "ekho-encrypted-v1";
const FIELD: &str = "ekho_encrypted";
const MAX_READERS: usize = 64;

/// What of a message an encrypted body is bound to.
#[derive(Debug, Clone, Copy)]
pub struct RoutedMessage<'a> {
    /// To whom, as it is on the wire.
    pub recipient: &'a Value,
    /// What for.
    pub message_type: &'a str,
    /// Which conversation it belongs to.
    pub conversation_id: &'a str,
    /// Which exchange within the conversation it belongs to.
    pub correlation_id: &'a str,
}

/// Whom a body is encrypted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The agent.
    pub agent_id: String,
    /// Its key.
    pub key: PublicEncryptionKey,
}

/// What became of an encrypted body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Encryption {
    /// Whether it was encrypted, and could be decrypted.
    pub status: EncryptionStatus,
    /// Why it could not.
    pub reason: Option<DecryptionFailure>,
    /// The key that opened it.
    pub key_id: Option<String>,
}

/// Whether a body was encrypted, and could be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EncryptionStatus {
    /// It was not encrypted.
    #[default]
    None,
    /// The body is what its sender encrypted.
    Decrypted,
    /// The body is as it came.
    DecryptionFailed,
}

/// Why a body could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DecryptionFailure {
    /// A newer or an unknown form, or no JSON object inside.
    #[error("it has a form that this version does not know")]
    UnknownForm,
    /// The client has no encryption key.
    #[error("this client has no encryption key")]
    NoKey,
    /// It is for others.
    #[error("it was not encrypted to this agent")]
    NotAReader,
    /// It is for a key that was replaced, say.
    #[error("it was encrypted to a key that this client does not have")]
    UnknownKey,
    /// Something in it, or in what routed it, is not what its sender made it.
    #[error("it is not what its sender encrypted, or was said by or to somebody else")]
    Altered,
}

/// What both encryptions are bound to: canonical JSON of what routes the message.
///
/// Errors: [`EkhoError::InvalidArgument`] for a recipient that cannot be JSON.
pub fn encryption_context(
    message: RoutedMessage<'_>,
    sender_id: &str,
) -> Result<String, EkhoError> {
    let kind = &message.recipient["kind"];
    let recipient = match kind.as_str() {
        Some("broadcast") => json!({ "kind": kind }),
        _ => json!({ "kind": kind, "id": message.recipient["id"] }),
    };
    canonical_json(&json!({
        "type": FORM,
        "sender_id": sender_id,
        "recipient": recipient,
        "message_type": message.message_type,
        "conversation_id": message.conversation_id,
        "correlation_id": message.correlation_id,
    }))
}

/// The body to send in place of `body`.
///
/// With a `nonce` that is the caller's own, the same message under it is the same bytes, so that it
/// can be sent again; otherwise no two are the same.
///
/// Errors: [`EkhoError::InvalidArgument`] for a body that is no object, none or too many readers, or
/// a key with which nothing would be secret.
pub fn encrypt_body(
    message: RoutedMessage<'_>,
    body: &Value,
    sender_id: &str,
    key: &EncryptionKey,
    readers: &[Reader],
    nonce: Option<&str>,
) -> Result<Value, EkhoError> {
    if readers.is_empty() || readers.len() > MAX_READERS {
        return Err(EkhoError::invalid(format!(
            "a message is encrypted to 1 to {MAX_READERS} readers"
        )));
    }
    if !body.is_object() {
        return Err(EkhoError::invalid("a body is an object"));
    }
    // Its readers would not take it otherwise.
    canonical_json(body)?;
    let context = encryption_context(message, sender_id)?;
    let info = context.as_bytes();
    let plaintext = body.to_string().into_bytes();
    let digest = transcript(&context, &plaintext, readers, nonce)?;
    let content_key = derived(key, "content key", &digest)?;
    let unusable = |_: Unusable| EkhoError::invalid("this is no key to encrypt to");
    let ciphertext = hpke::seal_once(&content_key, info, &plaintext).map_err(unusable)?;
    let about = Sha256::digest(&ciphertext);
    let mut sealed = Vec::with_capacity(readers.len());
    for Reader { agent_id, key: to } in readers {
        let what = format!("ephemeral key\n{agent_id}\n{}", to.key_id());
        let ikm = derived(key, &what, &digest)?;
        let (enc, wrapped) =
            hpke::seal(&to.raw, info, &about, &content_key, ikm).map_err(unusable)?;
        sealed.push(json!({
            "agent_id": agent_id,
            "key_id": to.key_id(),
            "enc": STANDARD.encode(enc),
            "key": STANDARD.encode(wrapped),
        }));
    }
    Ok(json!({ FIELD: {
        "type": FORM,
        "recipient": message.recipient,
        "readers": sealed,
        "ciphertext": STANDARD.encode(ciphertext),
    }}))
}

/// Hash of all that is sealed, with the nonce or something random.
fn transcript(
    context: &str,
    plaintext: &[u8],
    readers: &[Reader],
    nonce: Option<&str>,
) -> Result<String, EkhoError> {
    let readers: Vec<_> = readers
        .iter()
        .map(|reader| json!([reader.agent_id, reader.key.key_id()]))
        .collect();
    let transcript = canonical_json(&json!({
        "context": context,
        "plaintext_sha256": hex::encode(Sha256::digest(plaintext)),
        "readers": readers,
        "nonce": nonce.map_or_else(|| hex::encode(rand::random::<[u8; 32]>()), str::to_owned),
        "fresh": nonce.is_none(),
    }))?;
    Ok(hex::encode(Sha256::digest(transcript)))
}

/// Keys that are random to everybody else, and the same again for the same message: of the sender's
/// seed and all that is sealed, so that no key ever seals two different things.
fn derived<const BYTES: usize>(
    key: &EncryptionKey,
    what: &str,
    digest: &str,
) -> Result<[u8; BYTES], EkhoError> {
    let mut bytes = [0; BYTES];
    let info = format!("{what}\n{digest}");
    key.derivation
        .expand(info.as_bytes(), &mut bytes)
        .map_err(|error| EkhoError::invalid(error.to_string()))?;
    Ok(bytes)
}

/// Whether a body is an encrypted one, of whatever form.
pub fn is_encrypted(body: &Value) -> bool {
    let fields = body.as_object();
    fields.is_some_and(|fields| fields.len() == 1 && fields.contains_key(FIELD))
}

/// The body as it was before it was encrypted, and the id of the key that opened it.
///
/// Errors: why it cannot be decrypted.
pub fn decrypt_body(
    message: &InboxMessage,
    self_agent_id: &str,
    keys: &[EncryptionKey],
) -> Result<(Value, String), DecryptionFailure> {
    use DecryptionFailure as Failure;
    let sealed = &message.body[FIELD];
    let (recipient, readers) = (&sealed["recipient"], sealed["readers"].as_array());
    let (Some(readers), Some(ciphertext)) = (readers, bytes(&sealed["ciphertext"])) else {
        return Err(Failure::UnknownForm);
    };
    if sealed["type"] != FORM || !recipient.is_object() {
        return Err(Failure::UnknownForm);
    }
    if keys.is_empty() {
        return Err(Failure::NoKey);
    }
    let mut mine = readers
        .iter()
        .take(MAX_READERS)
        .filter(|reader| reader["agent_id"] == self_agent_id)
        .peekable();
    mine.peek().ok_or(Failure::NotAReader)?;
    let found = mine.find_map(|reader| {
        let key = keys.iter().find(|key| reader["key_id"] == key.key_id())?;
        Some((reader, key))
    });
    let (reader, key) = found.ok_or(Failure::UnknownKey)?;
    let routed = RoutedMessage {
        recipient,
        message_type: message.message_type.as_str(),
        conversation_id: &message.conversation_id,
        correlation_id: &message.correlation_id,
    };
    let sender = message.sender_agent_id.as_deref().unwrap_or_default();
    let context = encryption_context(routed, sender).map_err(|_| Failure::Altered)?;
    let (enc, wrapped) = (bytes(&reader["enc"]), bytes(&reader["key"]));
    let (enc, wrapped) = enc.zip(wrapped).ok_or(Failure::Altered)?;
    let about = Sha256::digest(&ciphertext);
    let plaintext = hpke::open(&key.private, &enc, context.as_bytes(), &about, &wrapped)
        .and_then(|content_key| hpke::open_once(&content_key, context.as_bytes(), &ciphertext))
        .map_err(|Unusable| Failure::Altered)?;
    let body = read_body(&plaintext).ok_or(Failure::UnknownForm)?;
    Ok((body, key.key_id()))
}

/// A sender may have encrypted what the relay would not have let pass, and what others read
/// otherwise: what is no UTF-8, begins with a byte order mark, or has no canonical form.
fn read_body(plaintext: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(plaintext).ok()?;
    (body.is_object() && canonical_json(&body).is_ok()).then_some(body)
}

fn bytes(text: &Value) -> Option<Vec<u8>> {
    from_base64(text.as_str()?)
}
