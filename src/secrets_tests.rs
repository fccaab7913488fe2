//! Where secrets come from, what is refused, and that nothing is overwritten.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::Flags;

type Test = Result<(), Box<dyn std::error::Error>>;

const GOOD: &str = "a-session-secret-of-some-length";
const MASTER: &str = "a-master-secret-of-some-length";

fn config(dir: &Path, environment: &[(&str, &str)]) -> Result<Config, Box<dyn std::error::Error>> {
    let flags = Flags {
        data_dir: Some(dir.to_path_buf()),
        ..Flags::default()
    };
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Ok(Config::from_parts(&flags, environment, dir)?)
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.mode() & 0o7777)
}

#[test]
fn without_a_secret_the_relay_does_not_start() -> Test {
    let dir = tempfile::tempdir()?;
    assert!(matches!(
        resolve(&config(dir.path(), &[])?),
        Err(SecretsError::Missing { .. })
    ));
    let error = resolve(&config(
        dir.path(),
        &[("EKHO_OPERATOR_SESSION_SECRET", "change-me")],
    )?);
    assert!(matches!(
        error,
        Err(SecretsError::Placeholder {
            variable: "EKHO_OPERATOR_SESSION_SECRET"
        })
    ));
    let master = [
        ("EKHO_OPERATOR_SESSION_SECRET", GOOD),
        ("EKHO_MASTER_SECRET", "change-me"),
    ];
    let error = resolve(&config(dir.path(), &master)?);
    assert!(matches!(
        error,
        Err(SecretsError::Placeholder {
            variable: "EKHO_MASTER_SECRET"
        })
    ));
    Ok(())
}

#[test]
fn development_starts_all_the_same_and_says_so() -> Test {
    let dir = tempfile::tempdir()?;
    let first = resolve(&config(dir.path(), &[("EKHO_DEV_INSECURE", "1")])?)?;
    let again = resolve(&config(dir.path(), &[("EKHO_DEV_INSECURE", "1")])?)?;
    assert_eq!(
        first.secrets.master, again.secrets.master,
        "a restart must open what was sealed"
    );
    assert!(
        first
            .warnings
            .iter()
            .any(|warning| warning.contains("public")),
        "{:?}",
        first.warnings
    );
    let placeholder = [
        ("EKHO_DEV_INSECURE", "1"),
        ("EKHO_OPERATOR_SESSION_SECRET", "change-me"),
    ];
    let resolved = resolve(&config(dir.path(), &placeholder)?)?;
    assert_eq!(resolved.secrets.session.as_str(), "change-me");
    Ok(())
}

#[test]
fn the_session_secret_stands_in_for_the_master_with_a_warning() -> Test {
    let dir = tempfile::tempdir()?;
    let alone = resolve(&config(
        dir.path(),
        &[("EKHO_OPERATOR_SESSION_SECRET", GOOD)],
    )?)?;
    assert_eq!(alone.secrets.master.as_str(), GOOD);
    assert_eq!(alone.warnings.len(), 1, "{:?}", alone.warnings);
    let both = [
        ("EKHO_OPERATOR_SESSION_SECRET", GOOD),
        ("EKHO_MASTER_SECRET", MASTER),
    ];
    let both = resolve(&config(dir.path(), &both)?)?;
    assert_eq!(
        (both.secrets.session.as_str(), both.secrets.master.as_str()),
        (GOOD, MASTER)
    );
    assert!(both.warnings.is_empty(), "{:?}", both.warnings);
    let short = [
        ("EKHO_OPERATOR_SESSION_SECRET", "short"),
        ("EKHO_MASTER_SECRET", MASTER),
    ];
    let short = resolve(&config(dir.path(), &short)?)?;
    assert!(
        short.warnings.len() == 1 && short.warnings[0].contains("guessed"),
        "{:?}",
        short.warnings
    );
    assert!(!format!("{short:?}").contains(MASTER));
    Ok(())
}

#[test]
fn setup_makes_them_once_for_the_owner_only() -> Test {
    let dir = tempfile::tempdir()?;
    let config_now = config(dir.path(), &[])?;
    assert!(ensure(&config_now)?);
    let file = path(dir.path());
    assert_eq!(mode(&file)?, 0o600);
    let before = fs::read(&file)?;
    let resolved = resolve(&config_now)?;
    assert!(
        resolved.session_from_file && resolved.master_from_file && resolved.warnings.is_empty()
    );
    assert_ne!(resolved.secrets.session, resolved.secrets.master);
    assert_eq!(resolved.secrets.master.len(), 2 * GENERATED_BYTES);

    assert!(!ensure(&config_now)?, "made twice");
    assert_eq!(fs::read(&file)?, before);
    let left: Vec<_> = fs::read_dir(dir.path())?.collect::<Result<_, _>>()?;
    assert_eq!(left.len(), 1, "a temporary file was left: {left:?}");

    // Configuration stands above the file.
    let named = config(dir.path(), &[("EKHO_OPERATOR_SESSION_SECRET", GOOD)])?;
    let named = resolve(&named)?;
    assert_eq!(named.secrets.session.as_str(), GOOD);
    assert_eq!(named.secrets.master, resolved.secrets.master);
    Ok(())
}

#[test]
fn setup_keeps_only_what_configuration_does_not_give() -> Test {
    let dir = tempfile::tempdir()?;
    let named = config(dir.path(), &[("EKHO_OPERATOR_SESSION_SECRET", GOOD)])?;
    assert!(ensure(&named)?);
    assert!(!fs::read_to_string(path(dir.path()))?.contains(GOOD));
    assert!(matches!(
        resolve(&config(dir.path(), &[])?),
        Err(SecretsError::Missing { .. })
    ));

    let dir = tempfile::tempdir()?;
    let both = [
        ("EKHO_OPERATOR_SESSION_SECRET", GOOD),
        ("EKHO_MASTER_SECRET", MASTER),
    ];
    assert!(!ensure(&config(dir.path(), &both)?)?);
    assert!(!path(dir.path()).exists());
    Ok(())
}

#[test]
fn data_without_its_secrets_gets_no_new_ones() -> Test {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("cluster.json"), "{}")?;
    assert!(matches!(
        ensure(&config(dir.path(), &[])?),
        Err(SecretsError::Lost { .. })
    ));
    // It ran with the session secret alone, and must go on so.
    assert!(!ensure(&config(
        dir.path(),
        &[("EKHO_OPERATOR_SESSION_SECRET", GOOD)]
    )?)?);
    assert!(!path(dir.path()).exists());
    Ok(())
}

#[test]
fn a_file_that_others_can_read_is_refused() -> Test {
    let dir = tempfile::tempdir()?;
    let config = config(dir.path(), &[])?;
    ensure(&config)?;
    let file = path(dir.path());
    for bad in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&file, Permissions::from_mode(bad))?;
        let error = resolve(&config);
        assert!(
            matches!(error, Err(SecretsError::Exposed { mode, .. }) if mode == bad),
            "{bad:o}: {error:?}"
        );
    }
    fs::set_permissions(&file, Permissions::from_mode(0o400))?;
    assert!(resolve(&config).is_ok());
    Ok(())
}

#[test]
fn a_damaged_file_is_refused_without_showing_it() -> Test {
    let dir = tempfile::tempdir()?;
    let config = config(dir.path(), &[])?;
    for bad in [
        "operator_session_secret = \"hunter2",
        "other = 1",
        "master_secret = \"\"",
        "master_secret = 7",
    ] {
        replace(&path(dir.path()), bad.as_bytes())?;
        let Err(error) = resolve(&config) else {
            return Err(format!("accepted {bad}").into());
        };
        assert!(
            matches!(error, SecretsError::Damaged { .. }),
            "{bad}: {error}"
        );
        assert!(!error.to_string().contains("hunter2"));
        assert!(ensure(&config).is_err(), "setup must not write over {bad}");
    }
    Ok(())
}

#[test]
fn create_never_replaces() -> Test {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("file");
    create(&file, b"one")?;
    assert_eq!(
        create(&file, b"two").map_err(|error| error.kind()),
        Err(ErrorKind::AlreadyExists)
    );
    assert_eq!(fs::read(&file)?, b"one");
    replace(&file, b"three")?;
    assert_eq!((fs::read(&file)?, mode(&file)?), (b"three".to_vec(), 0o600));
    assert_eq!(fs::read_dir(dir.path())?.count(), 1);
    Ok(())
}
