//! Proxies between two of a lab: one that delays what it passes on, since not every kernel can, and
//! one that writes down what each connection brings.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context;

use super::{History, Namespace, What};
use crate::{Deadline, process::lock};

const BUFFER: usize = 64 << 10;
/// Chunks that are on their way at once; more make the sender wait.
const ON_THE_WAY: usize = 1024;

/// Passes on to `to`, both ways, everything that comes to `listen`, so much later.
pub(super) fn delay(listen: &str, to: &str, by: Duration) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    let to = to.to_owned();
    for client in listener.incoming().map_while(Result::ok) {
        // Who cannot be reached is refused.
        if let Ok(server) = TcpStream::connect(&to)
            && let (Ok(client_two), Ok(server_two)) = (client.try_clone(), server.try_clone())
        {
            carry(client, server, by);
            carry(server_two, client_two, by);
        }
    }
    Ok(())
}

/// One way, in the background.
fn carry(mut from: TcpStream, mut to: TcpStream, by: Duration) {
    let _ = to.set_nodelay(true);
    let (sender, receiver) = mpsc::sync_channel::<(Deadline, Vec<u8>)>(ON_THE_WAY);
    thread::spawn(move || {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if sender
                .send((Deadline::after(by), buffer[..count].to_vec()))
                .is_err()
            {
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.left());
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Stands before a server that takes only one pusher at a time, and takes them all: the newest one is
/// passed on, and every byte of the others is written down as well.
pub(super) fn tap(
    namespace: &Namespace,
    listen: &str,
    to: &str,
    history: &History,
) -> anyhow::Result<()> {
    let listener = namespace.with(|| TcpListener::bind(listen))??;
    let (to, history) = (to.to_owned(), history.clone());
    let newest: Arc<Mutex<Option<TcpStream>>> = Arc::default();
    namespace.spawn(move || {
        for (connection, pusher) in (1..).zip(listener.incoming().map_while(Result::ok)) {
            let from = pusher.peer_addr().map(|from| from.ip().to_string());
            let from = from.unwrap_or_default();
            history.write("target", What::PushOpened { connection, from });
            if let Ok(server) = TcpStream::connect(&to) {
                let clone = server.try_clone().ok();
                let before = std::mem::replace(&mut *lock(&newest), clone);
                if let Some(before) = before {
                    let _ = before.shutdown(Shutdown::Both);
                }
                count(connection, pusher, server, &history);
            }
        }
    })
}

fn count(connection: u64, mut pusher: TcpStream, mut server: TcpStream, history: &History) {
    if let (Ok(mut answers), Ok(mut back)) = (server.try_clone(), pusher.try_clone()) {
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut back);
        });
    }
    let history = history.clone();
    thread::spawn(move || {
        let mut buffer = vec![0; BUFFER];
        let mut bytes = 0;
        while let Ok(count @ 1..) = pusher.read(&mut buffer) {
            bytes += count as u64;
            history.write("target", What::Pushed { connection, bytes });
            let _ = server.write_all(&buffer[..count]);
        }
        let _ = server.shutdown(Shutdown::Both);
        history.write("target", What::PushClosed { connection });
    });
}
