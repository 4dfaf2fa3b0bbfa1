//! TLS in front of listeners that know nothing of it.
//!
//! [`Acceptor::accept`] does the handshake, and gives the plain end of a socket pair; a task of its
//! own carries bytes between that and the encrypted connection. So a writer shard writes to a plain
//! socket here too, and waits for nobody.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

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
    /// How long a client may take nothing.
    stall: Duration,
    tasks: Tasks,
}

impl Acceptor {
    /// Reads certificate and key; `None` if none are configured. `stall` is how long a client may
    /// take nothing.
    pub(crate) fn load(
        config: &Config,
        stall: Duration,
        tasks: Tasks,
    ) -> anyhow::Result<Option<Self>> {
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
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .context("edge.tls: use certificate and key together")?;
        // Nobody comes back within a stream, and rtmpdump takes a ticket (RFC 8446 §4.6.1), which
        // comes where it awaits media, for a broken connection.
        config.send_tls13_tickets = 0;
        Ok(Some(Self {
            tls: TlsAcceptor::from(Arc::new(config)),
            stall,
            tasks,
        }))
    }

    /// Does the handshake, and gives what carries the client's words, and ours, in the clear. The
    /// connection then lives as long as both ends want it.
    ///
    /// # Errors
    /// If the client does not finish the handshake, or not in time.
    pub(crate) async fn accept(&self, socket: TcpStream) -> io::Result<UnixStream> {
        let encrypted = timeout(HANDSHAKE, self.tls.accept(socket)).await??;
        let (socket, inner) = UnixStream::pair()?;
        let stop = self.tasks.token();
        let stall = self.stall;
        self.tasks.spawn("tls connection", async move {
            stop.run_until_cancelled(carry(encrypted, inner, stall))
                .await;
        });
        Ok(socket)
    }
}

/// Carries bytes both ways until both directions have ended, or the client takes nothing for too
/// long: whoever writes to it may have gone, and nothing else would show that.
async fn carry(encrypted: TlsStream<TcpStream>, plain: UnixStream, stall: Duration) {
    let (mut from_client, mut to_client) = split(encrypted);
    let (mut from_plain, mut to_plain) = plain.into_split();
    // Inward it waits as long as the edge wants: players may say much that nobody reads.
    let inward = copy(&mut from_client, &mut to_plain, Duration::MAX);
    let outward = copy(&mut from_plain, &mut to_client, stall);
    tokio::pin!(inward, outward);
    // What is left to say to one that has stopped talking is soon said.
    tokio::select! {
        () = &mut inward => drop(timeout(LINGER, outward).await),
        () = &mut outward => drop(timeout(LINGER, inward).await),
    }
}

/// Copies until the end of `from` and tells it to `to`, or until `to` takes no more, or nothing
/// within the time of `stall`.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    stall: Duration,
) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match from.read(&mut buffer).await {
            Ok(count @ 1..) => {
                let written = async {
                    to.write_all(&buffer[..count]).await?;
                    to.flush().await
                };
                if !matches!(timeout(stall, written).await, Ok(Ok(()))) {
                    return;
                }
            }
            Ok(0) | Err(_) => {
                let _ = timeout(stall, to.shutdown()).await;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::net::TcpListener;
    use tokio_rustls::{
        TlsConnector,
        client::TlsStream as ClientStream,
        rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);
    const STALL: Duration = Duration::from_millis(100);

    struct World {
        acceptor: Acceptor,
        listener: TcpListener,
        roots: RootCertStore,
        _files: tempfile::TempDir,
    }

    fn config(directory: &Path) -> Config {
        Config {
            certificate: Some(directory.join("tls.crt")),
            key: Some(directory.join("tls.key")),
        }
    }

    impl World {
        fn new() -> Self {
            Self::with_stall(LIMIT)
        }

        fn with_stall(stall: Duration) -> Self {
            let files = tempfile::tempdir().expect("makes a directory");
            let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
            let signed = signed.expect("signs");
            let config = config(files.path());
            let write = |path: &Option<PathBuf>, text: String| {
                std::fs::write(path.as_ref().expect("is set"), text).expect("writes");
            };
            write(&config.certificate, signed.cert.pem());
            write(&config.key, signed.signing_key.serialize_pem());
            let mut roots = RootCertStore::empty();
            roots.add(signed.cert.der().clone()).expect("is a root");
            let acceptor = Acceptor::load(&config, stall, Tasks::new()).expect("loads");
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
            listener.set_nonblocking(true).expect("is set");
            Self {
                acceptor: acceptor.expect("is configured"),
                listener: TcpListener::from_std(listener).expect("is a listener"),
                roots,
                _files: files,
            }
        }

        async fn connect(&self) -> (ClientStream<TcpStream>, UnixStream) {
            let provider = Arc::new(crypto::aws_lc_rs::default_provider());
            let client = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("has versions")
                .with_root_certificates(self.roots.clone())
                .with_no_client_auth();
            let connector = TlsConnector::from(Arc::new(client));
            let address = self.listener.local_addr().expect("bound");
            let connect = async {
                let socket = TcpStream::connect(address).await?;
                let name = ServerName::try_from("localhost").expect("is a name");
                connector.connect(name, socket).await
            };
            let accept = async {
                let (socket, _) = self.listener.accept().await?;
                self.acceptor.accept(socket).await
            };
            let (client, plain) = tokio::join!(connect, accept);
            (client.expect("trusts it"), plain.expect("shakes hands"))
        }
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_so_does_the_end() {
        let world = World::new();
        let (mut client, mut plain) = world.connect().await;
        client.write_all(b"question").await.expect("writes");
        let mut question = [0; 8];
        plain.read_exact(&mut question).await.expect("reads");
        assert_eq!(question, *b"question");
        // More than all buffers between them take.
        let answer: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
        let expected = answer.clone();
        let write = async move {
            plain.write_all(&answer).await.expect("writes");
        };
        let mut read = Vec::new();
        let all = async { tokio::join!(write, client.read_to_end(&mut read)).1 };
        let end = timeout(LIMIT, all).await.expect("in time");
        end.expect("ends with a close_notify");
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let world = World::with_stall(STALL);
        let (client, mut plain) = world.connect().await;
        // It ends where the buffers are full, and nobody reads.
        let flood = async { while plain.write_all(&[0; 65_536]).await.is_ok() {} };
        timeout(LIMIT, flood).await.expect("is given up in time");
        drop(client);
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_heard() {
        let world = World::new();
        let (client, mut plain) = world.connect().await;
        drop(client);
        let end = timeout(LIMIT, plain.read(&mut [0])).await;
        assert_eq!(end.expect("in time").expect("ends"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_is_not_finished_is_given_up() {
        let world = World::new();
        let address = world.listener.local_addr().expect("bound");
        let _silent = TcpStream::connect(address).await.expect("connects");
        let (socket, _) = world.listener.accept().await.expect("accepts");
        let error = world
            .acceptor
            .accept(socket)
            .await
            .expect_err("is given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn what_is_no_tls_is_refused() {
        let world = World::new();
        let address = world.listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).await.expect("connects");
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("writes");
        let (socket, _) = world.listener.accept().await.expect("accepts");
        let error = world.acceptor.accept(socket).await.expect_err("is refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(
            Acceptor::load(&Config::default(), LIMIT, Tasks::new())
                .expect("is fine")
                .is_none()
        );
        let half = Config {
            key: Some("tls.key".into()),
            ..Config::default()
        };
        assert!(
            half.validate()
                .is_some_and(|words| words.contains("edge.tls"))
        );
        let files = tempfile::tempdir().expect("makes a directory");
        let load = || Acceptor::load(&config(files.path()), LIMIT, Tasks::new());
        let words = load().err().expect("is missing").to_string();
        assert!(words.starts_with("edge.tls.certificate: read "), "{words}");
        std::fs::write(files.path().join("tls.crt"), "nothing").expect("writes");
        let words = load().err().expect("is empty").to_string();
        assert!(words.ends_with("holds no certificate"), "{words}");
    }
}
