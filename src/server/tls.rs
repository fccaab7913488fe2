//! TLS from a certificate and a key in files, which can be read again while the relay runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use yasna::models::{GeneralizedTime, UTCTime};
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, Tag, parse_der};
use zeroize::Zeroizing;

use crate::config::TlsPaths;

/// Why TLS cannot be served. Each names the file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
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
    /// In seconds since 1970.
    expires_seconds: AtomicI64,
    /// What was read last, whether it can be served or not: what does not fit is tried again once
    /// it has changed once more.
    seen: Mutex<Seen>,
}

/// Hashes of certificate and key, none of a file that cannot be read.
type Seen = [Option<[u8; 32]>; 2];

impl Tls {
    /// Reads certificate and key and checks that they belong together.
    pub fn load(paths: TlsPaths) -> Result<Self, TlsError> {
        let files = Files::read(&paths);
        let seen = files.seen();
        let (config, expires_seconds) = files.usable(&paths)?;
        Ok(Tls {
            paths,
            config: ArcSwap::from_pointee(config),
            expires_seconds: AtomicI64::new(expires_seconds),
            seen: Mutex::new(seen),
        })
    }

    /// Reads the files again, for connections from now on. After a failure the old ones stay.
    /// Blocks while they are read.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.serve(Files::read(&self.paths))
    }

    /// The same, where they have changed since they were read last; none where they have not.
    pub fn reload_changed(&self) -> Option<Result<(), TlsError>> {
        let files = Files::read(&self.paths);
        let is_changed = files.seen() != *self.seen.lock();
        is_changed.then(|| self.serve(files))
    }

    fn serve(&self, files: Files) -> Result<(), TlsError> {
        *self.seen.lock() = files.seen();
        let (config, expires_seconds) = files.usable(&self.paths)?;
        self.config.store(Arc::new(config));
        self.expires_seconds
            .store(expires_seconds, Ordering::Relaxed);
        Ok(())
    }

    /// Until when the certificate is valid, in seconds since 1970.
    pub fn expires_seconds(&self) -> i64 {
        self.expires_seconds.load(Ordering::Relaxed)
    }

    /// For one connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

/// Certificate and key as they were read, once: what is served is what was hashed.
struct Files {
    cert: io::Result<Vec<u8>>,
    key: io::Result<Zeroizing<Vec<u8>>>,
}

impl Files {
    fn read(paths: &TlsPaths) -> Self {
        Files {
            cert: std::fs::read(&paths.cert),
            key: std::fs::read(&paths.key).map(Zeroizing::new),
        }
    }

    fn seen(&self) -> Seen {
        let hash = |bytes: &[u8]| Sha256::digest(bytes).into();
        [
            self.cert.as_ref().ok().map(|bytes| hash(bytes)),
            self.key.as_ref().ok().map(|bytes| hash(bytes)),
        ]
    }

    /// What serves TLS with them, and until when the first certificate is valid.
    fn usable(self, paths: &TlsPaths) -> Result<(ServerConfig, i64), TlsError> {
        let unreadable = |path: &Path, source| TlsError::Io {
            path: path.to_path_buf(),
            source,
        };
        let missing = |path: &Path, what| TlsError::Missing {
            path: path.to_path_buf(),
            what,
        };
        let unusable = |source| TlsError::Unusable {
            paths: paths.clone(),
            source,
        };
        let cert = self.cert.map_err(|error| unreadable(&paths.cert, error))?;
        let key = self.key.map_err(|error| unreadable(&paths.key, error))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert)
            .collect::<Result<_, _>>()
            .map_err(|_| missing(&paths.cert, "certificate"))?;
        let expires_seconds = chain
            .first()
            .and_then(expires_seconds)
            .ok_or_else(|| missing(&paths.cert, "certificate"))?;
        let key =
            PrivateKeyDer::from_pem_slice(&key).map_err(|_| missing(&paths.key, "private key"))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((config, expires_seconds))
    }
}

/// Until when a certificate is valid (RFC 5280 4.1); none where it is no certificate.
fn expires_seconds(certificate: &CertificateDer<'_>) -> Option<i64> {
    let read = parse_der(certificate, |reader| {
        reader.read_sequence(|certificate| {
            let expires = certificate.next().read_sequence(|fields| {
                // The version, the serial number, the algorithm, the issuer.
                fields.read_optional(|reader| {
                    reader.read_tagged(Tag::context(0), |version| version.read_u8())
                })?;
                for _ in 0..3 {
                    fields.next().read_der()?;
                }
                let expires = fields.next().read_sequence(|validity| {
                    validity.next().read_der()?;
                    time(validity.next())
                })?;
                // The subject, its key, and more.
                while fields.read_optional(|reader| reader.read_der())?.is_some() {}
                Ok(expires)
            })?;
            certificate.next().read_der()?;
            certificate.next().read_der()?;
            Ok(expires)
        })
    });
    read.ok()
}

/// Until 2049 in one form, later in another.
fn time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    match reader.lookahead_tag()? {
        TAG_UTCTIME => {
            let time: UTCTime = reader.read_utctime()?;
            Ok(time.datetime().unix_timestamp())
        }
        _ => {
            let time: GeneralizedTime = reader.read_generalized_time()?;
            Ok(time.datetime().unix_timestamp())
        }
    }
}
