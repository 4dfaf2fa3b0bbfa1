//! TLS inside the cluster: its own authority vouches for controllers and nodes, and nobody else
//! does. What a certificate says is who its owner is in the cluster, not where: addresses may change.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use headworks_types::{Secret, edge::CONTROLLER_NAME};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{self, CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use url::Url;

use crate::{Client, Error};

/// Who a node is: its key, its certificate, and the authority that it trusts. All PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCredentials {
    /// The certificate that the cluster has given to the node.
    pub certificate: String,
    /// The certificate's key.
    pub key: Secret,
    /// The certificate of the cluster's authority.
    pub authority: String,
}

impl NodeCredentials {
    /// TLS to whom the authority calls `name`: `controller.headworks`, or another node.
    ///
    /// # Errors
    /// When a part of it is damaged.
    pub fn client_config(&self, name: &str) -> Result<ClientConfig, Error> {
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
                .build()
                .map_err(damaged)?;
        let named = Named {
            inner,
            name: server_name(name)?,
        };
        let (chain, key) = (self.chain()?, self.private_key()?);
        builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(named))
            .with_client_auth_cert(chain, key)
            .map_err(damaged)
    }

    /// What the node shows.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        Ok(vec![certificate(&self.certificate)?])
    }

    /// What proves that it is the node's.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes()).map_err(damaged)
    }

    /// Whom the node trusts.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn roots(&self) -> Result<RootCertStore, Error> {
        roots(certificate(&self.authority)?)
    }
}

impl Client {
    /// A client of the edges' API, signed in as this node.
    ///
    /// # Errors
    /// When the URL is not HTTPS, or the credentials are damaged.
    pub fn for_node(url: Url, credentials: &NodeCredentials) -> Result<Self, Error> {
        Self::with_tls(url, credentials.client_config(CONTROLLER_NAME)?)
    }

    /// A client of the edges' API that only joins: it trusts the authority whose fingerprint the
    /// join token carries.
    ///
    /// # Errors
    /// When the URL is not HTTPS, or the token carries no fingerprint.
    pub fn for_joining(url: Url, token: &Secret) -> Result<Self, Error> {
        let pinned = Pinned {
            fingerprint: pin(token)?,
            provider: provider(),
        };
        let config = builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        Self::with_tls(url, config)
    }

    fn with_tls(url: Url, config: ClientConfig) -> Result<Self, Error> {
        if url.scheme() != "https" {
            return Err(Error::Request(format!(
                "`{url}` is not an https:// address"
            )));
        }
        Self::build(url, |http| http.tls_backend_preconfigured(config))
    }
}

/// The SHA-256 of the authority's certificate, from a join token: `hwjt_…_….<base64url>`.
fn pin(token: &Secret) -> Result<Vec<u8>, Error> {
    let fingerprint = token.expose().split_once('.').map(|(_, text)| text.trim());
    fingerprint
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .filter(|bytes| bytes.len() == SHA256.output_len())
        .ok_or_else(|| {
            Error::Request(
                "the join token is not whole: it ends with a dot and 43 letters".to_owned(),
            )
        })
}

/// Takes the certificate of one name, whatever the address in the URL is.
#[derive(Debug)]
struct Named {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes a controller for which an authority of this fingerprint vouches, which comes along.
#[derive(Debug)]
struct Pinned {
    fingerprint: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|shown| digest(&SHA256, shown).as_ref() == self.fingerprint)
            .ok_or_else(|| {
                rustls::Error::General(
                "another cluster's controller answers, or somebody pretends to be one: the join \
                 token carries another fingerprint"
                    .to_owned(),
            )
            })?;
        let general = |error: Error| rustls::Error::General(error.to_string());
        let roots = roots(authority.clone().into_owned()).map_err(general)?;
        let inner = WebPkiServerVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
        let named = Named {
            inner,
            name: server_name(CONTROLLER_NAME).map_err(general)?,
        };
        named.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

/// TLS 1.3 only: both ends are ours.
fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(damaged)
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, Error> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(damaged)
}

fn roots(authority: CertificateDer<'static>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(damaged)?;
    Ok(roots)
}

fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(name.to_owned()).map_err(damaged)
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::Request(format!("the node's credentials are damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_carries_a_fingerprint() {
        let whole = format!("hwjt_a_b.{}", URL_SAFE_NO_PAD.encode([7; 32]));
        assert_eq!(pin(&Secret::new(whole)).expect("is whole"), [7; 32]);
        for cut in ["hwjt_a_b", "hwjt_a_b.", "hwjt_a_b.AAAA", "hwjt_a_b.!"] {
            assert!(pin(&Secret::new(cut)).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_edges_api_is_never_asked_in_the_clear() {
        let token = Secret::new(format!("hwjt_a_b.{}", URL_SAFE_NO_PAD.encode([7; 32])));
        let url = "http://controller:8443/".parse().expect("parses");
        assert!(Client::for_joining(url, &token).is_err());
    }
}
