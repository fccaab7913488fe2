//! The OpenID provider of `tests/oidc`, one process for all tests.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Http, uuid};

/// The provider. It ends with the standard input that this process holds.
pub struct Provider {
    /// Where it is, and what it calls itself.
    pub issuer: String,
    _child: Child,
    _input: ChildStdin,
}

/// The secret of its clients.
pub const SECRET: &str = "a-secret-of-the-test-client-only";

/// Where `npm ci` put what the provider needs: `./dev` says so, by hand it is beside the server.
fn modules() -> PathBuf {
    let beside = support::root().join("tests/oidc");
    let named = std::env::var_os("EKHO_TEST_OIDC_DIR").map(PathBuf::from);
    let directory = named.unwrap_or(beside);
    assert!(
        directory.join("node_modules/oidc-provider").is_dir(),
        "{} has no oidc-provider: run ./dev test, or npm ci in tests/oidc",
        directory.display()
    );
    directory
}

/// The provider, started by the first to ask.
pub fn provider() -> &'static Provider {
    static PROVIDER: OnceLock<Provider> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let server = support::root().join("tests/oidc/server.mjs");
        let mut child = Command::new("node")
            .arg(server)
            .arg(modules())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node can be started: ./dev test installs it");
        let input = child.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let issuer = lines.find_map(|line| {
            let line = line.expect("a line of the provider");
            line.strip_prefix("issuer ").map(str::to_string)
        });
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Provider {
            issuer: issuer.expect("the provider's address"),
            _child: child,
            _input: input,
        }
    })
}

impl Provider {
    /// Has it vouch for somebody: `{"claims": {…}, "forge"?: {…}}`.
    pub async fn knows(&self, login: &str, account: &Value) {
        let url = format!("{}/test/accounts/{login}", self.issuer);
        let body = bytes::Bytes::from(account.to_string());
        Http::new().send("PUT", &url, &[], body).await.ok();
    }
}

/// A name that no other test uses.
pub fn new_login() -> String {
    format!("{}@example.org", uuid())
}
