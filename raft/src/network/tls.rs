//! Who nodes are to each other: a certificate authority made from the cluster's secret, and the
//! certificates that nodes present.
//!
//! Every node holds the secret, as it could not open what is sealed with it otherwise, so every
//! node makes its own certificate and makes it anew long before it ends. A certificate names the
//! node and the cluster; who connects asks for that name, and who is connected to checks the name
//! that is claimed. Certificates are valid from well before they were made, as clocks differ.
//!
//! While the secret of a cluster is changed, nodes hold two and believe the authorities of both.
//! Each end says which ones it believes, so that a node with both shows the certificate that the
//! other end takes, whichever secrets that holds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::types::NodeId;

/// The only protocol spoken between nodes.
const ALPN: &[u8] = b"ekho/1";
/// A certificate is valid from this long before it was made until this long after.
const VALID_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
const VALID_AFTER: Duration = Duration::from_secs(60 * 24 * 3600);
/// The name every node has besides its own: what a node that knows no other name asks for.
const ANY_NODE: &str = "any.node.ekho";
/// The name of a node that holds the secret and has no number yet.
const JOINING: &str = "joining.node.ekho";
/// PKCS #8 of an Ed25519 key, up to its 32 bytes (RFC 8410, section 7).
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A key or certificate could not be made.
    #[error("node certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("node certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// The names or roots do not fit.
    #[error("node certificate: {0}")]
    Verifier(String),
}

/// The cluster's certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// The authority that `seed` gives, on every node the same.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, TlsError> {
        let mut pkcs8 = ED25519_PKCS8.to_vec();
        pkcs8.extend_from_slice(seed);
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        let key = KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)?;
        let fingerprint = Sha256::digest(key.public_key_raw()).into();
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(4096, 1, 1);
        params.serial_number = Some(SerialNumber::from(1u64));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Ekho node authority");
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            certificate,
            fingerprint,
        })
    }

    /// SHA-256 of its public key: by it a node that has no secret yet knows whom it talks to.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// By what one end tells the other that it believes this authority. It is not the name in the
    /// certificate, which is the same for all of them.
    fn hint(&self) -> DistinguishedName {
        hint(&self.fingerprint)
    }

    fn issue(&self, names: &[String], now_ms: u64) -> Result<CertifiedKey, TlsError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(now_ms);
        params.not_before = now - VALID_BEFORE;
        params.not_after = now + VALID_AFTER;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if let Some(name) = names.first() {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate, self.certificate.clone()];
        Ok(CertifiedKey::from_der(chain, der, &provider())?)
    }
}

fn hint(fingerprint: &[u8; 32]) -> DistinguishedName {
    DistinguishedName::in_sequence(fingerprint)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The name of a node, which only its certificate carries.
fn node_name(cluster_id: &str, node_id: NodeId) -> String {
    // Names have hyphens where ids have underscores.
    let cluster = cluster_id.replace('_', "-").to_ascii_lowercase();
    format!("node-{node_id}.{cluster}.ekho")
}

fn server_name(name: String) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name).map_err(|error| TlsError::Verifier(error.to_string()))
}

/// Certificates that are replaced while they are in use, one an authority: the present one first,
/// then the next one.
#[derive(Debug)]
struct Presented(Vec<(DistinguishedName, ArcSwap<CertifiedKey>)>);

impl Presented {
    /// That of the last authority which the other end believes, as far as it says; else the first.
    fn choose<'a>(&self, believed: impl Iterator<Item = &'a [u8]>) -> Option<Arc<CertifiedKey>> {
        let believed: Vec<&[u8]> = believed.collect();
        let mut newest_first = self.0.iter().rev();
        let found = newest_first.find(|(hint, _)| believed.contains(&hint.as_ref()));
        let (_, certificate) = found.or(self.0.first())?;
        Some(certificate.load_full())
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let believed = hello.certificate_authorities().unwrap_or_default();
        self.choose(believed.iter().map(AsRef::as_ref))
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, believed: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.choose(believed.iter().copied())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What a node shows and whom it believes.
pub struct Identity {
    authorities: Vec<Authority>,
    cluster_id: String,
    names: Vec<String>,
    presented: Arc<Presented>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A node of this cluster.
    Node(NodeId),
    /// Nobody yet, who holds the cluster's secret.
    Holder,
    /// Nobody that is known.
    Stranger,
}

impl Identity {
    /// A node's, by the authorities of the secrets that it holds: the present one first.
    pub fn node(
        authorities: Vec<Authority>,
        cluster_id: &str,
        node_id: NodeId,
        now_ms: u64,
    ) -> Result<Self, TlsError> {
        let names = vec![node_name(cluster_id, node_id), ANY_NODE.to_string()];
        Identity::new(authorities, cluster_id, names, now_ms)
    }

    /// That of who holds the secret and is no node yet.
    pub fn joining(authorities: Vec<Authority>, now_ms: u64) -> Result<Self, TlsError> {
        let names = vec![JOINING.to_string(), ANY_NODE.to_string()];
        Identity::new(authorities, "", names, now_ms)
    }

    fn new(
        authorities: Vec<Authority>,
        cluster_id: &str,
        names: Vec<String>,
        now_ms: u64,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut certificates = Vec::with_capacity(authorities.len());
        for authority in &authorities {
            roots.add(authority.certificate.clone())?;
            let issued = authority.issue(&names, now_ms)?;
            certificates.push((authority.hint(), ArcSwap::from_pointee(issued)));
        }
        let roots = Arc::new(roots);
        let hints: Vec<DistinguishedName> = authorities.iter().map(Authority::hint).collect();
        let presented = Arc::new(Presented(certificates));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .add_root_hint_subjects(hints.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Verifier(error.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(presented.clone());
        server.alpn_protocols = vec![ALPN.to_vec()];
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| TlsError::Verifier(error.to_string()))?;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Saying { verifier, hints }))
            .with_client_cert_resolver(presented.clone());
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Identity {
            authorities,
            cluster_id: cluster_id.to_string(),
            names,
            presented,
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// Makes the certificates anew; connections that stand keep theirs.
    pub fn renew(&self, now_ms: u64) -> Result<(), TlsError> {
        for (authority, (_, presented)) in self.authorities.iter().zip(&self.presented.0) {
            presented.store(Arc::new(authority.issue(&self.names, now_ms)?));
        }
        Ok(())
    }

    pub(super) fn name_of(&self, node_id: NodeId) -> Result<ServerName<'static>, TlsError> {
        server_name(node_name(&self.cluster_id, node_id))
    }

    /// Who showed `chain` and says to be `claimed`; none where that is not true.
    pub(super) fn asker(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        claimed: Option<NodeId>,
    ) -> Option<Asker> {
        let Some(certificate) = chain.and_then(|chain| chain.first()) else {
            return claimed.is_none().then_some(Asker::Stranger);
        };
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let has = |name: String| {
            let name = ServerName::try_from(name).ok()?;
            certificate.verify_is_valid_for_subject_name(&name).ok()
        };
        match claimed {
            Some(node_id) => {
                has(node_name(&self.cluster_id, node_id)).map(|()| Asker::Node(node_id))
            }
            None => has(JOINING.to_string()).map(|()| Asker::Holder),
        }
    }
}

/// How a node that has no secret yet connects: it believes the authority whose fingerprint came
/// with its token.
pub(super) fn pinned_client(fingerprint: [u8; 32]) -> Result<Arc<ClientConfig>, TlsError> {
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            fingerprint,
            hints: [hint(&fingerprint)],
        }))
        .with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(client))
}

/// The name that every node answers to.
pub(super) fn any_node() -> Result<ServerName<'static>, TlsError> {
    server_name(ANY_NODE.to_string())
}

/// Checks as usual, and says which authorities it believes.
#[derive(Debug)]
struct Saying {
    verifier: Arc<WebPkiServerVerifier>,
    hints: Vec<DistinguishedName>,
}

impl ServerCertVerifier for Saying {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hints)
    }
}

/// Believes the authority with this fingerprint and checks all else as usual.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    hints: [DistinguishedName; 1],
}

impl Pinned {
    fn authority(&self, sent: &[CertificateDer<'_>]) -> Option<RootCertStore> {
        sent.iter().find_map(|certificate| {
            let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
            let spki = parsed.subject_public_key_info();
            // The key is the last 32 bytes of its information (RFC 8410, section 4).
            let key = spki.as_ref().last_chunk::<32>()?;
            if <[u8; 32]>::from(Sha256::digest(key)) != self.fingerprint {
                return None;
            }
            let mut roots = RootCertStore::empty();
            roots.add(certificate.clone().into_owned()).ok()?;
            Some(roots)
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let roots = self.authority(intermediates).ok_or_else(|| {
            rustls::Error::General("it is not a node of the cluster that the token is of".into())
        })?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("nodes speak TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        Some(&self.hints)
    }
}
