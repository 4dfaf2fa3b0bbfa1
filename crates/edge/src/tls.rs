//! TLS in front of listeners that know nothing of it.
//!
//! [`Acceptor::accept`] does the handshake, and gives the plain end of a socket pair; a task of its
//! own carries bytes between that and the encrypted connection. So a writer shard writes to a plain
//! socket here too, and waits for nobody.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use headworks_bootstrap::Tasks;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};

/// From the first byte to the last of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long one direction may go on after the other has ended.
const LINGER: Duration = Duration::from_secs(5);

/// What is carried at once: the payload of one TLS record (RFC 8446 §5.1).
const BUFFER: usize = 16 << 10;

/// The section `[edge.tls]` of the configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// File with the certificate and those between it and its root, PEM.
    pub(crate) certificate: Option<PathBuf>,
    /// File with the certificate's private key, PEM.
    pub(crate) key: Option<PathBuf>,
}

impl Config {
    /// What is wrong with it, in words that name the key.
    pub(crate) fn validate(&self) -> Option<String> {
        (self.certificate.is_some() != self.key.is_some())
            .then(|| "edge.tls: needs both certificate and key, or neither".to_owned())
    }
}

/// Does handshakes with one certificate. Clones share it.
#[derive(Clone)]
pub(crate) struct Acceptor {
    tls: TlsAcceptor,
    tasks: Tasks,
}

/// A connection behind its handshake.
#[derive(Debug)]
pub(crate) struct Plain {
    /// Carries what the client says, and what it is to be told, in the clear.
    pub(crate) socket: UnixStream,
    /// Who it is.
    pub(crate) peer: SocketAddr,
}

impl Acceptor {
    /// Reads certificate and key; `None` if none are configured.
    pub(crate) fn load(config: &Config, tasks: Tasks) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else {
            return Ok(None);
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .with_context(|| format!("edge.tls.certificate: read {}", certificate.display()))?;
        ensure!(
            !chain.is_empty(),
            "edge.tls.certificate: {} holds no certificate",
            certificate.display()
        );
        let key = PrivateKeyDer::from_pem_file(key)
            .with_context(|| format!("edge.tls.key: read {}", key.display()))?;
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .context("edge.tls: use certificate and key together")?;
        Ok(Some(Self {
            tls: TlsAcceptor::from(Arc::new(config)),
            tasks,
        }))
    }

    /// Does the handshake. The connection then lives as long as both ends want it.
    ///
    /// # Errors
    /// If the client does not finish the handshake, or not in time.
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<Plain> {
        let peer = socket.peer_addr()?;
        let encrypted = timeout(HANDSHAKE, self.tls.accept(socket)).await??;
        let (socket, inner) = UnixStream::pair()?;
        let stop = self.tasks.token();
        self.tasks.spawn("tls connection", async move {
            stop.run_until_cancelled(carry(encrypted, inner)).await;
        });
        Ok(Plain { socket, peer })
    }
}

/// Carries bytes both ways until both directions have ended.
async fn carry(encrypted: TlsStream<TcpStream>, plain: UnixStream) {
    let (mut from_client, mut to_client) = split(encrypted);
    let (mut from_plain, mut to_plain) = plain.into_split();
    let inward = copy(&mut from_client, &mut to_plain);
    let outward = copy(&mut from_plain, &mut to_client);
    tokio::pin!(inward, outward);
    // What is left to say to one that has stopped talking is soon said.
    tokio::select! {
        () = &mut inward => drop(timeout(LINGER, outward).await),
        () = &mut outward => drop(timeout(LINGER, inward).await),
    }
}

/// Copies until the end of `from` and tells it to `to`, or until `to` takes no more.
async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(count @ 1..) => {
                let written = async {
                    to.write_all(&buffer[..count]).await?;
                    to.flush().await
                };
                if written.await.is_err() {
                    return;
                }
            }
            Ok(0) | Err(_) => {
                let _ = to.shutdown().await;
                return;
            }
        }
    }
}
