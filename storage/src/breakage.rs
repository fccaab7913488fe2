//! Promises that a build for testing the tests breaks on purpose, one at a time: a judge that never
//! finds anything proves nothing. See "Breaking the product on purpose" in jepsen-style/README.md.
//!
//! Only a build with the cargo feature `breakable` reads `EKHO_BREAK`. In every other [`is_broken`]
//! is constant: no name and no way to choose one is in the binary, and what they do is optimised away.

macro_rules! breaks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What can be broken.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub enum Break {
            $($(#[$doc])* $variant,)*
        }

        #[cfg(feature = "breakable")]
        fn named(name: &str) -> Option<Break> {
            match name {
                $($name => Some(Break::$variant),)*
                _ => None,
            }
        }
    };
}

breaks! {
    /// Most writes to the log are not synced before they are answered for.
    LoseUnsynced = "lose-unsynced",
    /// Reads do not wait until this node has applied what was answered before.
    StaleRead = "stale-read",
    /// The nonce of a write is not looked up.
    AcceptNonceTwice = "accept-nonce-twice",
    /// Idempotency keys are not looked up.
    ForgetKeys = "forget-keys",
    /// Some acks are answered and not done.
    RedeliverAcked = "redeliver-acked",
    /// What is handed out at once comes in the wrong order.
    Reorder = "reorder",
    /// Holds and policies are not looked at in apply.
    SkipPolicyInApply = "skip-policy-in-apply",
    /// Messages do not count against the rate of their sender.
    UncountedRate = "uncounted-rate",
    /// What was decided is decided again.
    DecideTwice = "decide-twice",
    /// Every decision is refused, as if there had been one.
    DecideNever = "decide-never",
    /// Bodies are parsed and printed again.
    Reserialize = "reserialize",
    /// What is for one agent goes to the next.
    Misroute = "misroute",
    /// Some messages come out as others.
    Rename = "rename",
    /// Some messages are accepted and answered as refused.
    RefuseAccepted = "refuse-accepted",
    /// An ack counts one more than it acked.
    MiscountAcks = "miscount-acks",
    /// Attempts at a delivery are not counted.
    ForgetAttempts = "forget-attempts",
    /// One entry of the log cannot be applied.
    PoisonEntry = "poison-entry",
    /// An orderly stop ends with an error.
    FailStop = "fail-stop",
}

/// Whether this was to be broken.
#[cfg(not(feature = "breakable"))]
#[inline(always)]
pub const fn is_broken(_what: Break) -> bool {
    false
}

/// Whether this was to be broken.
#[cfg(feature = "breakable")]
pub fn is_broken(what: Break) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Break>> = std::sync::OnceLock::new();
    let chosen = || {
        std::env::var("EKHO_BREAK")
            .ok()
            .and_then(|name| named(&name))
    };
    *CHOSEN.get_or_init(chosen) == Some(what)
}
