//! For tests: a server that lures an edge to where it must not go.
//!
//! It is at 127.0.0.1, which is open; 127.0.0.2 stands for what is closed.

use std::{
    net::TcpListener as Inside,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use headworks_bootstrap::Tasks;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{Outbound, tests};

/// What says that nobody was lured.
pub(crate) const CLOSED: &str = "127.0.0.2 is closed to us";

/// The server, and the door that it leads to.
pub(crate) struct Trap {
    pub(crate) port: u16,
    asked: Arc<AtomicUsize>,
    inside: Inside,
}

impl Trap {
    /// Answers each connection with `answer`, where `{port}` is the port of both. Call it in a
    /// runtime.
    pub(crate) fn set(tasks: &Tasks, answer: &'static str) -> Self {
        let (lure, inside) = (0..20).find_map(|_| pair()).expect("some port is free");
        let port = inside.local_addr().expect("is bound").port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = answer.replace("{port}", &port.to_string());
        tasks.spawn("trap", async move {
            let lure = TcpListener::from_std(lure).expect("is a listener");
            while let Ok((socket, _)) = lure.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                respond(socket, &answer).await;
            }
        });
        Self {
            port,
            asked,
            inside,
        }
    }

    /// The server was asked, and nobody went on from there.
    pub(crate) fn assert_nobody_is_inside(&self, what: &str) {
        assert!(
            self.asked.load(Ordering::Relaxed) > 0,
            "{what}: was not asked"
        );
        let came = self.inside.accept();
        let came = came.map_err(|error| error.kind());
        assert!(
            matches!(came, Err(std::io::ErrorKind::WouldBlock)),
            "{what}: {came:?}"
        );
    }
}

/// On one port of both addresses.
fn pair() -> Option<(Inside, Inside)> {
    let lure = Inside::bind("127.0.0.1:0").ok()?;
    let port = lure.local_addr().ok()?.port();
    let inside = Inside::bind(("127.0.0.2", port)).ok()?;
    lure.set_nonblocking(true).ok()?;
    inside.set_nonblocking(true).ok()?;
    Some((lure, inside))
}

async fn respond(mut socket: TcpStream, answer: &str) {
    let mut request = vec![0; 4096];
    let read = socket.read(&mut request).await.unwrap_or(0);
    // RTSP wants its number back.
    let request = String::from_utf8_lossy(&request[..read]);
    let number = request.lines().find(|line| line.starts_with("CSeq:"));
    let answer = answer.replace("{cseq}", number.unwrap_or_default());
    let _ = socket.write_all(answer.as_bytes()).await;
}

/// An edge to which only 127.0.0.1 is open.
pub(crate) fn wary() -> Outbound {
    tests::outbound(&["127.0.0.1"], &[])
}

/// The same, where the host `rebound` is 127.0.0.1 when it is first looked up, and then 127.0.0.2.
pub(crate) fn rebinding() -> Outbound {
    let answers: &[&[&str]] = &[&["127.0.0.1"], &["127.0.0.2"]];
    tests::named_outbound(&["127.0.0.1"], "rebound", answers)
}
