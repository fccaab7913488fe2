//! What the scanner looks for, and what each profile makes of it. Knows nothing of HTTP.
//!
//! Patterns are written so that what they find is unlikely to be anything else; they keep honest
//! agents from mistakes and crude attacks out. Nobody should take them for a proof that a text is
//! harmless.

use clap::ValueEnum;
use regex::RegexSet;
use serde_json::Value;

/// How strict the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Blocks everything that looks suspicious.
    Strict,
    /// Blocks what is probably wrong, tags the rest.
    Balanced,
    /// Blocks secrets that can hardly be anything else, tags the rest.
    Permissive,
}

/// What is wrong with something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A secret that should not travel in a message.
    Secret,
    /// A text that tries to give orders to a model.
    Injection,
    /// Larger than the profile allows.
    Oversize,
}

/// How sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    Suspicious,
    Probable,
    Certain,
}

/// Something that was found. It never quotes what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub certainty: Certainty,
    /// What it looks like.
    pub what: &'static str,
    /// Where it is: a JSON pointer into the message.
    pub place: String,
}

/// What the scanner says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass, with these tags.
    Allow { tags: Vec<String> },
    /// It must not, and why.
    Block { reason: String },
}

impl Profile {
    /// The largest body it lets pass.
    pub fn max_body_bytes(self) -> usize {
        match self {
            Profile::Strict => 64 << 10,
            Profile::Balanced => 256 << 10,
            Profile::Permissive => 1 << 20,
        }
    }

    fn blocks(self, finding: &Finding) -> bool {
        match (self, finding.kind) {
            (_, Kind::Oversize) | (Profile::Strict, _) => true,
            (Profile::Balanced, _) => finding.certainty >= Certainty::Probable,
            (Profile::Permissive, Kind::Secret) => finding.certainty == Certainty::Certain,
            (Profile::Permissive, Kind::Injection) => false,
        }
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Secret => "secret",
            Kind::Injection => "prompt-injection",
            Kind::Oversize => "oversize",
        }
    }
}

const RULES: &[(Kind, Certainty, &str, &str)] = {
    use Certainty::{Certain, Probable, Suspicious};
    use Kind::{Injection, Secret};
    &[
        (
            Secret,
            Certain,
            "private key",
            r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
        ),
        (
            Secret,
            Certain,
            "AWS access key",
            r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        ),
        (
            Secret,
            Certain,
            "Google API key",
            r"\bAIza[0-9A-Za-z_-]{35}",
        ),
        (
            Secret,
            Certain,
            "GitHub token",
            r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
        ),
        (
            Secret,
            Certain,
            "GitLab token",
            r"\bglpat-[A-Za-z0-9_-]{20,}",
        ),
        (
            Secret,
            Certain,
            "Slack token",
            r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
        ),
        (
            Secret,
            Certain,
            "Stripe key",
            r"\b[rs]k_live_[A-Za-z0-9]{20,}",
        ),
        (
            Secret,
            Certain,
            "model provider key",
            r"\bsk-(?:ant-|proj-|or-)[A-Za-z0-9_-]{20,}",
        ),
        (
            Secret,
            Certain,
            "package registry token",
            r"\b(?:npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{50,})",
        ),
        (
            Secret,
            Certain,
            "webhook secret",
            r"\bwhsec_[A-Za-z0-9+/]{32,}={0,2}",
        ),
        (
            Secret,
            Probable,
            "JSON web token",
            r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
        ),
        (
            Secret,
            Probable,
            "address with a password",
            r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:[^\s/:@]+@[^\s/]",
        ),
        (
            Secret,
            Suspicious,
            "password or key",
            r#"(?i)\b(?:password|passwd|secret|api[_ -]?key|access[_ -]?token)["']?\s*[:=]\s*["']?[^\s"']{8,}"#,
        ),
        (
            Injection,
            Probable,
            "order to ignore instructions",
            r"(?i)\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|your)\b.{0,40}\b(?:instruction|prompt|rule|guideline)s?\b",
        ),
        (
            Injection,
            Probable,
            "order to reveal a prompt",
            r"(?i)\b(?:reveal|print|show|repeat|output|leak)\b.{0,40}\b(?:system|hidden|initial)\s+(?:prompt|instructions?|message)\b",
        ),
        (
            Injection,
            Probable,
            "order to drop all limits",
            r"(?i)\b(?:you are now|from now on|act as|pretend)\b.{0,60}\b(?:unrestricted|jailbroken|developer mode|without (?:any )?(?:rules|limits|restrictions)|no (?:rules|limits|restrictions))\b",
        ),
        (
            Injection,
            Probable,
            "marker of a chat template",
            r"<\|(?:im_start|im_end|system|assistant|endoftext)\|>|\[/?INST\]|<</?SYS>>",
        ),
        (
            Injection,
            Probable,
            "order to send secrets away",
            r"(?i)\b(?:send|post|upload|forward|exfiltrate)\b.{0,60}\b(?:credential|secret|password|token|api key|environment variable)s?\b.{0,60}https?://",
        ),
        (
            Injection,
            Probable,
            "text that people cannot see",
            r"[\u{200B}-\u{200F}\u{2060}-\u{2064}]{4,}|[\u{E0020}-\u{E007F}]{4,}",
        ),
        (
            Injection,
            Suspicious,
            "order to keep something from people",
            r"(?i)\b(?:do not|don't|never)\s+(?:tell|inform|mention|show|alert)\b.{0,40}\b(?:user|operator|human|owner|anyone)s?\b",
        ),
        (
            Injection,
            Suspicious,
            "long encoded text",
            r"[A-Za-z0-9+/]{400,}={0,2}",
        ),
    ]
};

/// Levels of the body that are looked into; a relay passes on no more.
const DEPTH_MAX: usize = 128;

/// Looks through messages. Made once.
pub struct Scanner {
    profile: Profile,
    rules: RegexSet,
}

impl Scanner {
    pub fn new(profile: Profile) -> Result<Self, regex::Error> {
        let rules = RegexSet::new(RULES.iter().map(|(_, _, _, pattern)| pattern))?;
        Ok(Scanner { profile, rules })
    }

    /// What the profile makes of a message's body and metadata.
    pub fn judge(&self, body: &Value, metadata: &Value) -> Verdict {
        let found = self.scan(body, metadata);
        let block = found.iter().find(|finding| self.profile.blocks(finding));
        if let Some(finding) = block {
            let (kind, what) = (finding.kind.as_str(), finding.what);
            let reason = format!("{kind} ({what}) in {}", finding.place);
            return Verdict::Block { reason };
        }
        let mut tags: Vec<String> = found
            .iter()
            .map(|finding| format!("scan:{}", finding.kind.as_str()))
            .collect();
        tags.sort_unstable();
        tags.dedup();
        Verdict::Allow { tags }
    }

    /// Everything that was found, the surest first.
    pub fn scan(&self, body: &Value, metadata: &Value) -> Vec<Finding> {
        let mut found = Vec::new();
        let size_bytes = body.to_string().len();
        if size_bytes > self.profile.max_body_bytes() {
            found.push(Finding {
                kind: Kind::Oversize,
                certainty: Certainty::Certain,
                what: "larger than the profile allows",
                place: "/body".into(),
            });
        }
        self.look("/body", "", body, DEPTH_MAX, &mut found);
        self.look("/metadata", "", metadata, DEPTH_MAX, &mut found);
        found.sort_by_key(|finding| std::cmp::Reverse(finding.certainty));
        found
    }

    fn look(&self, place: &str, name: &str, value: &Value, left: usize, found: &mut Vec<Finding>) {
        let deeper = left.saturating_sub(1);
        match value {
            _ if left == 0 => {}
            // The name belongs to it: {"password": "…"} says what the text alone does not.
            Value::String(text) => self.match_rules(place, &format!("{name}: {text}"), found),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.look(&format!("{place}/{number}"), name, item, deeper, found);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    // RFC 6901, section 3.
                    let part = name.replace('~', "~0").replace('/', "~1");
                    self.match_rules(place, name, found);
                    self.look(&format!("{place}/{part}"), name, value, deeper, found);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn match_rules(&self, place: &str, text: &str, found: &mut Vec<Finding>) {
        for number in self.rules.matches(text) {
            let (kind, certainty, what, _) = RULES[number];
            found.push(Finding {
                kind,
                certainty,
                what,
                place: place.into(),
            });
        }
    }
}
