//! The settings of a node, read at each start: where the file is, and each value with its limits.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entry::{Scope, Source};
use super::loader::{Loader, Spec};
use super::{
    Config, LicenseConfig, LogFormat, TlsPaths, a2a, cluster, oidc, operators, otlp, parse, seeds,
};

const MIB: u64 = 1 << 20;
const TAILSCALED_SOCKET: &str = "/var/run/tailscale/tailscaled.sock";

/// Finds and reads the file, if there is one.
pub(super) fn read_file(loader: &mut Loader, working_dir: &Path) {
    let spec = node("EKHO_CONFIG", "the TOML file that settings are read from");
    if let Some(path) = loader.path(spec) {
        if !loader.read_file(&path) {
            let problem = format!("EKHO_CONFIG names {}, which is not there", path.display());
            loader.problems.push(problem);
        }
        return;
    }
    let data_dir = loader.early("EKHO_DATA_DIR").map(PathBuf::from);
    let data_dir = data_dir.or_else(|| loader.early("EKHO_DB_PATH").map(|path| folder_of(&path)));
    let data_dir = data_dir.unwrap_or_else(|| working_dir.join("data"));
    let (here, there) = (working_dir.join("ekho.toml"), data_dir.join("ekho.toml"));
    if loader.read_file(&here) {
        return loader.fill(spec.variable, here.display().to_string(), Source::Default);
    }
    if !loader.read_file(&there) {
        return;
    }
    // A file inside the data directory cannot move the data directory.
    if let Some(named) = loader.in_file("EKHO_DATA_DIR")
        && data_dir.join(named).canonicalize().ok() != data_dir.canonicalize().ok()
    {
        loader.problems.push(format!(
            "data_dir in {} names another directory than the one the file is in; leave it out",
            there.display()
        ));
    }
    loader.fill(spec.variable, there.display().to_string(), Source::Default);
}

/// The folder of the original relay's database file.
fn folder_of(db_path: &str) -> PathBuf {
    match Path::new(db_path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn node(variable: &'static str, about: &'static str) -> Spec {
    Spec {
        variable,
        scope: Scope::Node,
        about,
    }
}

fn data_dir(loader: &mut Loader) -> PathBuf {
    const VARIABLE: &str = "EKHO_DATA_DIR";
    let named = loader.path(node(VARIABLE, "where everything is stored"));
    let db_path = loader.path(node(
        "EKHO_DB_PATH",
        "of the original relay; its folder is the data directory where EKHO_DATA_DIR is not set",
    ));
    if let Some(named) = named {
        return named;
    }
    let Some(db_path) = db_path else {
        let default = PathBuf::from("./data");
        loader.fill(VARIABLE, default.display().to_string(), Source::Default);
        return default;
    };
    let folder = folder_of(&db_path.to_string_lossy());
    loader.fill(
        VARIABLE,
        folder.display().to_string(),
        Source::Derived("EKHO_DB_PATH"),
    );
    let mut warning = format!(
        "EKHO_DATA_DIR is not set; using the folder of EKHO_DB_PATH, {}, as data directory",
        folder.display()
    );
    if db_path.is_file() {
        warning.push_str(&format!(
            "; the SQLite file {0} is left alone: `ekho import sqlite {0}` takes its fleet over",
            db_path.display()
        ));
    }
    loader.warnings.push(warning);
    folder
}

fn tls(loader: &mut Loader) -> Option<TlsPaths> {
    let cert = loader.path(node(
        "EKHO_TLS_CERT_PATH",
        "PEM certificate chain to serve TLS with",
    ));
    let key = loader.path(node(
        "EKHO_TLS_KEY_PATH",
        "PEM private key to serve TLS with",
    ));
    match (cert, key) {
        (Some(cert), Some(key)) => Some(TlsPaths { cert, key }),
        (None, None) => None,
        (cert, _) => {
            let (set, unset) = match cert {
                Some(_) => ("EKHO_TLS_CERT_PATH", "EKHO_TLS_KEY_PATH"),
                None => ("EKHO_TLS_KEY_PATH", "EKHO_TLS_CERT_PATH"),
            };
            loader
                .problems
                .push(format!("{set} is set and {unset} is not: both or neither"));
            None
        }
    }
}

fn license(loader: &mut Loader) -> LicenseConfig {
    let license = LicenseConfig {
        key: loader.secret(node(
            "EKHO_LICENSE_KEY",
            "the licence; without one this is the free tier",
        )),
        path: loader.path(node("EKHO_LICENSE_PATH", "the file that holds the licence")),
        public_key_path: loader.path(node(
            "EKHO_LICENSE_PUBLIC_KEY_PATH",
            "PEM public key to check licences with, in place of the built-in one",
        )),
    };
    if license.key.is_some() && license.path.is_some() {
        let warning = "EKHO_LICENSE_KEY and EKHO_LICENSE_PATH are both set: the key counts";
        loader.warnings.push(warning.into());
    }
    license
}

fn base_url(loader: &mut Loader, host: &str, port: u16, is_tls: bool) -> String {
    const VARIABLE: &str = "EKHO_BASE_URL";
    let spec = node(
        VARIABLE,
        "how agents reach the relay; told to them at enrolment",
    );
    if let Some(url) = loader.optional(spec, parse::base_url, String::clone) {
        return url;
    }
    let address = host.parse::<IpAddr>();
    let is_wildcard = address
        .as_ref()
        .is_ok_and(|address| address.is_unspecified());
    let host = match address {
        _ if is_wildcard => "127.0.0.1".to_string(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_string(),
    };
    let url = format!("{}://{host}:{port}", if is_tls { "https" } else { "http" });
    loader.fill(VARIABLE, url.clone(), Source::Derived("host and port"));
    if is_wildcard {
        loader.warnings.push(format!(
            "EKHO_BASE_URL is not set: agents are told {url}, which only this machine can reach"
        ));
    }
    url
}

pub(super) fn read_settings(loader: &mut Loader) -> Config {
    let data_dir = data_dir(loader);
    let spec = node(
        "EKHO_HOST",
        "address to listen on; `tailscale` for the machine's address in its tailnet",
    );
    let host = loader.value(spec, "127.0.0.1".to_string(), parse::host, String::clone);
    let mut size = |variable, default, range, about| {
        seeds::number(loader, node(variable, about), default, range)
    };
    let port = size(
        "EKHO_PORT",
        4000,
        0..=65_535,
        "port to listen on; 0 takes a free one",
    ) as u16;
    let body_limit_bytes = size(
        "EKHO_BODY_LIMIT_BYTES",
        MIB,
        1024..=256 * MIB,
        "largest body of a request; a larger one is answered 413",
    ) as usize;
    let header_timeout_seconds = size(
        "EKHO_HEADER_TIMEOUT_SECONDS",
        10,
        1..=600,
        "longest time for the head of a request to arrive",
    );
    let idle_timeout_seconds = size(
        "EKHO_IDLE_TIMEOUT_SECONDS",
        75,
        1..=86_400,
        "longest time a connection may lie idle between requests",
    );
    let shutdown_timeout_seconds = size(
        "EKHO_SHUTDOWN_TIMEOUT_SECONDS",
        30,
        1..=600,
        "longest time requests in flight may take to finish at shutdown",
    );
    let max_connections = size(
        "EKHO_MAX_CONNECTIONS",
        10_000,
        1..=1_000_000,
        "connections at once; further ones are answered 503",
    ) as usize;
    let disk_free_min_bytes = size(
        "EKHO_DISK_FREE_MIN_BYTES",
        256 * MIB,
        0..=1 << 50,
        "free bytes of the disk below which writes are answered 503",
    );
    let block_cache_bytes = size(
        "EKHO_BLOCK_CACHE_BYTES",
        64 * MIB,
        MIB..=1 << 40,
        "memory for what is read from the state",
    ) as usize;
    let write_buffer_bytes = size(
        "EKHO_WRITE_BUFFER_BYTES",
        64 * MIB,
        4 * MIB..=1 << 36,
        "memory for what is written to the state and not yet flushed",
    ) as usize;
    let tls = tls(loader);
    let base_url = base_url(loader, &host, port, tls.is_some());
    let operator_session_secret = loader.secret(node(
        "EKHO_OPERATOR_SESSION_SECRET",
        "keys the operators' sessions; made by ekho setup where it is not set",
    ));
    let master_secret = loader.secret(node(
        "EKHO_MASTER_SECRET",
        "seals agents' keys on disk; made by ekho setup where it is not set",
    ));
    let next_master_secret = loader.secret(node(
        "EKHO_NEXT_MASTER_SECRET",
        "the master secret to come, while it is changed; ekho secrets next keeps it in secrets.toml",
    ));
    let cluster = cluster::load(loader, &host);
    let license = license(loader);
    let spec = node(
        "EKHO_DEV_INSECURE",
        "start with weak or missing secrets; never in production",
    );
    let dev_insecure = loader.value(spec, false, parse::switch, bool::to_string);
    let spec = node("EKHO_LOG_FORMAT", "how log lines look: pretty or json");
    let log_format = loader.value(spec, LogFormat::Pretty, log_format, |format| match format {
        LogFormat::Pretty => "pretty".into(),
        LogFormat::Json => "json".into(),
    });
    let spec = node(
        "EKHO_LOG",
        "which log lines are written: a level, or TARGET=LEVEL pairs",
    );
    let log_filter = loader.value(
        spec,
        "info,openraft=error".to_string(),
        parse::log_filter,
        String::clone,
    );
    let otlp = otlp::load(loader);
    let (proxies, tailnet) = operators::load(loader);
    let spec = node(
        "EKHO_TAILSCALED_SOCKET",
        "socket of tailscaled, which is asked for the machine's address and name",
    );
    let socket = loader.path(spec);
    let tailscaled_socket = socket.unwrap_or_else(|| {
        let default = PathBuf::from(TAILSCALED_SOCKET);
        loader.fill(spec.variable, TAILSCALED_SOCKET.into(), Source::Default);
        default
    });
    let oidc = oidc::load(loader);
    let (a2a, outbound_networks) = a2a::load(loader);
    let spec = node(
        "EKHO_ATTACHMENT_UPLOADS",
        "uploads that this node takes in at once; further ones are answered 503",
    );
    let attachment_uploads = seeds::number(loader, spec, 8, 1..=1000) as usize;
    let settings = seeds::load(loader);
    let attachments = seeds::load_attachments(loader);
    loader.finish();
    Config {
        data_dir,
        host,
        port,
        base_url,
        tls,
        dev_insecure,
        operator_session_secret,
        master_secret,
        next_master_secret,
        oidc,
        proxies,
        tailnet,
        tailscaled_socket,
        a2a,
        outbound_networks,
        body_limit_bytes,
        header_timeout: Duration::from_secs(header_timeout_seconds),
        idle_timeout: Duration::from_secs(idle_timeout_seconds),
        shutdown_timeout: Duration::from_secs(shutdown_timeout_seconds),
        max_connections,
        cluster,
        license,
        log_format,
        log_filter,
        otlp,
        disk_free_min_bytes,
        block_cache_bytes,
        write_buffer_bytes,
        settings,
        attachments,
        attachment_uploads,
        entries: std::mem::take(&mut loader.entries),
        warnings: std::mem::take(&mut loader.warnings),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("pretty or json is allowed".into()),
    }
}
