//! The cluster's authority: it vouches for controllers and nodes among each other.
//!
//! Its certificate and sealed key are in the database, made once. Node certificates are short-lived,
//! and who a certificate belongs to stands in the database too (`app::edge::sign_in`): what the
//! handshake proves is only that its owner holds the key.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_bootstrap::tls::{Certificate, provider};
use headworks_types::{
    NodeId, Secret,
    edge::{CONTROLLER_NAME, node_name},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, PublicKeyData as _, SerialNumber,
};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{
        CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime,
        pem::PemObject as _,
    },
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use crate::credential;

/// How long a node's certificate is good.
pub(crate) const NODE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long one of a controller is good, and how often it makes a new one.
const CONTROLLER_LIFE: Duration = Duration::from_secs(7 * 86_400);
pub(crate) const CONTROLLER_RENEWAL: Duration = Duration::from_secs(86_400);
const AUTHORITY_LIFE: Duration = Duration::from_secs(30 * 365 * 86_400);
/// Clocks of edges may be behind.
const SLACK: Duration = Duration::from_secs(3600);

/// SHA-256 of a certificate or a public key.
pub(crate) type Fingerprint = [u8; 32];

/// The authority, able to sign.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A new authority's certificate and key, DER.
pub(crate) struct NewAuthority {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// A node's new certificate.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) fingerprint: Fingerprint,
}

/// A request for a certificate, whose sender holds the key.
pub(crate) struct Asked {
    request: CertificateSigningRequestParams,
    /// Of the public key.
    pub(crate) public_key: Fingerprint,
}

/// Why a request for a certificate is none.
#[derive(Debug, thiserror::Error)]
#[error("must be a signed PKCS #10 request in PEM, of a P-256 or Ed25519 key")]
pub(crate) struct RequestError;

impl Asked {
    /// Parses a request and checks that it is signed by its own key. What else it asks for counts
    /// for nothing.
    pub(crate) fn parse(pem: &str) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| RequestError)?;
        let request = CertificateSigningRequestParams::from_der(&der).map_err(|_| RequestError)?;
        let algorithm = request.public_key.algorithm();
        if algorithm != &PKCS_ECDSA_P256_SHA256 && algorithm != &PKCS_ED25519 {
            return Err(RequestError);
        }
        Ok(Self {
            public_key: fingerprint(request.public_key.der_bytes()),
            request,
        })
    }
}

impl Authority {
    /// Makes a new one.
    pub(crate) fn create(now: DateTime<Utc>) -> anyhow::Result<NewAuthority> {
        let key = KeyPair::generate().context("make the authority's key")?;
        let mut params = parameters(now, AUTHORITY_LIFE, "Headworks cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("sign the authority")?;
        Ok(NewAuthority {
            certificate: certificate.der().to_vec(),
            key: key.serialize_der(),
        })
    }

    /// The authority of this certificate and key.
    pub(crate) fn open(certificate: Vec<u8>, key: Vec<u8>) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from(certificate);
        let key = KeyPair::try_from(key).context("read the authority's key")?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .context("read the authority's certificate")?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// What join tokens carry, so that edges know whom to trust.
    pub(crate) fn pin(&self) -> String {
        URL_SAFE_NO_PAD.encode(fingerprint(&self.certificate))
    }

    /// A join token with it.
    pub(crate) fn pinned(&self, token: &Secret) -> Secret {
        Secret::new(format!("{}.{}", token.expose(), self.pin()))
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// Vouches for a node.
    pub(crate) fn issue(
        &self,
        asked: Asked,
        node: NodeId,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Issued> {
        let mut request = asked.request;
        request.params = leaf(now, NODE_LIFE, &node_name(node))?;
        // Nodes will talk to each other.
        request.params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let signed = request.signed_by(&self.issuer).context("sign")?;
        Ok(Issued {
            pem: signed.pem(),
            fingerprint: fingerprint(signed.der()),
        })
    }

    /// Vouches for this controller, with a key that lives nowhere else.
    pub(crate) fn certify_controller(&self, now: DateTime<Utc>) -> anyhow::Result<CertifiedKey> {
        let key = KeyPair::generate().context("make the controller's key")?;
        let mut params = leaf(now, CONTROLLER_LIFE, CONTROLLER_NAME)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let signed = params.signed_by(&key, &self.issuer).context("sign")?;
        // With the authority, for edges that know only its fingerprint.
        let chain = vec![signed.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(CertifiedKey::from_der(chain, key, &provider())?)
    }

    /// TLS of the listener for edges: asks for a certificate, and lets in who has none, to join.
    pub(crate) fn server_config(&self, shown: &Certificate) -> anyhow::Result<ServerConfig> {
        let verifier = NodeVerifier::new(self.certificate.clone())?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(shown.clone()));
        // Each connection proves anew who it is.
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

/// SHA-256.
pub(crate) fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let mut found = [0; 32];
    found.copy_from_slice(digest(&SHA256, bytes).as_ref());
    found
}

fn leaf(now: DateTime<Utc>, life: Duration, name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = parameters(now, life, name);
    params.subject_alt_names = CertificateParams::new(vec![name.to_owned()])?.subject_alt_names;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn parameters(now: DateTime<Utc>, life: Duration, name: &str) -> CertificateParams {
    let mut serial = [0; 16];
    credential::random(&mut serial);
    // Positive in DER without another byte.
    serial[0] &= 0x7f;
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    let now = epoch + Duration::from_secs(seconds);
    params.not_before = now - SLACK;
    params.not_after = now + life;
    params
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::engine::general_purpose::STANDARD;
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// Takes certificates of our authority, also expired ones: a node that was switched off for days may
/// renew its own. That it may do nothing else is decided where nodes sign in.
#[derive(Debug)]
struct NodeVerifier(Arc<dyn ClientCertVerifier>);

impl NodeVerifier {
    fn new(authority: CertificateDer<'static>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()?;
        Ok(Self(inner))
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verify = |at| self.0.verify_client_cert(end_entity, intermediates, at);
        match verify(now) {
            Err(TlsError::InvalidCertificate(CertificateError::ExpiredContext {
                not_after,
                ..
            })) => verify(not_after),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;

    fn day(number: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + number * 86_400)
    }

    fn unix(time: DateTime<Utc>) -> UnixTime {
        let seconds = u64::try_from(time.timestamp()).expect("is after 1970");
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    pub(crate) fn authority() -> Authority {
        let new = Authority::create(day(0)).expect("makes one");
        Authority::open(new.certificate, new.key).expect("opens")
    }

    pub(crate) fn request(key: &KeyPair, names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("are names");
        params
            .serialize_request(key)
            .expect("signs")
            .pem()
            .expect("is PEM")
    }

    fn issued(authority: &Authority, at: DateTime<Utc>) -> CertificateDer<'static> {
        let key = KeyPair::generate().expect("makes a key");
        let asked = Asked::parse(&request(&key, &["controller.headworks"])).expect("is one");
        let node = NodeId::from(Uuid::from_u128(7));
        let issued = authority.issue(asked, node, at).expect("signs");
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).expect("is PEM");
        assert_eq!(fingerprint(&der), issued.fingerprint);
        der
    }

    #[test]
    fn what_a_node_asks_to_be_called_counts_for_nothing() {
        let der = issued(&authority(), day(0));
        let text = String::from_utf8_lossy(&der);
        assert!(!text.contains("controller.headworks"));
        assert!(text.contains(&node_name(Uuid::from_u128(7).into())));
    }

    #[test]
    fn only_our_authority_counts_and_age_is_judged_later() {
        let (ours, theirs) = (authority(), authority());
        let verifier = NodeVerifier::new(ours.certificate.clone()).expect("is one");
        let verify = |der: &CertificateDer<'_>, at| {
            let verified = verifier.verify_client_cert(der, &[], unix(day(at)));
            verified.map(drop).map_err(|error| error.to_string())
        };
        let good = issued(&ours, day(1));
        assert_eq!(verify(&good, 1), Ok(()));
        assert_eq!(verify(&good, 9), Ok(()), "is for the database to refuse");
        assert!(verify(&good, 0).is_err(), "is not valid yet");
        assert!(verify(&issued(&theirs, day(1)), 1).is_err());
        assert!(verify(&issued(&theirs, day(1)), 9).is_err());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let key = KeyPair::generate().expect("makes a key");
        let good = request(&key, &[]);
        assert!(Asked::parse(&good).is_ok());
        let weak = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("makes a key");
        let der = pem("CERTIFICATE REQUEST", &[0x30, 0x03, 0x02, 0x01, 0x00]);
        let cut = &good[..good.len() / 2];
        for bad in ["", "x", cut, &der, &request(&weak, &[])] {
            assert!(Asked::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_authority_cannot_be_opened_with_another_key() {
        let (one, two) = (authority(), Authority::create(day(0)).expect("makes one"));
        let mixed = Authority::open(one.certificate.to_vec(), two.key).expect("opens");
        let verifier = NodeVerifier::new(one.certificate.clone()).expect("is one");
        let signed = issued(&mixed, day(1));
        let verified = verifier.verify_client_cert(&signed, &[], unix(day(1)));
        assert!(verified.is_err());
    }
}
