//! The one test of this package itself. With it, cargo builds the binary together with the tests,
//! and for the tests of `ekho-tests`, which run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn the_binary_says_what_it_is() {
    let said = Command::new(env!("CARGO_BIN_EXE_ekho"))
        .arg("version")
        .output()
        .unwrap();
    let wanted = format!("ekho {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(said.stdout).unwrap(), wanted);
}
