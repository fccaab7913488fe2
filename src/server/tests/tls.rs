//! TLS from files, renewed without a restart, and refused with the file's name.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::TlsPaths;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/server/testdata")
        .join(name)
}

fn put(dir: &Path, which: &str) -> Fallible<TlsPaths> {
    let paths = TlsPaths {
        cert: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    fs::copy(data(&format!("{which}-cert.pem")), &paths.cert)?;
    fs::copy(data(&format!("{which}-key.pem")), &paths.key)?;
    Ok(paths)
}

fn tls_config(paths: &TlsPaths) -> Fallible<Config> {
    let (cert, key) = (paths.cert.to_string_lossy(), paths.key.to_string_lossy());
    config(&[("EKHO_TLS_CERT_PATH", &cert), ("EKHO_TLS_KEY_PATH", &key)])
}

/// A client that trusts one certificate and keeps no connection.
fn client(trusted: &str) -> Fallible<reqwest::Client> {
    choose_crypto();
    let certificate = reqwest::Certificate::from_pem(&fs::read(data(trusted))?)?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([certificate]);
    Ok(client.pool_max_idle_per_host(0).timeout(DEADLINE).build()?)
}

#[tokio::test]
async fn certificates_are_served_and_renewed() -> Test {
    let dir = tempfile::tempdir()?;
    let paths = put(dir.path(), "first")?;
    let config = tls_config(&paths)?;
    let server = Server::bind(&config).await?;
    let tls = server.tls().ok_or("no TLS")?;
    // As `openssl x509 -enddate` says: 30 October 2126, 15:48:30 UTC.
    assert_eq!(tls.expires_seconds(), 4_949_048_910);
    let url = format!("https://{}/", server.address());
    let router = Router::new().route("/", get(|| async { "hello" }));
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.run(router, Arc::new(Metrics::new()?), shutdown.clone()));

    let (old, new) = (client("first-cert.pem")?, client("second-cert.pem")?);
    let answer = old.get(&url).send().await?;
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await?, "hello");
    assert!(
        new.get(&url).send().await.is_err(),
        "the other certificate is not served yet"
    );

    fs::write(&paths.cert, "garbage")?;
    assert!(matches!(
        tls.reload(),
        Err(TlsError::Missing {
            what: "certificate",
            ..
        })
    ));
    assert!(
        old.get(&url).send().await.is_ok(),
        "a failed renewal must not take the certificate away"
    );

    put(dir.path(), "second")?;
    tls.reload()?;
    assert_eq!(new.get(&url).send().await?.text().await?, "hello");
    assert!(
        old.get(&url).send().await.is_err(),
        "the old certificate is still served"
    );

    shutdown.cancel();
    Ok(tokio::time::timeout(DEADLINE, task).await??)
}

#[test]
fn only_what_was_not_read_before_is_read_again() -> Test {
    let dir = tempfile::tempdir()?;
    let paths = put(dir.path(), "first")?;
    let tls = Tls::load(paths.clone())?;
    let first = tls.acceptor();
    assert!(tls.reload_changed().is_none(), "nothing has changed");
    put(dir.path(), "first")?;
    assert!(tls.reload_changed().is_none(), "the same once more");

    // From the moment it was loaded: whoever looks later sees a renewal that came before.
    put(dir.path(), "second")?;
    assert!(matches!(tls.reload_changed(), Some(Ok(()))));
    let second = tls.acceptor();
    assert!(!Arc::ptr_eq(first.config(), second.config()));

    // What cannot be served is said once, and what is served stays.
    fs::remove_file(&paths.key)?;
    let Some(Err(error)) = tls.reload_changed() else {
        return Err("a file that is gone is not noticed".into());
    };
    assert!(
        matches!(error, TlsError::Io { .. }) && error.to_string().contains("key.pem"),
        "{error}"
    );
    assert!(tls.reload_changed().is_none(), "it is still gone");
    assert!(Arc::ptr_eq(second.config(), tls.acceptor().config()));
    put(dir.path(), "first")?;
    assert!(matches!(tls.reload_changed(), Some(Ok(()))));
    Ok(())
}

#[tokio::test]
async fn plain_text_and_silence_are_cut_off() -> Test {
    let dir = tempfile::tempdir()?;
    let config = tls_config(&put(dir.path(), "first")?)?;
    let running = start_with(
        Limits {
            header_timeout: SHORT,
            ..patient()
        },
        &config,
    )
    .await?;
    let mut plain = Client::connect(&running).await?;
    plain
        .send("GET /peer HTTP/1.1\r\nhost: test\r\n\r\n")
        .await?;
    plain.closed().await?;
    let mut silent = Client::connect(&running).await?;
    silent.closed().await?;
    until("both are counted", || running.cut("tls") == Some(2.0)).await?;
    running.stop().await
}

#[test]
fn unusable_files_are_named() -> Test {
    let dir = tempfile::tempdir()?;
    let mut paths = put(dir.path(), "first")?;
    fs::copy(data("second-key.pem"), &paths.key)?;
    let Err(error) = Tls::load(paths.clone()) else {
        return Err("keys of others are accepted".into());
    };
    assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
    fs::copy(&paths.cert, &paths.key)?;
    assert!(matches!(
        Tls::load(paths.clone()),
        Err(TlsError::Missing {
            what: "private key",
            ..
        })
    ));
    paths.key = dir.path().join("none.pem");
    let Err(error) = Tls::load(paths) else {
        return Err("a missing file is accepted".into());
    };
    assert!(
        matches!(error, TlsError::Io { .. }) && error.to_string().contains("none.pem"),
        "{error}"
    );
    Ok(())
}
