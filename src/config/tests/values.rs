//! What single settings come to.

use super::*;

#[test]
fn the_folder_of_the_old_database_serves_where_nothing_else_is_named() -> Test {
    let dir = tempfile::tempdir()?;
    let database = dir.path().join("ekho.db");
    let database = database.to_str().ok_or("path")?;
    let config = load(Path::new("/nowhere"), &[("EKHO_DB_PATH", database)])?;
    assert_eq!(config.data_dir, dir.path());
    assert_eq!(
        source(&config, "EKHO_DATA_DIR"),
        Some(Source::Derived("EKHO_DB_PATH"))
    );
    assert!(
        config.warnings.len() == 1 && !config.warnings[0].contains("SQLite"),
        "{:?}",
        config.warnings
    );

    fs::write(database, "SQLite format 3")?;
    let config = load(Path::new("/nowhere"), &[("EKHO_DB_PATH", database)])?;
    assert!(
        config.warnings[0].contains("left alone"),
        "{:?}",
        config.warnings
    );

    let config = load(Path::new("/nowhere"), &[("EKHO_DB_PATH", "ekho.db")])?;
    assert_eq!(config.data_dir, PathBuf::from("."));

    let both = [
        ("EKHO_DB_PATH", database),
        ("EKHO_DATA_DIR", "/var/lib/ekho"),
    ];
    let config = load(Path::new("/nowhere"), &both)?;
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/ekho"));
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    Ok(())
}

#[test]
fn seeds_reach_every_replicated_setting() -> Test {
    let dir = tempfile::tempdir()?;
    let defaults = load(dir.path(), &[])?;
    let seeds: Vec<&str> = defaults
        .entries
        .iter()
        .filter(|entry| entry.scope == Scope::Setup)
        .map(|entry| entry.variable)
        .collect();
    let environment: Vec<(&str, &str)> = seeds.iter().map(|variable| (*variable, "77")).collect();
    let changed = load(dir.path(), &environment)?.settings;
    let before = serde_json::to_value(&defaults.settings)?;
    let after = serde_json::to_value(&changed)?;
    let fields = before.as_object().ok_or("not an object")?;
    for (field, value) in fields {
        assert_ne!(Some(value), after.get(field), "no variable seeds {field}");
    }
    assert_eq!(fields.len(), seeds.len());
    assert_eq!(
        (changed.session_ms, changed.rate_max_messages),
        (77_000, 77)
    );

    let config = load(dir.path(), &[("EKHO_RETRY_BACKOFF_SECONDS", "1, 2,30")])?;
    assert_eq!(config.settings.retry_backoff_ms, [1000, 2000, 30_000]);
    fs::write(
        dir.path().join("ekho.toml"),
        "retry_backoff_seconds = [5, 6]",
    )?;
    assert_eq!(
        load(dir.path(), &[])?.settings.retry_backoff_ms,
        [5000, 6000]
    );
    for bad in ["1,,2", "a", "1,2592001", &vec!["1"; 33].join(",")] {
        assert_eq!(
            problems(load(dir.path(), &[("EKHO_RETRY_BACKOFF_SECONDS", bad)])).len(),
            1,
            "{bad}"
        );
    }
    Ok(())
}

#[test]
fn base_url_follows_the_listener() -> Test {
    let dir = tempfile::tempdir()?;
    let config = load(dir.path(), &[("EKHO_HOST", "0.0.0.0"), ("EKHO_PORT", "80")])?;
    assert_eq!(config.base_url, "http://127.0.0.1:80");
    assert!(
        config.warnings[0].contains("EKHO_BASE_URL"),
        "{:?}",
        config.warnings
    );
    let config = load(dir.path(), &[("EKHO_HOST", "[::1]")])?;
    assert_eq!(
        (config.host.as_str(), config.base_url.as_str()),
        ("::1", "http://[::1]:4000")
    );
    assert!(config.is_loopback() && config.names_an_address());
    assert!(!load(dir.path(), &[])?.names_an_address());
    let config = load(
        dir.path(),
        &[("EKHO_BASE_URL", "https://relay.example.org/ekho/")],
    )?;
    assert_eq!(config.base_url, "https://relay.example.org/ekho");
    Ok(())
}
