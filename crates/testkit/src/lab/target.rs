//! Somebody else's server, which cameras are pushed to: nginx with its RTMP module, behind a tap that
//! takes every pusher and writes down what it brings.

use std::{fs, net::TcpStream, path::Path, time::Duration};

use anyhow::Context;

use super::{History, Namespace, network::OUTSIDE, proxy};
use crate::{Process, Signal, wait_until};

const START: Duration = Duration::from_secs(30);

/// Starts it; it ends when the process is dropped.
pub(super) fn start(
    namespace: &Namespace,
    directory: &Path,
    history: &History,
) -> anyhow::Result<Process> {
    let place = directory.join("target");
    fs::create_dir(&place)?;
    let path = place.display();
    fs::write(
        place.join("nginx.conf"),
        format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
            daemon off; master_process off; worker_processes 1; user root;
            pid {path}/nginx.pid; error_log stderr info;
            events {{ worker_connections 64; }}
            rtmp {{ server {{ listen 127.0.0.1:1936;
                application live {{ live on; wait_key on; }}
            }} }}"
        ),
    )?;
    let mut command = namespace.place().command("nginx");
    command
        .arg("-p")
        .arg(&place)
        .arg("-c")
        .arg(place.join("nginx.conf"));
    let process = Process::spawn(command, Signal::Kill, |_, _| {})
        .context("nginx needs `cargo xtask setup`")?;
    wait_until("the target listens", START, || {
        namespace
            .with(|| TcpStream::connect("127.0.0.1:1936").is_ok())
            .ok()?
            .then_some(())
    })
    .with_context(|| process.tail())?;
    proxy::tap(
        namespace,
        &format!("{OUTSIDE}:1935"),
        "127.0.0.1:1936",
        history,
    )?;
    Ok(process)
}

/// Where cameras are pushed to.
#[must_use]
pub(super) fn push_url() -> String {
    format!("rtmp://{OUTSIDE}/live")
}

/// Where its audience watches what was pushed under this name.
#[must_use]
pub(super) fn watch_url(name: &str) -> String {
    format!("rtmp://127.0.0.1:1936/live/{name}")
}
