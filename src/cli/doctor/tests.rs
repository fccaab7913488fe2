//! Findings for directories and ports in every condition.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::Flags;

type Test = Result<(), Box<dyn std::error::Error>>;

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

fn of<'a>(findings: &'a [Finding], check: &str) -> Option<&'a Finding> {
    findings.iter().find(|finding| finding.check == check)
}

fn status(findings: &[Finding], check: &str) -> Option<Status> {
    of(findings, check).map(|finding| finding.status)
}

#[test]
fn a_directory_in_order() -> Test {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700))?;
    let findings = directory::look(&config(dir.path(), &[("EKHO_DISK_FREE_MIN_BYTES", "0")])?);
    assert_eq!(
        status(&findings, "data directory"),
        Some(Status::Ok),
        "{findings:?}"
    );
    assert_eq!(
        status(&findings, "disk room"),
        Some(Status::Ok),
        "{findings:?}"
    );
    let sync = of(&findings, "sync time").ok_or("no sync time")?;
    assert!(sync.found.contains(" ms in the middle"), "{sync:?}");
    assert_eq!(
        fs::read_dir(dir.path())?.count(),
        0,
        "the scratch file was left"
    );
    Ok(())
}

#[test]
fn a_directory_open_to_others_missing_or_full() -> Test {
    let dir = tempfile::tempdir()?;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    let full = [("EKHO_DISK_FREE_MIN_BYTES", "1125899906842624")];
    let findings = directory::look(&config(dir.path(), &full)?);
    let rights = of(&findings, "data directory").ok_or("no rights")?;
    assert_eq!(rights.status, Status::Warn);
    assert!(
        rights
            .mend
            .as_deref()
            .is_some_and(|mend| mend.starts_with("chmod 700")),
        "{rights:?}"
    );
    assert_eq!(
        status(&findings, "disk room"),
        Some(Status::Fail),
        "{findings:?}"
    );

    let missing = directory::look(&config(&dir.path().join("not/there"), &[])?);
    assert_eq!(
        status(&missing, "data directory"),
        Some(Status::Warn),
        "{missing:?}"
    );
    assert!(of(&missing, "disk room").is_some() && of(&missing, "sync time").is_none());

    let file = dir.path().join("file");
    fs::write(&file, "")?;
    let not_a_directory = directory::look(&config(&file, &[])?);
    assert_eq!(
        status(&not_a_directory, "data directory"),
        Some(Status::Fail)
    );
    Ok(())
}

#[test]
fn secrets_and_configuration() -> Test {
    let dir = tempfile::tempdir()?;
    let bare = config(dir.path(), &[("EKHO_NO_SUCH", "1")])?;
    assert_eq!(
        status(&machine::secrets(&bare), "secrets"),
        Some(Status::Fail)
    );
    assert_eq!(
        status(&machine::configuration(&bare), "configuration"),
        Some(Status::Warn)
    );
    crate::secrets::ensure(&bare)?;
    assert_eq!(
        status(&machine::secrets(&bare), "secrets"),
        Some(Status::Ok)
    );
    fs::set_permissions(
        crate::secrets::path(dir.path()),
        Permissions::from_mode(0o644),
    )?;
    assert_eq!(
        status(&machine::secrets(&bare), "secrets"),
        Some(Status::Fail)
    );
    assert!(machine::tls(&bare).is_none());
    let open = config(dir.path(), &[("EKHO_HOST", "0.0.0.0")])?;
    assert_eq!(
        machine::tls(&open).map(|finding| finding.status),
        Some(Status::Warn)
    );
    let no_files = [
        ("EKHO_TLS_CERT_PATH", "/nowhere/c.pem"),
        ("EKHO_TLS_KEY_PATH", "/nowhere/k.pem"),
    ];
    let tls = machine::tls(&config(dir.path(), &no_files)?).ok_or("nothing said of TLS")?;
    assert!(
        tls.status == Status::Fail && tls.found.contains("/nowhere/c.pem"),
        "{tls:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_free_or_taken() -> Test {
    crate::server::choose_crypto();
    let dir = tempfile::tempdir()?;
    let holder = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = holder.local_addr()?.port().to_string();
    let config = config(dir.path(), &[("EKHO_PORT", &port)])?;
    // It accepts and answers with something that no relay says.
    let other = std::thread::spawn(move || -> std::io::Result<()> {
        for _ in 0..2 {
            let (mut stream, _) = holder.accept()?;
            std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            )?;
        }
        Ok(())
    });
    let taken = relay::port(&config).await;
    assert_eq!(taken.status, Status::Fail, "{taken:?}");
    other.join().map_err(|_| "the other program panicked")??;
    let free = relay::port(&config).await;
    assert_eq!(free.status, Status::Ok, "{free:?}");
    Ok(())
}

#[test]
fn the_report_names_each_check_and_how_to_mend_it() -> Test {
    let findings = [
        Finding::ok("clock", "plausible"),
        Finding::warn("disk room", "little", "free some"),
        Finding::fail("port", "taken", "choose another"),
    ];
    let report = render(&findings);
    assert!(report.contains("OK    clock      plausible"), "{report}");
    assert!(report.contains("FAIL  port       taken"), "{report}");
    assert!(report.contains("-> choose another"), "{report}");
    assert!(
        report.ends_with("1 in order, 1 to look at, 1 to mend"),
        "{report}"
    );
    let json = serde_json::to_value(&findings)?;
    assert_eq!(
        (&json[2]["status"], &json[0]["mend"]),
        (&"FAIL".into(), &serde_json::Value::Null)
    );
    Ok(())
}
