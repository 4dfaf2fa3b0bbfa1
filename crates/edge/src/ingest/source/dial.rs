//! Connects to a camera: TCP, and TLS where its URL says so.

use std::{error::Error, io, sync::Arc};

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{self, CryptoProvider},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use crate::{
    ingest::failure::Failure,
    outbound::{self, Gate, Redirect},
};

/// Connects to the first open address of the host that answers.
pub(super) async fn tcp(gate: &Gate, host: &str, port: u16) -> Result<TcpStream, Failure> {
    let socket = gate.connect(host, port, || true).await?;
    socket.ok_or(Failure::Internal)
}

/// Does the handshake. With `verify`, the certificate has to be good for `host` by what this
/// machine trusts.
pub(crate) async fn tls(
    socket: TcpStream,
    host: &str,
    verify: bool,
) -> Result<TlsStream<TcpStream>, Failure> {
    let config = client_config(verify).map_err(|error| Failure::of(&error))?;
    // URLs write IPv6 addresses in brackets.
    let host = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|_| Failure::Unresolved)?;
    let connector = TlsConnector::from(Arc::new(config));
    let connected = connector.connect(name, socket).await;
    connected.map_err(|error| Failure::of(&error))
}

fn client_config(verify: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = if verify {
        builder.with_platform_verifier()?
    } else {
        let any = Arc::new(AnyCertificate(provider));
        builder.dangerous().with_custom_certificate_verifier(any)
    };
    Ok(builder.with_no_client_auth())
}

/// Takes whoever answers: what `tls_verify: false` asks for. Signatures still have to be those of
/// the certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl Failure {
    /// What an error of a connection means, by what is behind it.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut last = error.to_string();
        while let Some(error) = cause {
            last = error.to_string();
            if let Some(failure) = Self::of_one(error, &last) {
                return failure;
            }
            cause = error.source();
        }
        Self::Protocol(last)
    }

    fn of_one(error: &(dyn Error + 'static), text: &str) -> Option<Self> {
        // What wraps it differs from library to library; its words do not.
        if let Some((_, reason)) = text.split_once("invalid peer certificate: ") {
            return Some(Self::Certificate(reason.to_owned()));
        }
        if text.contains("failed to lookup address") {
            return Some(Self::Unresolved);
        }
        if let Some(closed) = error.downcast_ref::<outbound::Closed>() {
            return Some((*closed).into());
        }
        match error.downcast_ref::<outbound::Error>() {
            Some(outbound::Error::Closed(closed)) => return Some((*closed).into()),
            Some(outbound::Error::Unresolved) => return Some(Self::Unresolved),
            Some(outbound::Error::Io(_)) | None => {}
        }
        if let Some(redirect) = error.downcast_ref::<Redirect>() {
            return Some(Self::Redirect(*redirect));
        }
        let error = error.downcast_ref::<io::Error>()?;
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Some(Self::Closed),
            _ => Self::from_os(error.raw_os_error()?),
        }
    }
}
