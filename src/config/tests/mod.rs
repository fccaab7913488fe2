//! Precedence, sources, and the sentences for what is wrong.

mod values;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ekho_storage::tables::settings::Settings;

use super::{Config, ConfigError, Flags, LogFormat, Scope, Source};

type Test = Result<(), Box<dyn std::error::Error>>;

fn load(dir: &Path, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_with(&Flags::default(), dir, environment)
}

fn load_with(
    flags: &Flags,
    dir: &Path,
    environment: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let environment = environment
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::from_parts(flags, environment, dir)
}

fn problems(result: Result<Config, ConfigError>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(error) => error.problems,
    }
}

fn source(config: &Config, variable: &str) -> Option<Source> {
    config
        .entries
        .iter()
        .find(|entry| entry.variable == variable)
        .map(|entry| entry.source.clone())
}

fn shown(config: &Config, variable: &str) -> Option<String> {
    config
        .entries
        .iter()
        .find(|entry| entry.variable == variable)?
        .value
        .clone()
}

#[test]
fn nothing_set_gives_the_contract() -> Test {
    let dir = tempfile::tempdir()?;
    let config = load(dir.path(), &[("HOME", "/somewhere")])?;
    assert_eq!(config.data_dir, PathBuf::from("./data"));
    assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 4000));
    assert_eq!(config.base_url, "http://127.0.0.1:4000");
    assert_eq!(config.body_limit_bytes, 1 << 20);
    assert_eq!(config.header_timeout, Duration::from_secs(10));
    assert_eq!(config.max_connections, 10_000);
    assert_eq!(config.log_format, LogFormat::Pretty);
    assert_eq!(config.settings, Settings::default());
    assert!(
        config.tls.is_none() && config.operator_session_secret.is_none() && !config.dev_insecure
    );
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let set = config
        .entries
        .iter()
        .filter(|entry| entry.source != Source::Default);
    assert_eq!(
        set.map(|entry| entry.variable).collect::<Vec<_>>(),
        ["EKHO_BASE_URL"]
    );
    Ok(())
}

#[test]
fn flag_beats_environment_beats_file_beats_default() -> Test {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("ekho.toml");
    fs::write(
        &file,
        "port = 5001\nhost = \"10.0.0.1\"\nmax_connections = 7\n",
    )?;
    let flags = Flags {
        port: Some(5003),
        ..Flags::default()
    };
    let environment = [("EKHO_PORT", "5002"), ("EKHO_HOST", "10.0.0.2")];
    let config = load_with(&flags, dir.path(), &environment)?;
    assert_eq!(
        (config.port, config.host.as_str(), config.max_connections),
        (5003, "10.0.0.2", 7)
    );
    assert_eq!(source(&config, "EKHO_PORT"), Some(Source::Flag("--port")));
    assert_eq!(source(&config, "EKHO_HOST"), Some(Source::Environment));
    assert_eq!(
        source(&config, "EKHO_MAX_CONNECTIONS"),
        Some(Source::File(file))
    );
    assert_eq!(
        source(&config, "EKHO_BODY_LIMIT_BYTES"),
        Some(Source::Default)
    );
    assert_eq!(
        source(&config, "EKHO_BASE_URL"),
        Some(Source::Derived("host and port"))
    );
    assert_eq!(config.base_url, "http://10.0.0.2:5003");
    Ok(())
}

#[test]
fn a_standard_variable_stands_below_ours_and_above_the_file() -> Test {
    const STANDARD: (&str, &str) = ("OTEL_SERVICE_NAME", "of the standard");
    let named = |dir: &Path, environment: &[(&str, &str)]| {
        let config = load(dir, environment)?;
        let source = source(&config, "EKHO_OTLP_SERVICE_NAME");
        Ok::<_, ConfigError>((shown(&config, "EKHO_OTLP_SERVICE_NAME"), source))
    };
    let found = |name: &str, source| (Some(name.to_string()), Some(source));
    let dir = tempfile::tempdir()?;
    assert_eq!(named(dir.path(), &[])?, found("ekho", Source::Default));
    let file = dir.path().join("ekho.toml");
    fs::write(&file, "otlp_service_name = \"of the file\"\n")?;
    assert_eq!(
        named(dir.path(), &[])?,
        found("of the file", Source::File(file))
    );
    assert_eq!(
        named(dir.path(), &[STANDARD])?,
        found("of the standard", Source::Derived(STANDARD.0))
    );
    let ours = ("EKHO_OTLP_SERVICE_NAME", "ours");
    assert_eq!(
        named(dir.path(), &[STANDARD, ours])?,
        found("ours", Source::Environment)
    );
    Ok(())
}

#[test]
fn the_file_is_looked_for_in_three_places() -> Test {
    let dir = tempfile::tempdir()?;
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir)?;
    fs::write(data_dir.join("ekho.toml"), "port = 3")?;
    assert_eq!(load(dir.path(), &[])?.port, 3);
    fs::write(dir.path().join("ekho.toml"), "port = 2")?;
    assert_eq!(load(dir.path(), &[])?.port, 2);
    let named = dir.path().join("named.toml");
    fs::write(
        &named,
        "port = 1\ntls_cert_path = \"tls/cert.pem\"\ntls_key_path = \"/k.pem\"",
    )?;
    let config = load(dir.path(), &[("EKHO_CONFIG", &named.to_string_lossy())])?;
    assert_eq!(config.port, 1);
    assert_eq!(
        shown(&config, "EKHO_CONFIG"),
        named.to_str().map(str::to_string)
    );
    let tls = config.tls.ok_or("no tls")?;
    assert_eq!(
        (tls.cert, tls.key),
        (dir.path().join("tls/cert.pem"), PathBuf::from("/k.pem"))
    );
    assert_eq!(config.base_url, "https://127.0.0.1:1");

    let missing = problems(load(dir.path(), &[("EKHO_CONFIG", "/nowhere/ekho.toml")]));
    assert_eq!(
        missing,
        ["EKHO_CONFIG names /nowhere/ekho.toml, which is not there"]
    );
    Ok(())
}

#[test]
fn a_file_in_the_data_directory_cannot_move_it() -> Test {
    let dir = tempfile::tempdir()?;
    let environment = [("EKHO_DATA_DIR", dir.path().to_str().ok_or("path")?)];
    let elsewhere = tempfile::tempdir()?;
    fs::write(dir.path().join("ekho.toml"), "data_dir = \".\"")?;
    assert!(load(elsewhere.path(), &environment).is_ok());
    fs::write(dir.path().join("ekho.toml"), "data_dir = \"..\"")?;
    let problems = problems(load(elsewhere.path(), &environment));
    assert!(
        problems.len() == 1 && problems[0].contains("leave it out"),
        "{problems:?}"
    );
    Ok(())
}

#[test]
fn every_mistake_is_named_with_what_is_allowed() -> Test {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("ekho.toml");
    fs::write(
        &file,
        "max_connections = 0\nretry_backoff_seconds = [1, \"x\"]\n[server]\nport = 1\n",
    )?;
    let problems = problems(load(
        dir.path(),
        &[
            ("EKHO_PORT", "70000"),
            ("EKHO_HOST", "a b"),
            ("EKHO_BASE_URL", "relay.example.org"),
            ("EKHO_LOG", "ekho=loud=very"),
            ("EKHO_LOG_FORMAT", "xml"),
            ("EKHO_DEV_INSECURE", "maybe"),
            ("EKHO_DELIVERY_TIMEOUT_SECONDS", "-1"),
            ("EKHO_TLS_KEY_PATH", "key.pem"),
        ],
    ));
    let file = file.display();
    for expected in [
        "EKHO_PORT is \"70000\": a whole number from 0 to 65535 is allowed".to_string(),
        "EKHO_HOST is \"a b\": an IP address or a host name, without a port, is allowed"
            .to_string(),
        "EKHO_LOG_FORMAT is \"xml\": pretty or json is allowed".to_string(),
        "EKHO_DEV_INSECURE is \"maybe\": 1, true, 0 or false is allowed".to_string(),
        "EKHO_DELIVERY_TIMEOUT_SECONDS is \"-1\": a whole number from 1 to 86400 is allowed"
            .to_string(),
        "EKHO_TLS_KEY_PATH is set and EKHO_TLS_CERT_PATH is not: both or neither".to_string(),
        format!("max_connections in {file} is \"0\": a whole number from 1 to 1000000 is allowed"),
        format!("server in {file}: text, a number, true, false or a list of numbers is allowed"),
        format!(
            "retry_backoff_seconds in {file}: text, a number, true, false or a list of numbers is allowed"
        ),
    ] {
        assert!(
            problems.contains(&expected),
            "{expected:?} is not among {problems:#?}"
        );
    }
    for variable in ["EKHO_BASE_URL", "EKHO_LOG "] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(variable)),
            "{variable}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 11, "{problems:#?}");
    Ok(())
}

#[test]
fn a_broken_file_does_not_leak_its_secrets() -> Test {
    let dir = tempfile::tempdir()?;
    fs::write(
        dir.path().join("ekho.toml"),
        "port = 1\nmaster_secret = \"hunter2\n",
    )?;
    let problems = problems(load(dir.path(), &[]));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].contains("line 2") && !problems[0].contains("hunter2"),
        "{problems:?}"
    );
    Ok(())
}

#[test]
fn a_variable_that_is_not_text_is_a_problem() -> Test {
    let dir = tempfile::tempdir()?;
    let environment = [(OsString::from("EKHO_HOST"), OsString::from_vec(vec![0xff]))];
    let result = Config::from_parts(&Flags::default(), environment, dir.path());
    assert_eq!(problems(result), ["EKHO_HOST is not UTF-8 text"]);
    Ok(())
}

#[test]
fn secrets_are_never_shown() -> Test {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("ekho.toml");
    fs::write(&file, "master_secret = \"master-hunter2\"")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let environment = [("EKHO_OPERATOR_SESSION_SECRET", "session-hunter2")];
    let config = load(dir.path(), &environment)?;
    assert_eq!(
        config.operator_session_secret.as_ref().map(|s| s.as_str()),
        Some("session-hunter2")
    );
    assert_eq!(
        config.master_secret.as_ref().map(|s| s.as_str()),
        Some("master-hunter2")
    );
    assert_eq!(
        shown(&config, "EKHO_MASTER_SECRET").as_deref(),
        Some("********")
    );
    let everything = format!(
        "{config:?} {} {:?}",
        serde_json::to_string(&config.entries)?,
        config.warnings
    );
    assert!(!everything.contains("hunter2"), "{everything}");
    assert!(
        config
            .warnings
            .iter()
            .any(|warning| warning.contains("chmod 600")),
        "{:?}",
        config.warnings
    );

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    assert!(load(dir.path(), &environment)?.warnings.is_empty());
    Ok(())
}

#[test]
fn unknown_and_unused_variables_warn() -> Test {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("ekho.toml"), "prot = 1\n")?;
    let environment = [
        ("EKHO_SWEEP_INTERVAL_MS", "30000"),
        ("EKHO_SHIELDCORTEX_PATH", "x"),
        ("EKHO_NO_SUCH", "x"),
        ("EKHO_TOKEN", "x"),
        ("EKHO_PORT", ""),
    ];
    let config = load(dir.path(), &environment)?;
    assert_eq!(config.port, 4000, "an empty variable counts as unset");
    let expected = [
        "EKHO_NO_SUCH is not a setting of this relay and is ignored".to_string(),
        "EKHO_SHIELDCORTEX_PATH is accepted and has no effect: extensions are hooks here: run the example content-scanner and register it, as docs/hooks.md says".to_string(),
        "EKHO_SWEEP_INTERVAL_MS is accepted and has no effect: nothing is swept here: what is due happens when it is due".to_string(),
        format!("prot in {} is not a setting of this relay and is ignored", dir.path().join("ekho.toml").display()),
    ];
    assert_eq!(config.warnings, expected);
    Ok(())
}
