//! The one maker of public ids: a prefix and a UUID v7, or a prefix and a number.

use uuid::Uuid;

/// A new UUID v7, for things that are stored by it.
pub fn new_uuid() -> u128 {
    Uuid::now_v7().as_u128()
}

/// A new public id with this prefix, such as `agent_`.
pub fn new_id(prefix: &str) -> String {
    from_uuid(prefix, new_uuid())
}

/// The public id of a UUID.
pub fn from_uuid(prefix: &str, uuid: u128) -> String {
    format!("{prefix}{uuid:032x}")
}

/// The UUID behind a public id with this prefix. Any other text is no id.
pub fn to_uuid(prefix: &str, id: &str) -> Option<u128> {
    let digits = id.strip_prefix(prefix)?;
    let plain = digits.len() == 32
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !plain {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

/// The public id of a message's delivery to one agent.
pub fn delivery(message: u128, agent_no: u32) -> String {
    format!("dly_{message:032x}_{agent_no:x}")
}

/// The public id of a numbered thing, such as `ctl_`.
pub fn from_number(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:016x}")
}

/// A new secret with 256 random bits.
pub fn new_secret(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    format!("{prefix}{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_and_other_texts_do_not() {
        let id = new_id("msg_");
        let uuid = to_uuid("msg_", &id);
        assert_eq!(uuid.map(|uuid| from_uuid("msg_", uuid)), Some(id.clone()));
        for text in [
            &id[4..],
            &id.to_uppercase(),
            "msg_",
            "msg_1",
            &format!("{id}0"),
            "msg_+0000000000000000000000000000001",
        ] {
            assert_eq!(to_uuid("msg_", text), None, "{text}");
        }
    }
}
