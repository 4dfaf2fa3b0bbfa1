//! Certificates that nobody vouches for, for peers that speak TLS.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// The files of a certificate for `localhost` and 127.0.0.1, which is its own authority.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// The two in one file.
    pub both: PathBuf,
}

impl Certificate {
    /// Makes one with OpenSSL, in the place of the one that was there; it is good for two days.
    pub fn make(directory: &Path) -> anyhow::Result<Self> {
        let file = |name| directory.join(name);
        let made = Self {
            certificate: file("tls.crt"),
            key: file("tls.key"),
            both: file("tls.pem"),
        };
        let said = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", "/CN=localhost", "-addext"])
            .args(["subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"])
            .arg(&made.key)
            .arg("-out")
            .arg(&made.certificate)
            .output()
            .context("run openssl")?;
        if !said.status.success() {
            bail!("openssl: {}", String::from_utf8_lossy(&said.stderr));
        }
        let both = [fs::read(&made.certificate)?, fs::read(&made.key)?].concat();
        fs::write(&made.both, both)?;
        Ok(made)
    }
}
