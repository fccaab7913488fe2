//! TLS from a certificate and a key in files, which can be read again while the relay runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsPaths;

/// Why TLS cannot be served. Each names the file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not hold what it should.
    #[error("{path} holds no {what} in PEM form", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// Certificate and key do not make a server.
    #[error("{cert} and {key}: {source}", cert = paths.cert.display(), key = paths.key.display())]
    Unusable {
        /// The files.
        paths: TlsPaths,
        /// What does not fit.
        source: rustls::Error,
    },
}

/// The certificate in use, and where it came from.
pub struct Tls {
    paths: TlsPaths,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads certificate and key and checks that they belong together.
    pub fn load(paths: TlsPaths) -> Result<Self, TlsError> {
        let config = read(&paths)?;
        Ok(Tls {
            paths,
            config: ArcSwap::from_pointee(config),
        })
    }

    /// Reads the files again, for connections from now on. After a failure the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(read(&self.paths)?));
        Ok(())
    }

    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(paths: &TlsPaths) -> Result<ServerConfig, TlsError> {
    let unusable = |source| TlsError::Unusable {
        paths: paths.clone(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(&paths.cert)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .map_err(|error| refused(&paths.cert, "certificate", error))?;
    if chain.is_empty() {
        return Err(TlsError::Missing {
            path: paths.cert.clone(),
            what: "certificate",
        });
    }
    let key = PrivateKeyDer::from_pem_file(&paths.key)
        .map_err(|error| refused(&paths.key, "private key", error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn refused(path: &Path, what: &'static str, error: pem::Error) -> TlsError {
    let path = path.to_path_buf();
    match error {
        pem::Error::Io(source) => TlsError::Io { path, source },
        _ => TlsError::Missing { path, what },
    }
}
