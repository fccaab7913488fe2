//! Setup on real directories with a real relay, whole and cut short; and signing in to it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::owner::{ALPHABET, DEFAULT_EMAIL, GROUP_CHARS, GROUPS, check_password, make_password};
use super::*;
use crate::cli::client::{Client, ClientError};
use crate::config::Flags;
use crate::ingress::password::MIN_CHARS;
use crate::secrets::SecretsError;
use crate::server::{Server, choose_crypto};

type Test = Result<(), Box<dyn std::error::Error>>;

fn config(dir: &Path) -> Result<Config, Box<dyn std::error::Error>> {
    let flags = Flags {
        data_dir: Some(dir.to_path_buf()),
        port: Some(0),
        ..Flags::default()
    };
    Ok(Config::from_parts(&flags, [], dir)?)
}

fn silent(dir: &Path) -> SetupArgs {
    SetupArgs {
        place: Place {
            data_dir: Some(dir.to_path_buf()),
            ..Place::default()
        },
        non_interactive: true,
        ..SetupArgs::default()
    }
}

async fn run_silent(dir: &Path) -> Result<String, CliError> {
    run_with(dir, silent(dir)).await
}

async fn run_with(dir: &Path, mut args: SetupArgs) -> Result<String, CliError> {
    let before = Config::load(&silent(dir).place.flags())?;
    Ok(set_up_in(before, &mut args).await?.text)
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.mode() & 0o7777)
}

fn read(path: &Path) -> Result<Credentials, Box<dyn std::error::Error>> {
    Ok(Credentials::read(path)?.ok_or("no credentials")?)
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_changes_nothing() -> Test {
    let parent = tempfile::tempdir()?;
    let dir = parent.path().join("deep/data");
    let args = SetupArgs {
        fleet: Some("acme".into()),
        ..silent(&dir)
    };
    let said = run_with(&dir, args).await?;
    let (credentials, secrets) = (credentials::path(&dir), secrets::path(&dir));
    assert_eq!(
        (mode(&dir)?, mode(&credentials)?, mode(&secrets)?),
        (0o700, 0o600, 0o600)
    );
    let owner = read(&credentials)?;
    assert_eq!(
        (owner.fleet_name.as_str(), owner.email.as_str()),
        ("acme", DEFAULT_EMAIL)
    );
    assert!(owner.fleet_id.starts_with("flt_") && owner.password.len() >= MIN_CHARS);
    assert!(!credentials::pending_path(&dir).exists());
    assert!(said.contains(&owner.password), "{said}");

    let before = (fs::read(&credentials)?, fs::read(&secrets)?);
    let said = run_silent(&dir).await?;
    assert!(
        said.contains("nothing was changed") && !said.contains(&owner.password),
        "{said}"
    );
    assert_eq!((fs::read(&credentials)?, fs::read(&secrets)?), before);

    // Whoever took the file away has it elsewhere; no other owner is made.
    fs::remove_file(&credentials)?;
    run_silent(&dir).await?;
    assert!(!credentials.exists() && !credentials::pending_path(&dir).exists());

    fs::remove_file(&secrets)?;
    let lost = run_silent(&dir).await;
    assert!(
        matches!(lost, Err(CliError::Secrets(SecretsError::Lost { .. }))),
        "{lost:?}"
    );
    assert!(!secrets.exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_short_it_is_finished_by_the_next_run() -> Test {
    let dir = tempfile::tempdir()?;
    let config = config(dir.path())?;
    let path = credentials::path(dir.path());
    let pending = credentials::pending_path(dir.path());

    // Before the relay was told: the password of then was never valid.
    secrets::ensure(&config)?;
    let mut early = owner::choose(&Given::default(), &config.base_url)?.0;
    early.write(&pending)?;
    run_silent(dir.path()).await?;
    let owner = read(&path)?;
    assert_ne!(owner.password, early.password);
    assert!(!pending.exists());

    // After the relay was told: what was pending is the owner's.
    early.clone_from(&owner);
    early.fleet_id = String::new();
    fs::remove_file(&path)?;
    early.write(&pending)?;
    run_silent(dir.path()).await?;
    let finished = read(&path)?;
    assert_eq!(
        (&finished.password, &finished.fleet_id),
        (&owner.password, &owner.fleet_id)
    );
    assert!(!pending.exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_signs_in_and_gets_a_token() -> Test {
    choose_crypto();
    let dir = tempfile::tempdir()?;
    let mut config = config(dir.path())?;
    run_silent(dir.path()).await?;
    let mut owner = read(&credentials::path(dir.path()))?;

    let server = Server::bind(&config).await?;
    config.listening_on(server.address().port());
    let url = format!("http://{}", server.address());
    assert_eq!(config.base_url, url);
    let metrics = Arc::new(Metrics::new()?);
    let resolved = secrets::resolve(&config)?;
    let relay = Relay::open(&config, &resolved.secrets, Arc::clone(&metrics)).await?;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.run(relay.router(&config), metrics, shutdown.clone()));

    const TOKENS: &str = "/v1/operator/enrollment-tokens";
    let mut client = Client::new(&url, None)?;
    let signed_in = client.sign_in(&owner).await?;
    assert_eq!(signed_in.fleet_id, owner.fleet_id);
    let made = client.post(TOKENS, &json!({})).await?;
    let token = made["token"].as_str().unwrap_or_default();
    assert!(token.starts_with("ent_"), "{made}");
    client.sign_out().await?;
    let signed_out = client.post(TOKENS, &json!({})).await;
    assert!(matches!(
        signed_out,
        Err(ClientError::Refused(refused)) if refused.status == 401
    ));
    owner.password.push('x');
    match client.sign_in(&owner).await {
        Err(ClientError::Refused(refused)) if refused.status == 401 => {
            assert_eq!(refused.message, "invalid credentials");
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("signed in with a wrong password".into()),
    }

    relay.drain().await;
    shutdown.cancel();
    serving.await?;
    relay.shutdown().await;
    let gone = client.sign_in(&owner).await;
    assert!(matches!(gone, Err(ClientError::NoAnswer { .. })));
    Ok(())
}

#[test]
fn addresses_that_are_none_are_refused() {
    for bad in ["", "127.0.0.1:4000", "ftp://host", "http://"] {
        assert!(
            matches!(Client::new(bad, None), Err(ClientError::Url { .. })),
            "{bad:?}"
        );
    }
    let none = Client::new("http://localhost", Some(Path::new("/nowhere/ca.pem")));
    assert!(matches!(none, Err(ClientError::Certificates { .. })));
}

#[test]
fn made_passwords_are_long_and_differ() {
    let (one, two) = (make_password(), make_password());
    assert_ne!(one, two);
    assert_eq!(one.len(), GROUPS * GROUP_CHARS + GROUPS - 1);
    assert!(check_password(&one).is_ok());
    let mut letters = ALPHABET.to_vec();
    letters.sort_unstable();
    letters.dedup();
    assert_eq!(letters.len(), 32);
}

#[test]
fn what_an_owner_may_be_called() {
    for good in ["main", "A fleet of mine", &"x".repeat(120)] {
        assert!(check_fleet(good).is_ok(), "{good:?}");
    }
    for bad in ["", " main", "ma\nin", &"x".repeat(121)] {
        assert!(check_fleet(bad).is_err(), "{bad:?}");
    }
    for good in ["owner@localhost", "a.b+c@d.example"] {
        assert!(check_email(good).is_ok(), "{good:?}");
    }
    let long = format!("{}@h", "x".repeat(254));
    for bad in ["", "owner", "@host", "owner@", "o wner@host", &long] {
        assert!(check_email(bad).is_err(), "{bad:?}");
    }
    assert!(check_password("1234567").is_err() && check_password("12345678").is_ok());
    assert!(check_password(&"x".repeat(1025)).is_err());
}
