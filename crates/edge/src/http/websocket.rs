//! The server's end of a WebSocket (RFC 6455) that carries media one way. The hub writes the media;
//! here is the handshake, and what there is to say to what a client says.

use std::{io, sync::Arc};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::http::{HeaderMap, Method, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::{
    hub::{Sink, ViewerHandle},
    socket::Socket,
};

/// §1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Opcodes (§5.2), and the bit of a whole message.
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// The status of a protocol error (§7.4.1).
const PROTOCOL_ERROR: [u8; 2] = 1002_u16.to_be_bytes();

/// The longest payload of a control frame (§5.5).
const MAX_CONTROL: usize = 125;

/// The answer to a client's handshake (§4.2.2); `None` if it is none that we understand, and is to
/// be answered as if it had not asked (RFC 9110 §7.8).
pub(super) fn answer(method: &Method, headers: &HeaderMap) -> Option<Bytes> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    let asks = method == Method::GET
        && has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    let is_key = STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
    (asks && is_key).then(|| {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\n\
             upgrade: websocket\r\n\
             connection: Upgrade\r\n\
             sec-websocket-accept: {}\r\n\r\n",
            accept(key)
        );
        head.into()
    })
}

/// Proves that the handshake was understood (§4.2.2).
fn accept(key: &str) -> String {
    let text = format!("{key}{MAGIC}");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// What the client says, on a socket that a writer shard writes to.
pub(super) enum Ears {
    Tcp(Arc<TcpStream>),
    Unix(Arc<UnixStream>),
}

impl Ears {
    /// The socket for both.
    pub(super) fn share(socket: Socket) -> (Sink, Self) {
        match socket {
            Either::Left(tcp) => {
                let tcp = Arc::new(tcp);
                (Sink::Tcp(Arc::clone(&tcp)), Self::Tcp(tcp))
            }
            Either::Right(unix) => {
                let unix = Arc::new(unix);
                (Sink::Unix(Arc::clone(&unix)), Self::Unix(unix))
            }
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.readable().await,
            Self::Unix(socket) => socket.readable().await,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(buffer),
            Self::Unix(socket) => socket.try_read(buffer),
        }
    }
}

/// Answers pings and the wish to close, until the viewer has left. Everything else is forgotten.
pub(super) async fn listen(socket: &Ears, viewer: &ViewerHandle) {
    let hear = async {
        let mut frames = Frames::default();
        let mut buffer = [0; 1024];
        while socket.readable().await.is_ok() {
            let count = match socket.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return,
            };
            // It may send as fast as it likes; others come in between.
            tokio::task::yield_now().await;
            for byte in &buffer[..count] {
                let Ok(heard) = frames.push(*byte) else {
                    let _ = viewer.send(control(CLOSE, &PROTOCOL_ERROR));
                    return;
                };
                let answered = match heard {
                    Some((PING, payload)) => viewer.send(control(PONG, &payload)),
                    Some((CLOSE, payload)) => {
                        let _ = viewer.send(control(CLOSE, closing(&payload)));
                        return;
                    }
                    _ => Ok(()),
                };
                if answered.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = hear => {
            viewer.end();
            viewer.left().await;
        }
        _ = viewer.left() => {}
    }
}

/// What a CLOSE is answered with: its own status (§5.5.1), if it has a whole one.
fn closing(payload: &[u8]) -> &[u8] {
    match payload {
        [_] => &PROTOCOL_ERROR,
        _ => &payload[..payload.len().min(2)],
    }
}

/// A control frame of ours; not masked (§5.1).
fn control(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = vec![FINAL | opcode, payload.len() as u8];
    frame.extend_from_slice(payload);
    frame.into()
}

/// What a client's bytes break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Violation;

/// Takes a client's frames apart, byte by byte. Payloads of data are skipped, so that it keeps
/// little, whatever a client sends.
#[derive(Debug, Default)]
struct Frames {
    /// The header so far; with a mask it has 6, 8 or 14 bytes.
    header: Vec<u8>,
    /// Payload that is still to come.
    left: u64,
    /// The payload of a control frame.
    payload: Vec<u8>,
}

impl Frames {
    /// Returns a control frame with its opcode once it is complete.
    fn push(&mut self, byte: u8) -> Result<Option<(u8, Vec<u8>)>, Violation> {
        if self.left > 0 {
            self.take_payload(byte);
        } else {
            self.header.push(byte);
            let Some(length) = self.length()? else {
                return Ok(None);
            };
            self.left = length;
        }
        if self.left > 0 {
            return Ok(None);
        }
        let opcode = self.header.first().map_or(0, |first| first & 0x0f);
        self.header.clear();
        let payload = std::mem::take(&mut self.payload);
        Ok((opcode >= CLOSE).then_some((opcode, payload)))
    }

    /// The payload's length, once the header is complete.
    fn length(&self) -> Result<Option<u64>, Violation> {
        const MASK: usize = 4;
        let &[first, second, ref rest @ ..] = &self.header[..] else {
            return Ok(None);
        };
        // No extension was agreed on that would mean the reserved bits (§5.2).
        if second & MASKED == 0 || first & RESERVED != 0 {
            return Err(Violation);
        }
        let (length, extra) = match second & !MASKED {
            126 => (2, rest),
            127 => (8, rest),
            short => return Ok((rest.len() == MASK).then_some(u64::from(short))),
        };
        if first & 0x0f >= CLOSE {
            return Err(Violation);
        }
        if extra.len() < length + MASK {
            return Ok(None);
        }
        let number = extra[..length].iter();
        Ok(Some(
            number.fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        ))
    }

    fn take_payload(&mut self, byte: u8) {
        self.left -= 1;
        let is_control = self
            .header
            .first()
            .is_some_and(|first| first & 0x0f >= CLOSE);
        if is_control && self.payload.len() < MAX_CONTROL {
            let mask = &self.header[self.header.len() - 4..];
            let byte = byte ^ mask[self.payload.len() % 4];
            self.payload.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn handshake(change: impl FnOnce(&mut HeaderMap)) -> Option<Bytes> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::UPGRADE, "WebSocket"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        change(&mut headers);
        answer(&Method::GET, &headers)
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        let head = handshake(|_| ()).expect("is understood");
        let line = b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
        assert!(head.windows(line.len()).any(|window| window == line));
        for name in [
            header::UPGRADE,
            header::CONNECTION,
            header::SEC_WEBSOCKET_KEY,
        ] {
            assert_eq!(handshake(|headers| drop(headers.remove(name))), None);
        }
        let old = HeaderValue::from_static("8");
        let old = handshake(|headers| drop(headers.insert(header::SEC_WEBSOCKET_VERSION, old)));
        assert_eq!(old, None);
    }

    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![FINAL | opcode];
        match payload.len() {
            short @ ..=125 => frame.push(MASKED | short as u8),
            long => {
                frame.push(MASKED | 126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        frame
    }

    #[test]
    fn control_frames_are_found_between_data() {
        let mut frames = Frames::default();
        let mut heard = Vec::new();
        for frame in [
            masked(1, &[7; 300]),
            masked(PING, b"hello"),
            masked(2, &[]),
            masked(PING, b""),
            masked(CLOSE, &[3, 232]),
        ] {
            for byte in frame {
                heard.extend(frames.push(byte).expect("is in order"));
            }
        }
        let expected = [
            (PING, b"hello".to_vec()),
            (PING, Vec::new()),
            (CLOSE, vec![3, 232]),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn unmasked_frames_long_control_frames_and_reserved_bits_are_refused() {
        let push = |bytes: &[u8]| {
            let mut frames = Frames::default();
            bytes
                .iter()
                .try_for_each(|byte| frames.push(*byte).map(drop))
        };
        assert_eq!(push(&[FINAL | PING, 0]), Err(Violation));
        assert_eq!(push(&[FINAL | PING, MASKED | 126]), Err(Violation));
        for reserved in [0x40, 0x20, 0x10] {
            assert_eq!(push(&[FINAL | reserved | PING, MASKED]), Err(Violation));
        }
    }

    #[test]
    fn a_close_is_answered_with_its_status_or_why_it_has_none() {
        assert!(closing(&[]).is_empty());
        assert_eq!(closing(&[3]), PROTOCOL_ERROR);
        assert_eq!(closing(&[3, 232]), [3, 232]);
        assert_eq!(closing(&[3, 232, b'b', b'y', b'e']), [3, 232]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_is_not_kept(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            for byte in bytes {
                if frames.push(byte).is_err() {
                    break;
                }
                prop_assert!(frames.header.len() <= 14 && frames.payload.len() <= MAX_CONTROL);
            }
        }
    }
}
