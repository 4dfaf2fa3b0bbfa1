//! What stands at the start of some bytes: a message, a frame, or garbage.

use super::{METHODS, Method};

/// No method is longer.
const LONGEST_WORD: usize = 32;
/// A frame's header and the first byte of its packet.
const FRAME_PROBE: usize = 5;

/// What it looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Text,
    Frame,
    LineEnd,
    Garbage,
    /// More bytes are needed to say.
    Unknown,
}

/// In step with the sender: anything that can be a message is one.
pub(super) fn in_step(bytes: &[u8]) -> Start {
    match bytes.first() {
        None => Start::Unknown,
        Some(b'$') => Start::Frame,
        Some(b'\r' | b'\n') => Start::LineEnd,
        Some(_) => text(bytes),
    }
}

/// `RTSP/…`, or a word and a space.
fn text(bytes: &[u8]) -> Start {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let head = &bytes[..bytes.len().min(LONGEST_WORD)];
    match head.iter().position(|b| !is_word(b)) {
        None if bytes.len() < LONGEST_WORD => Start::Unknown,
        None | Some(0) => Start::Garbage,
        Some(end) => match bytes[end] {
            b' ' | b'\t' => Start::Text,
            b'/' if bytes[..end].eq_ignore_ascii_case(b"RTSP") => Start::Text,
            _ => Start::Garbage,
        },
    }
}

/// Out of step: only what is very likely a message or a frame counts as one.
pub(super) fn out_of_step(bytes: &[u8]) -> Start {
    match bytes.first() {
        None => Start::Unknown,
        Some(b'$') if bytes.len() < FRAME_PROBE => Start::Unknown,
        // RTP and RTCP packets begin with version 2 (RFC 3550 §5.1, §6.4.1) and have 8 bytes.
        Some(b'$') => {
            let long_enough = u16::from_be_bytes([bytes[2], bytes[3]]) >= 8;
            if long_enough && bytes[4] >> 6 == 2 {
                Start::Frame
            } else {
                Start::Garbage
            }
        }
        Some(_) => known_word(bytes),
    }
}

fn known_word(bytes: &[u8]) -> Start {
    let words = METHODS.iter().map(|(_, word)| (*word, " "));
    let mut best = Start::Garbage;
    for (word, after) in words.chain([("RTSP", "/1.")]) {
        let mut wanted = word.bytes().chain(after.bytes());
        let length = word.len() + after.len();
        let agrees = bytes.iter().take(length).all(|b| Some(*b) == wanted.next());
        match agrees {
            true if bytes.len() >= length => return Start::Text,
            true => best = Start::Unknown,
            false => {}
        }
    }
    best
}

/// A parsed first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstLine {
    Request { method: Method, url: String },
    Response { status: u16, reason: String },
}

/// `None` if it is not RTSP/1.
pub(super) fn first_line(line: &str) -> Option<FirstLine> {
    let line = line.trim();
    if is_version(line.split_whitespace().next()?) {
        let rest = line.split_once(char::is_whitespace)?.1.trim_start();
        // Seen without a space between number and words, and without words.
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let status: u16 = rest[..digits].parse().ok()?;
        return (100..1000).contains(&status).then(|| FirstLine::Response {
            status,
            reason: rest[digits..].trim().to_owned(),
        });
    }
    let (method, rest) = line.split_once(char::is_whitespace)?;
    let (url, version) = rest.trim().rsplit_once(char::is_whitespace)?;
    is_version(version).then(|| FirstLine::Request {
        method: Method::parse(method),
        url: url.trim().to_owned(),
    })
}

fn is_version(word: &str) -> bool {
    word.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("RTSP/1."))
}
