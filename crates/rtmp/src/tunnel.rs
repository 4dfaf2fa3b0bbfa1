//! RTMPT: RTMP inside HTTP requests (Adobe, "RTMPT protocol"; as Flash Player, FFmpeg and librtmp
//! speak it).
//!
//! A client opens a session by `POST /open/1` and gets its id. Then each request carries bytes
//! for us (`/send/<id>/<sequence>`) or none (`/idle/…`), and each answer has one byte that says how
//! eagerly to poll, and then bytes for the client. `/close/<id>/<sequence>` ends the session.
//!
//! This is the pure part: paths, sequence numbers, the polling byte, and a bounded buffer. The
//! caller has the HTTP server, a table of [`Session`]s by their ids (which it draws at random:
//! who knows an id is the client), a time limit for those without requests, and a
//! [`crate::Server`] per session that it feeds with what [`Session::request`] lets through.

use bytes::{Bytes, BytesMut};

/// The media type of all requests and answers.
pub const CONTENT_TYPE: &str = "application/x-fcs";

/// The longest session id that is looked up.
const MAX_ID: usize = 64;

/// What the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Flash Player asks for the server's address first. It is content with 404.
    Ident,
    /// A new session. The answer is its id and a line feed.
    Open,
    /// The body is for the server.
    Send(Call<'a>),
    /// The body, one zero mostly, is for nobody.
    Idle(Call<'a>),
    /// The end. The answer is like any other one.
    Close(Call<'a>),
}

/// A request in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// The session: 1 to 64 letters, digits, `-` and `_`.
    pub session: &'a str,
    /// Its number.
    pub sequence: u64,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// To be answered with 404.
    #[error("the path is none of /fcs/ident2, /open/1, /send, /idle and /close with id and number")]
    Path,
    /// To be answered with 400, and the session is to be closed: bytes are missing.
    #[error("request number {got} after {last}")]
    Sequence {
        /// The number that came.
        got: u64,
        /// The last one before it.
        last: u64,
    },
    /// The session is to be closed: the client does not fetch what it asked for.
    #[error("{length} bytes wait for the client, at most {limit} allowed")]
    Full {
        /// How many there would be.
        length: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// Reads the path of a POST request.
pub fn request(path: &str) -> Result<Request<'_>, Error> {
    let mut segments = path.strip_prefix('/').ok_or(Error::Path)?.split('/');
    let mut next = || segments.next();
    let (verb, first, second, more) = (next(), next(), next(), next());
    let request = match (verb, first, second) {
        (Some("fcs"), Some("ident" | "ident2"), None) => return Ok(Request::Ident),
        (Some("open"), Some("1"), None | Some("")) => return Ok(Request::Open),
        (Some("send"), _, _) => Request::Send,
        (Some("idle"), _, _) => Request::Idle,
        (Some("close"), _, _) => Request::Close,
        _ => return Err(Error::Path),
    };
    match (first, second, more) {
        (Some(session), Some(sequence), None) if is_id(session) && is_number(sequence) => {
            let sequence = sequence.parse().map_err(|_| Error::Path)?;
            Ok(request(Call { session, sequence }))
        }
        _ => Err(Error::Path),
    }
}

fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(is_plain)
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is the next one: its body counts, then [`Session::answer`] is its answer.
    New,
    /// It came before, and its answer was lost: this is the answer again, and the body does not
    /// count.
    Repeated(Bytes),
}

/// The bytes that one client has to fetch, and the numbers of its requests.
#[derive(Debug)]
pub struct Session {
    limit: usize,
    last: Option<u64>,
    waiting: BytesMut,
    answered: Bytes,
    /// Answers without bytes in a row.
    empty: u32,
}

impl Session {
    /// A session that keeps up to `limit` bytes for its client.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            last: None,
            waiting: BytesMut::new(),
            answered: Bytes::new(),
            empty: 0,
        }
    }

    /// Takes a request's number. FFmpeg counts from 1, librtmp from 0; each one more than the
    /// last.
    pub fn request(&mut self, sequence: u64) -> Result<Delivery, Error> {
        let last = match self.last {
            None => sequence.wrapping_sub(1),
            Some(last) if sequence == last => return Ok(Delivery::Repeated(self.answered.clone())),
            Some(last) => last,
        };
        if last.wrapping_add(1) != sequence {
            return Err(Error::Sequence {
                got: sequence,
                last,
            });
        }
        self.last = Some(sequence);
        Ok(Delivery::New)
    }

    /// Keeps bytes for the client.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (length, limit) = (self.waiting.len() + bytes.len(), self.limit);
        if length > limit {
            return Err(Error::Full { length, limit });
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// True if [`Session::answer`] would carry something.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The body of the answer to the last request: the polling byte and all that waits.
    pub fn answer(&mut self) -> Bytes {
        self.empty = if self.waiting.is_empty() {
            self.empty.saturating_add(1)
        } else {
            0
        };
        let mut answer = BytesMut::with_capacity(1 + self.waiting.len());
        answer.extend_from_slice(&[interval(self.empty)]);
        answer.extend_from_slice(&self.waiting);
        self.waiting.clear();
        self.answered = answer.freeze();
        self.answered.clone()
    }
}

/// How long the client should wait before it polls again, in the steps that Flash Media Server
/// takes: longer after every eighth answer in a row that had nothing.
fn interval(empty: u32) -> u8 {
    const STEPS: [u8; 6] = [0x01, 0x03, 0x05, 0x09, 0x11, 0x21];
    const EACH: u32 = 8;
    STEPS[(empty / EACH).min(5) as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        let call = Call {
            session: "aZ-9_",
            sequence: 17,
        };
        assert_eq!(request("/fcs/ident2"), Ok(Request::Ident));
        assert_eq!(request("/open/1"), Ok(Request::Open));
        assert_eq!(request("/send/aZ-9_/17"), Ok(Request::Send(call)));
        assert_eq!(request("/idle/aZ-9_/17"), Ok(Request::Idle(call)));
        assert_eq!(request("/close/aZ-9_/17"), Ok(Request::Close(call)));
        for path in [
            "",
            "/",
            "/open",
            "/open/2",
            "send/a/1",
            "/send/a",
            "/send//1",
            "/send/a/",
            "/send/a/-1",
            "/send/a/+1",
            "/send/a/1/2",
            "/send/a.b/1",
            "/send/a/99999999999999999999",
            "/live/a/1",
        ] {
            assert_eq!(request(path), Err(Error::Path), "{path}");
        }
        let long = "a".repeat(65);
        assert_eq!(request(&format!("/send/{long}/1")), Err(Error::Path));
    }

    #[test]
    fn a_repeated_request_gets_its_answer_again() {
        for first in [0, 1] {
            let mut session = Session::new(100);
            assert_eq!(session.request(first), Ok(Delivery::New));
            session.push(b"abc").unwrap();
            let answer = session.answer();
            assert_eq!(answer[..], *b"\x01abc");
            assert_eq!(session.request(first), Ok(Delivery::Repeated(answer)));
            assert_eq!(session.request(first + 1), Ok(Delivery::New));
            assert_eq!(session.answer()[..], [1]);
            assert_eq!(
                session.request(first + 3),
                Err(Error::Sequence {
                    got: first + 3,
                    last: first + 1
                })
            );
        }
    }

    #[test]
    fn polling_slows_down_and_wakes_up() {
        let mut session = Session::new(100);
        let intervals: Vec<_> = (0..60).map(|_| session.answer()[0]).collect();
        assert!(intervals.is_sorted());
        assert_eq!((intervals[0], intervals[7], intervals[59]), (1, 3, 0x21));
        session.push(b"x").unwrap();
        assert_eq!(session.answer()[..], *b"\x01x");
    }

    #[test]
    fn a_client_that_fetches_nothing_is_given_up() {
        let mut session = Session::new(4);
        session.push(b"abcd").unwrap();
        assert_eq!(
            session.push(b"e"),
            Err(Error::Full {
                length: 5,
                limit: 4
            })
        );
    }

    proptest! {
        #[test]
        fn any_path_will_do(path in "/(send|idle|close|open|fcs)?/?[a-z0-9/+-]{0,40}", text: String) {
            let _ = request(&path);
            let _ = request(&text);
        }
    }
}
