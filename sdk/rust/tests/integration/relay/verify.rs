//! The signature check, written out from RFC 2104 instead of taken from the crate under test.

use sha2::{Digest, Sha256};

use super::Seen;

const BLOCK_BYTES: usize = 64;

pub fn signature_is_right(secret: &str, seen: &Seen, body: &[u8]) -> bool {
    let lines = [
        seen.method.as_str(),
        seen.path.as_str(),
        seen.header("x-ekho-timestamp"),
        seen.header("x-ekho-nonce"),
        &hex(&Sha256::digest(body)),
    ];
    hex(&hmac_sha256(secret.as_bytes(), lines.join("\n").as_bytes()))
        == seen.header("x-ekho-signature")
}

/// H(key xor opad, H(key xor ipad, text)), the key hashed first where it is longer than a block.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > BLOCK_BYTES {
        Sha256::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    block.resize(BLOCK_BYTES, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([pad(0x36), text.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn hmac_of_rfc_4231_case_2() {
    assert_eq!(
        hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}
