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

#[test]
#[cfg(not(feature = "breakable"))]
fn the_binary_cannot_be_broken() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_ekho")).unwrap();
    let text = String::from_utf8_lossy(&binary);
    assert!(text.contains("EKHO_DATA_DIR"));
    // What alone could switch a breakage on. Optimised builds have no trace of the rest.
    assert!(!text.contains("EKHO_BREAK"));
}
