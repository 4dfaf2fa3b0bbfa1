//! Datagrams on loopback, without losing any.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use headworks_testkit::wait_until;

/// How long a program may take to read what it was sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much may wait in a socket that we send to.
const MAX_WAITING: u64 = 32 << 10;

/// Two sockets on neighbouring ports, the first of which is even, as RTP and RTCP have them.
pub(crate) fn pair() -> anyhow::Result<[UdpSocket; 2]> {
    for _ in 0..200 {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        if port % 2 == 0
            && let Ok(second) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 1))
        {
            return Ok([first, second]);
        }
    }
    anyhow::bail!("no two neighbouring ports are free")
}

/// Waits until somebody has opened the port.
pub(crate) fn wait_until_open(port: u16) -> anyhow::Result<()> {
    wait_until(format!("somebody opens port {port}"), PATIENCE, || {
        waiting(port)
    })
    .map(drop)
}

/// Waits until not more than `bytes` wait to be read.
pub(crate) fn wait_until_read(port: u16, bytes: u64) -> anyhow::Result<()> {
    let look = || waiting(port).filter(|waiting| *waiting <= bytes);
    wait_until(format!("port {port} is read"), PATIENCE, look).map(drop)
}

/// Sends, but never so fast that the receiver's socket overflows.
pub(crate) fn send(socket: &UdpSocket, port: u16, datagram: &[u8]) -> anyhow::Result<()> {
    if waiting(port).is_none_or(|waiting| waiting > MAX_WAITING) {
        wait_until_read(port, MAX_WAITING / 2)?;
    }
    socket.send_to(datagram, (Ipv4Addr::LOCALHOST, port))?;
    Ok(())
}

/// How many bytes wait in the socket of a port; `None` if nobody has opened it.
fn waiting(port: u16) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/udp").ok()?;
    let local = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().filter(|address| address.ends_with(&local))?;
        let (_, read) = fields.nth(2)?.split_once(':')?;
        u64::from_str_radix(read, 16).ok()
    })
}

/// Collects what arrives, until it is told that no more is sent.
#[derive(Debug)]
pub(crate) struct Collector {
    thread: thread::JoinHandle<std::io::Result<Vec<Bytes>>>,
    over: Arc<AtomicBool>,
}

impl Collector {
    pub(crate) fn start(socket: UdpSocket) -> anyhow::Result<Self> {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let collect = move || {
            let (mut datagrams, mut buffer) = (Vec::new(), vec![0; 65_536]);
            loop {
                // On loopback, what was sent before the end was told is in the socket.
                let last = is_over.load(Ordering::SeqCst);
                match socket.recv(&mut buffer) {
                    Ok(length) => datagrams.push(Bytes::copy_from_slice(&buffer[..length])),
                    Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => {
                        return Err(error);
                    }
                    Err(_) if last => return Ok(datagrams),
                    Err(_) => {}
                }
            }
        };
        Ok(Self {
            thread: thread::spawn(collect),
            over,
        })
    }

    /// All that has come.
    pub(crate) fn finish(self) -> anyhow::Result<Vec<Bytes>> {
        self.over.store(true, Ordering::SeqCst);
        let result = self
            .thread
            .join()
            .ok()
            .context("the collector has not panicked")?;
        Ok(result?)
    }
}
