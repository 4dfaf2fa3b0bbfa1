//! What a viewer says until media comes.

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use headworks_rtmp::{Client, ClientConfig, ClientEvent, Output, Url};

use super::Protocol;
use crate::bench::{
    clock,
    rtsp::{Dialogue, Transport},
};

/// A dialogue, by protocol.
pub(super) enum Opening {
    Http,
    Rtmp(Box<Client>),
    Rtsp(Box<Dialogue>),
    Ports,
}

impl Opening {
    /// A dialogue in which everything comes over one connection; where to connect, and what to send
    /// first.
    pub(super) fn tcp(protocol: Protocol, url: &str) -> anyhow::Result<(Self, String, Vec<u8>)> {
        Self::new(protocol, url, [0; 2])
    }

    /// The same; packets come to these two ports if they come by UDP.
    pub(super) fn new(
        protocol: Protocol,
        url: &str,
        ports: [u16; 2],
    ) -> anyhow::Result<(Self, String, Vec<u8>)> {
        let (_, rest) = url.split_once("://").context("a URL")?;
        let (host, path) = rest.split_once('/').context("has a path")?;
        let (opening, first) = match protocol {
            Protocol::Flv => {
                let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
                (Self::Http, request.into_bytes())
            }
            Protocol::Rtmp => {
                let (now, url) = (clock::now(), Url::parse(url)?);
                let client = Client::play(now, url, ClientConfig::default(), 1);
                let mut client = Box::new(client);
                let (first, _) = drain(&mut client)?;
                (Self::Rtmp(client), first)
            }
            Protocol::RtspTcp | Protocol::RtspUdp => {
                let transport = match protocol {
                    Protocol::RtspUdp => Transport::Udp(ports),
                    _ => Transport::Tcp,
                };
                let (dialogue, first) = Dialogue::start(url, transport);
                (Self::Rtsp(Box::new(dialogue)), first)
            }
            Protocol::BareUdp => {
                let [video, audio] = ports;
                (Self::Ports, format!("{video} {audio}\n").into_bytes())
            }
        };
        Ok((opening, host.to_owned(), first))
    }

    /// Takes what the server says. Returns what to send, and true when media comes from here on.
    pub(super) fn input(&mut self, bytes: &[u8]) -> anyhow::Result<(Vec<u8>, bool)> {
        match self {
            Self::Http => {
                ensure!(
                    bytes.starts_with(b"HTTP/1.1 200"),
                    "the server says {:?}",
                    String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
                );
                Ok((Vec::new(), true))
            }
            Self::Rtmp(client) => {
                client.handle_input(clock::now(), Bytes::copy_from_slice(bytes));
                drain(client)
            }
            Self::Rtsp(dialogue) => {
                let send = dialogue.input(bytes)?;
                Ok((send, dialogue.is_done()))
            }
            Self::Ports => bail!("the bare loop says something"),
        }
    }
}

/// What the engine wants to send, and whether it plays.
fn drain(client: &mut Client) -> anyhow::Result<(Vec<u8>, bool)> {
    let (mut send, mut plays) = (Vec::new(), false);
    loop {
        match client.poll_output() {
            Output::Send(bytes) => send.extend_from_slice(&bytes),
            Output::Event(ClientEvent::Ready | ClientEvent::Media(_)) => plays = true,
            Output::Event(event) => bail!("the server says {event:?}"),
            Output::Close => bail!("the server has closed the connection"),
            Output::Wait(_) => return Ok((send, plays)),
        }
    }
}
