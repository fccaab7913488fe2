//! Completions and manual pages

use std::fs;

use crate::support::ekho;
use crate::{done, out};

#[test]
fn each_shell_completes_commands_and_flags() {
    for (shell, parts) in [
        ("bash", ["complete -F _ekho", "--smoke-test"]),
        ("zsh", ["#compdef ekho", "--smoke-test"]),
        ("fish", ["complete -c ekho", "smoke-test"]),
        ("elvish", ["edit:completion", "--smoke-test"]),
        ("powershell", ["Register-ArgumentCompleter", "--smoke-test"]),
    ] {
        let text = out(&done(ekho(["completions", shell]).output().unwrap()));
        for part in parts {
            assert!(text.contains(part), "{shell}: no {part:?}");
        }
    }
    assert_eq!(
        ekho(["completions", "csh"]).output().unwrap().status.code(),
        Some(2)
    );
}

#[test]
fn each_command_has_a_manual_page() {
    let page = out(&done(ekho(["man"]).output().unwrap()));
    assert!(
        page.contains(".TH ekho 1") && page.contains("First steps"),
        "{page}"
    );
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("man1");
    done(ekho(["man", "--out"]).arg(&to).output().unwrap());
    for name in [
        "ekho-setup.1",
        "ekho-cluster-token-create.1",
        "ekho-tokens-create.1",
    ] {
        let page =
            fs::read_to_string(to.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains("Examples:"), "{name}: {page}");
    }
}
