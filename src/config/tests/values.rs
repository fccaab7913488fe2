//! What single settings come to.

use ekho_storage::tables::approval::Risk;
use ekho_storage::tables::operator::Role;

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
        config.warnings[0].contains("left alone: `ekho import sqlite "),
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
    let other = |variable: &str| {
        if variable.ends_with("_RISKS") {
            "low"
        } else if variable.starts_with("EKHO_ATTACHMENT_") {
            "7777"
        } else {
            "77"
        }
    };
    let environment: Vec<(&str, &str)> = seeds
        .iter()
        .map(|variable| (*variable, other(variable)))
        .collect();
    let changed = load(dir.path(), &environment)?;
    let mut count = 0;
    for (before, after) in [
        (
            serde_json::to_value(&defaults.settings)?,
            serde_json::to_value(&changed.settings)?,
        ),
        (
            serde_json::to_value(&defaults.attachments)?,
            serde_json::to_value(&changed.attachments)?,
        ),
    ] {
        let fields = before.as_object().ok_or("not an object")?;
        for (field, value) in fields {
            assert_ne!(Some(value), after.get(field), "no variable seeds {field}");
        }
        count += fields.len();
    }
    assert_eq!(count, seeds.len());
    let changed = changed.settings;
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
    let config = load(dir.path(), &[("EKHO_APPROVAL_RISKS", "critical, low")])?;
    assert_eq!(config.settings.approval_risks, [Risk::Low, Risk::Critical]);
    let config = load(dir.path(), &[("EKHO_APPROVAL_RISKS", "none")])?;
    assert_eq!(config.settings.approval_risks, []);
    for bad in ["huge", "low,low", "low,,high"] {
        let found = problems(load(dir.path(), &[("EKHO_APPROVAL_RISKS", bad)]));
        assert_eq!(found.len(), 1, "{bad:?}");
    }
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

#[test]
fn an_openid_provider_is_named_whole() -> Test {
    let dir = tempfile::tempdir()?;
    assert!(load(dir.path(), &[])?.oidc.is_none());
    let basic = [
        ("EKHO_OIDC_ISSUER", "https://id.example.org/realms/a"),
        ("EKHO_OIDC_CLIENT_ID", "ekho"),
    ];
    let oidc = load(dir.path(), &basic)?.oidc.ok_or("no provider")?;
    assert_eq!(oidc.issuer, "https://id.example.org/realms/a");
    assert_eq!(
        (oidc.scopes.as_str(), oidc.claim.as_str()),
        ("openid email", "email")
    );
    assert!(oidc.default_role.is_none() && oidc.roles.is_empty());

    let more = [
        basic[0],
        basic[1],
        ("EKHO_OIDC_CLIENT_SECRET", "hush-hush"),
        ("EKHO_OIDC_ROLES", "owner=admins, viewer = all of us"),
        ("EKHO_OIDC_DEFAULT_ROLE", "operator"),
    ];
    let config = load(dir.path(), &more)?;
    assert!(!format!("{config:?}").contains("hush"));
    let oidc = config.oidc.ok_or("no provider")?;
    assert_eq!(oidc.default_role, Some(Role::Operator));
    let roles = vec![
        (Role::Owner, "admins".to_string()),
        (Role::Viewer, "all of us".to_string()),
    ];
    assert_eq!(oidc.roles, roles);

    for bad in [
        vec![basic[0]],
        vec![basic[1]],
        vec![("EKHO_OIDC_ISSUER", "http://id.example.org"), basic[1]],
        vec![("EKHO_OIDC_ISSUER", "https://id.example.org?x=1"), basic[1]],
        vec![("EKHO_OIDC_ISSUER", "https://a:b@id.example.org"), basic[1]],
        vec![basic[0], basic[1], ("EKHO_OIDC_ROLES", "king=admins")],
        vec![basic[0], basic[1], ("EKHO_OIDC_ROLES", "owner=")],
        vec![basic[0], basic[1], ("EKHO_OIDC_DEFAULT_ROLE", "king")],
    ] {
        assert!(!problems(load(dir.path(), &bad)).is_empty(), "{bad:?}");
    }
    let on_this_machine = [("EKHO_OIDC_ISSUER", "http://127.0.0.1:3000"), basic[1]];
    assert!(load(dir.path(), &on_this_machine)?.oidc.is_some());
    Ok(())
}

#[test]
fn a_tailnet_counts_through_a_proxy_only() -> Test {
    let dir = tempfile::tempdir()?;
    let config = load(
        dir.path(),
        &[
            ("EKHO_TRUSTED_PROXIES", "127.0.0.1, fd00::/8"),
            ("EKHO_OPERATOR_REQUIRE_TAILNET", "1"),
            ("EKHO_OPERATOR_TAILNET_USER", "Ada@Example.org,bob@github"),
        ],
    )?;
    assert!(config.tailnet.is_required && !config.tailnet.signs_in);
    assert_eq!(config.tailnet.users, ["ada@example.org", "bob@github"]);
    assert_eq!(
        shown(&config, "EKHO_TRUSTED_PROXIES").as_deref(),
        Some("127.0.0.1/32,fd00::/8")
    );
    for bad in [
        ("EKHO_TRUSTED_PROXIES", "localhost"),
        ("EKHO_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("EKHO_OPERATOR_REQUIRE_TAILNET", "1"),
        ("EKHO_OPERATOR_TAILNET_LOGIN", "1"),
        ("EKHO_OPERATOR_TAILNET_USER", "ada,,bob"),
    ] {
        assert_eq!(problems(load(dir.path(), &[bad])).len(), 1, "{bad:?}");
    }
    Ok(())
}
