//! Somebody else's RTMP server: nginx with its RTMP module, which checks nothing. It also listens
//! with TLS.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::{Process, Signal, certificate::Certificate, wait_until};

const START: Duration = Duration::from_secs(30);

/// A running nginx-rtmp on 127.0.0.1 with the application `live`, which records what is published
/// as `<name>.flv`. It ends when this is dropped.
#[derive(Debug)]
pub struct RtmpServer {
    directory: TempDir,
    port: u16,
    encrypted: u16,
    process: Process,
}

impl RtmpServer {
    /// Starts one and waits until it listens.
    pub fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        // nginx cannot choose a port by itself.
        let [port, encrypted] = free_ports()?;
        let tls = Certificate::make(directory.path())?;
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        let path = directory.path().display();
        fs::write(
            directory.path().join("nginx.conf"),
            format!(
                "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
                load_module /usr/lib/nginx/modules/ngx_stream_module.so;
                daemon off; master_process off; worker_processes 1; user root;
                pid {path}/nginx.pid; error_log stderr info;
                events {{ worker_connections 64; }}
                rtmp {{ server {{ listen 127.0.0.1:{port};
                    application live {{ live on; wait_key on; record all; record_path {path}; }}
                }} }}
                stream {{ server {{ listen 127.0.0.1:{encrypted} ssl; proxy_pass 127.0.0.1:{port};
                    ssl_certificate {certificate}; ssl_certificate_key {key};
                }} }}"
            ),
        )?;
        let process = launch(directory.path(), port)?;
        Ok(Self {
            directory,
            port,
            encrypted,
            process,
        })
    }

    /// `rtmp://127.0.0.1:<port>/<app>/<name>`
    #[must_use]
    pub fn url(&self, app: &str, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{app}/{name}", self.port)
    }

    /// `rtmps://127.0.0.1:<port>/<app>/<name>`, with a certificate that nobody vouches for.
    #[must_use]
    pub fn tls_url(&self, app: &str, name: &str) -> String {
        format!("rtmps://127.0.0.1:{}/{app}/{name}", self.encrypted)
    }

    /// What was published last under this name.
    #[must_use]
    pub fn recording(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("{name}.flv"))
    }

    /// Ends it at once, as by pulling its plug.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, killing it first if it runs.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.process = launch(self.directory.path(), self.port)?;
        Ok(())
    }

    /// Stops it from running with its connections open, as if it hung.
    pub fn freeze(&mut self) {
        self.process.signal(Signal::Stop);
    }

    /// Lets it run on.
    pub fn thaw(&mut self) {
        self.process.signal(Signal::Continue);
    }
}

/// Two that were free a moment ago.
fn free_ports() -> anyhow::Result<[u16; 2]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let [first, second] = listeners.each_ref().map(TcpListener::local_addr);
    Ok([first?.port(), second?.port()])
}

fn launch(directory: &Path, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(directory)
        .arg("-c")
        .arg(directory.join("nginx.conf"));
    let mut process = Process::spawn(command, Signal::Kill, |_, _| {})
        .context("nginx needs `cargo xtask setup`")?;
    let listens = wait_until("nginx listens", START, || {
        if let Some(status) = process.try_wait() {
            return Some(Err(status));
        }
        TcpStream::connect(("127.0.0.1", port)).ok().map(Ok)
    });
    match listens {
        Ok(Ok(_)) => Ok(process),
        Ok(Err(status)) => bail!("nginx ended ({status})\n{}", process.tail()),
        Err(error) => Err(error.context(process.tail())),
    }
}
