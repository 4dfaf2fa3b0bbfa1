//! TLS of listeners: certificates from files, taken anew when the files change.
//!
//! A new certificate counts for handshakes from then on; connections that there are stay. One that
//! cannot be used changes nothing, and is said so in the log.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::{
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::{self, CryptoProvider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;

use crate::Tasks;

/// From the first byte to the last of a handshake.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(3);

/// A disk that takes longer to read them has a fault that somebody should know of.
const SLOW: Duration = Duration::from_secs(10);

/// A certificate and its key as PEM files: the section `tls` of a part of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// File with the certificate and those between it and its root.
    pub certificate: Option<PathBuf>,
    /// File with the certificate's private key.
    pub key: Option<PathBuf>,
}

impl Files {
    /// What is wrong with it, in words that name the key below `section`.
    #[must_use]
    pub fn validate(&self, section: &str) -> Option<String> {
        (self.certificate.is_some() != self.key.is_some())
            .then(|| format!("{section}: needs both certificate and key, or neither"))
    }

    /// The certificate, looked after by a task of `tasks`; `None` if none is configured.
    ///
    /// # Errors
    /// If it cannot be used; names the key below `section`.
    pub fn load(
        &self,
        section: &'static str,
        tasks: &Tasks,
    ) -> anyhow::Result<Option<Certificate>> {
        let Some(watch) = Watch::load(self, section)? else {
            return Ok(None);
        };
        let certificate = watch.certificate.clone();
        tasks.spawn("certificate files", watch.run(tasks.token()));
        Ok(Some(certificate))
    }
}

/// The certificate that a listener shows now. Clones are the same.
#[derive(Debug, Clone)]
pub struct Certificate(Arc<RwLock<Arc<CertifiedKey>>>);

impl Certificate {
    /// Shows this one until it is replaced.
    #[must_use]
    pub fn new(key: CertifiedKey) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(key))))
    }

    /// Shows another one from now on.
    pub fn replace(&self, key: CertifiedKey) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// For a listener that asks its clients for no certificate.
    ///
    /// # Errors
    /// None, with a provider that knows TLS 1.2 and 1.3.
    pub fn server_config(&self) -> anyhow::Result<ServerConfig> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        Ok(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&shown))
    }
}

/// The cryptography that all TLS here uses.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

/// What shows that a file is another one, or has another content.
type Stamp = (u64, u64, i64, i64);

/// Looks at the files of a certificate.
struct Watch {
    section: &'static str,
    paths: [PathBuf; 2],
    /// Of the files that were looked at last, whether they could be used or not.
    stamps: [Option<Stamp>; 2],
    certificate: Certificate,
}

/// What a look at the files has shown.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Same,
    Replaced,
    Kept(String),
}

impl Watch {
    fn load(files: &Files, section: &'static str) -> anyhow::Result<Option<Self>> {
        let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
            return Ok(None);
        };
        let paths = [certificate.clone(), key.clone()];
        let stamps = stamps(&paths);
        Ok(Some(Self {
            section,
            certificate: Certificate::new(read(&paths, section)?),
            paths,
            stamps,
        }))
    }

    async fn run(mut self, stop: CancellationToken) {
        let certificate = self.paths[0].display().to_string();
        loop {
            let look = async {
                sleep(PERIOD).await;
                let looking = spawn_blocking(move || (self.turn(), self));
                patiently(looking, &certificate).await
            };
            // A look that fails is a bug, and said by the runtime.
            let Some(Ok((turn, watch))) = stop.run_until_cancelled(look).await else {
                return;
            };
            self = watch;
            match turn {
                Turn::Same => {}
                Turn::Replaced => tracing::info!(certificate, "a new certificate is used"),
                Turn::Kept(error) => tracing::warn!(
                    certificate,
                    error,
                    "the new certificate cannot be used; the one before still is"
                ),
            }
        }
    }

    /// Reads the files if they have changed. Two files are not replaced at once: one that does not
    /// fit the other yet is a change that is looked at when the other comes.
    fn turn(&mut self) -> Turn {
        let stamps = stamps(&self.paths);
        if stamps == self.stamps {
            return Turn::Same;
        }
        self.stamps = stamps;
        match read(&self.paths, self.section) {
            Ok(key) => {
                self.certificate.replace(key);
                Turn::Replaced
            }
            Err(error) => Turn::Kept(format!("{error:#}")),
        }
    }
}

/// Waits for one look at the files, of which there are never two at once, however long the disk
/// takes; that it takes long is said.
async fn patiently<T>(mut looking: JoinHandle<T>, certificate: &str) -> Result<T, JoinError> {
    match timeout(SLOW, &mut looking).await {
        Ok(looked) => looked,
        Err(_) => {
            tracing::warn!(
                certificate,
                "the disk does not give the certificate's files; the one before is still used"
            );
            looking.await
        }
    }
}

fn stamps(paths: &[PathBuf; 2]) -> [Option<Stamp>; 2] {
    let stamp = |path: &PathBuf| -> io::Result<Stamp> {
        let seen = fs::metadata(path)?;
        Ok((seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
    };
    paths.each_ref().map(|path| stamp(path).ok())
}

fn read([certificate, key]: &[PathBuf; 2], section: &str) -> anyhow::Result<CertifiedKey> {
    let chain = read_chain(certificate)
        .with_context(|| format!("{section}.certificate: read {}", certificate.display()))?;
    ensure!(
        !chain.is_empty(),
        "{section}.certificate: {} holds no certificate",
        certificate.display()
    );
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("{section}.key: read {}", key.display()))?;
    CertifiedKey::from_der(chain, key, &provider())
        .with_context(|| format!("{section}: use certificate and key together"))
}

fn read_chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect)?;
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("makes a directory"))
        }

        fn files(&self) -> Files {
            Files {
                certificate: Some(self.0.path().join("tls.crt")),
                key: Some(self.0.path().join("tls.key")),
            }
        }

        /// As certificate managers do: beside, then renamed.
        fn put(&self, name: &str, text: &str) {
            let beside = self.0.path().join("new");
            fs::write(&beside, text).expect("writes");
            fs::rename(&beside, self.0.path().join(name)).expect("renames");
        }

        fn watch(&self) -> Watch {
            let watch = Watch::load(&self.files(), "edge.tls");
            watch.expect("loads").expect("is configured")
        }
    }

    /// Certificate and key in PEM.
    fn made() -> (String, String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
        let made = made.expect("signs");
        let key = made.signing_key.serialize_pem();
        (made.cert.pem(), key, made.cert.der().clone())
    }

    fn shown(watch: &Watch) -> CertificateDer<'static> {
        let shown = watch.certificate.0.read().expect("not poisoned");
        shown.cert[0].clone()
    }

    #[test]
    fn a_new_certificate_is_used_and_a_bad_one_is_not() {
        let directory = Directory::new();
        let (first, second) = (made(), made());
        directory.put("tls.crt", &first.0);
        directory.put("tls.key", &first.1);
        let mut watch = directory.watch();
        assert_eq!((watch.turn(), shown(&watch)), (Turn::Same, first.2.clone()));

        directory.put("tls.crt", &second.0);
        assert!(matches!(watch.turn(), Turn::Kept(_)), "has another key");
        assert_eq!((watch.turn(), shown(&watch)), (Turn::Same, first.2.clone()));
        directory.put("tls.key", &second.1);
        assert_eq!(watch.turn(), Turn::Replaced);
        assert_eq!(shown(&watch), second.2);

        directory.put("tls.crt", "nothing");
        let Turn::Kept(words) = watch.turn() else {
            panic!("is no certificate");
        };
        assert!(words.ends_with("holds no certificate"), "{words}");
        fs::remove_file(directory.0.path().join("tls.crt")).expect("removes");
        assert!(matches!(watch.turn(), Turn::Kept(_)));
        assert_eq!(shown(&watch), second.2);
        directory.put("tls.crt", &second.0);
        assert_eq!(watch.turn(), Turn::Replaced);
    }

    /// A file that gives nothing until its end is opened: as on a disk that hangs.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_holds_up_nobody() {
        let directory = Directory::new();
        let made = made();
        directory.put("tls.crt", &made.0);
        directory.put("tls.key", &made.1);
        let watch = directory.watch();
        let path = directory.0.path().join("tls.crt");
        fs::remove_file(&path).expect("removes");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("runs").success());
        let (alive, is_alive) = std::sync::mpsc::channel();
        let (reading, is_read) = tokio::sync::oneshot::channel();
        let disk = std::thread::spawn(move || {
            // Waits until somebody reads.
            let _end = fs::OpenOptions::new().write(true).open(&path);
            let _ = reading.send(());
            is_alive.recv_timeout(HANDSHAKE).is_ok()
        });
        let stop = CancellationToken::new();
        let others = async {
            is_read.await.expect("is read");
            alive.send(()).expect("is waited for");
            stop.cancel();
        };
        tokio::join!(watch.run(stop.clone()), others);
        assert!(disk.join().expect("ends"), "everybody waited for the disk");
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = Watch::load(&Files::default(), "edge.tls").expect("is fine");
        assert!(none.is_none());
        let half = Files {
            key: Some("tls.key".into()),
            ..Files::default()
        };
        let words = half.validate("edge.tls").expect("is half");
        assert!(words.starts_with("edge.tls: needs both"), "{words}");
        let directory = Directory::new();
        let load = || Watch::load(&directory.files(), "edge.tls").err();
        let words = load().expect("is missing").to_string();
        assert!(words.starts_with("edge.tls.certificate: read "), "{words}");
        directory.put("tls.crt", "nothing");
        let words = load().expect("is empty").to_string();
        assert!(words.ends_with("holds no certificate"), "{words}");
    }
}
