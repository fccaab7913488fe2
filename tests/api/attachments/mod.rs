//! Attachments: upload, download, what messages bind, what is refused.
//!
//! - `contract`: the original's rows
//! - `binding`: messages and operators
//! - `limits`: how much, how many, how long; and how much memory it takes

mod binding;
mod contract;
mod limits;

use crate::support::{DEADLINE, Operator, poll_until};

pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";

/// Waits until the settings that this relay was configured with hold.
pub async fn seeded(operator: &Operator) {
    poll_until(DEADLINE, "the fourth feature level", async || {
        let status = operator.get("/v1/operator/cluster").await.ok();
        (status["feature_level"].as_u64() >= Some(4)).then_some(())
    })
    .await;
}
