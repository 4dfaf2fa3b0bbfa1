//! nginx with its RTMP module, as Debian has it: one worker, all settings of RTMP as they come
//! (`chunk_size` 4096 among them).

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use headworks_testkit::{Process, Signal, wait_until};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running nginx. It ends when this is dropped.
pub(super) struct Nginx {
    _directory: TempDir,
    port: u16,
    process: Process,
}

impl Nginx {
    pub(super) fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        // nginx cannot choose a port by itself.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let path = directory.path().display();
        let file = directory.path().join("nginx.conf");
        fs::write(
            &file,
            format!(
                "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
                daemon off; master_process off; worker_processes 1; user root;
                pid {path}/nginx.pid; error_log stderr warn;
                events {{ worker_connections 8192; }}
                rtmp {{ access_log off; server {{ listen 127.0.0.1:{port};
                    application live {{ live on; }}
                }} }}"
            ),
        )?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path()).arg("-c").arg(&file);
        let process = Process::spawn(command, Signal::Kill, |_, _| {})?;
        wait_until("nginx", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .with_context(|| process.tail())?;
        Ok(Self {
            _directory: directory,
            port,
            process,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where to publish and to play.
    pub(super) fn url(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live/bench", self.port)
    }
}
