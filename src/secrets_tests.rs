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

/// What a file holds, without the first line.
fn stored(dir: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(path(dir))?;
    let (_, stored) = text.split_once('\n').ok_or("a first line")?;
    Ok(stored.to_string())
}

#[test]
fn the_next_master_secret_is_kept_and_takes_the_place_of_the_old_one() -> Test {
    let dir = tempfile::tempdir()?;
    let config_now = config(dir.path(), &[])?;
    ensure(&config_now)?;
    let before = resolve(&config_now)?.secrets;
    assert!(before.next_master.is_none());
    let finished = finish(&config_now);
    assert!(matches!(finished, Err(SecretsError::NoNext { .. })));
    let same = keep_next(&config_now, &before.master);
    assert!(matches!(same, Err(SecretsError::NotNew)));
    assert!(keep_next(&config_now, MASTER)?);
    assert!(!keep_next(&config_now, MASTER)?, "it is there already");
    let another = keep_next(&config_now, "another-master-secret");
    assert!(matches!(another, Err(SecretsError::AnotherNext { .. })));
    assert_eq!(mode(&path(dir.path()))?, 0o600);
    let both = resolve(&config_now)?.secrets;
    assert_eq!(
        (&both.master, &both.session),
        (&before.master, &before.session)
    );
    assert_eq!(
        both.next_master.as_deref().map(String::as_str),
        Some(MASTER)
    );
    finish(&config_now)?;
    let after = resolve(&config_now)?.secrets;
    assert_eq!(
        (after.master.as_str(), &after.session),
        (MASTER, &before.session)
    );
    assert!(after.next_master.is_none());
    let left: Vec<_> = fs::read_dir(dir.path())?.collect::<Result<_, _>>()?;
    assert_eq!(left.len(), 1, "a temporary file was left: {left:?}");
    Ok(())
}

#[test]
fn the_environment_changes_it_by_itself() -> Test {
    let dir = tempfile::tempdir()?;
    let with = |next: &str| {
        let environment = [
            ("EKHO_OPERATOR_SESSION_SECRET", GOOD),
            ("EKHO_MASTER_SECRET", MASTER),
            ("EKHO_NEXT_MASTER_SECRET", next),
        ];
        config(dir.path(), &environment)
    };
    let next = with("another-master-secret")?;
    assert!(resolve(&next)?.secrets.next_master.is_some());
    assert!(matches!(
        keep_next(&next, "x"),
        Err(SecretsError::Configured { .. })
    ));
    assert!(matches!(
        finish(&next),
        Err(SecretsError::Configured { .. })
    ));
    // As it is while the new one is put in the place of the old one.
    let same = resolve(&with(MASTER)?)?;
    assert!(same.secrets.next_master.is_none());
    assert!(same.warnings.iter().any(|one| one.contains("unset it")));
    let placeholder = resolve(&with("change-me")?);
    assert!(matches!(placeholder, Err(SecretsError::Placeholder { .. })));
    Ok(())
}

#[test]
fn a_node_that_joins_keeps_the_next_one_as_well() -> Test {
    let dir = tempfile::tempdir()?;
    let empty = config(dir.path(), &[])?;
    keep(&empty, MASTER, Some("next"), GOOD)?;
    let all = stored(dir.path())?;
    assert!(all.contains("next_master_secret = \"next\""), "{all}");
    keep(&empty, MASTER, Some("next"), GOOD)?;
    // Who tells it need not know of it yet.
    keep(&empty, MASTER, None, GOOD)?;
    assert_eq!(stored(dir.path())?, all);
    let other = keep(&empty, MASTER, Some("another"), GOOD);
    assert!(matches!(other, Err(SecretsError::Damaged { .. })));

    let dir = tempfile::tempdir()?;
    let empty = config(dir.path(), &[])?;
    keep(&empty, MASTER, None, GOOD)?;
    keep(&empty, MASTER, Some("next"), GOOD)?;
    assert_eq!(stored(dir.path())?, all);

    let dir = tempfile::tempdir()?;
    let environment = [
        ("EKHO_OPERATOR_SESSION_SECRET", GOOD),
        ("EKHO_MASTER_SECRET", MASTER),
    ];
    keep(
        &config(dir.path(), &environment)?,
        MASTER,
        Some("next"),
        GOOD,
    )?;
    assert_eq!(stored(dir.path())?, "next_master_secret = \"next\"\n");
    Ok(())
}
