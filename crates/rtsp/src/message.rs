//! RTSP messages and interleaved frames: what is in them, and how they are written.
//!
//! [`Decoder`] reads them from a byte stream.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

mod decoder;
mod limit;
mod start;

pub use decoder::Decoder;
pub use limit::{Error, Limits, Skipped};

/// A method (RFC 2326 §10). Unknown ones are kept, so that they can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the words of the RFC")]
pub enum Method {
    Options,
    Describe,
    Announce,
    Setup,
    Play,
    Pause,
    Teardown,
    GetParameter,
    SetParameter,
    Redirect,
    Record,
    /// Any other word.
    Other(String),
}

/// The methods of the RFC beside their words.
const METHODS: [(Method, &str); 11] = [
    (Method::Options, "OPTIONS"),
    (Method::Describe, "DESCRIBE"),
    (Method::Announce, "ANNOUNCE"),
    (Method::Setup, "SETUP"),
    (Method::Play, "PLAY"),
    (Method::Pause, "PAUSE"),
    (Method::Teardown, "TEARDOWN"),
    (Method::GetParameter, "GET_PARAMETER"),
    (Method::SetParameter, "SET_PARAMETER"),
    (Method::Redirect, "REDIRECT"),
    (Method::Record, "RECORD"),
];

impl Method {
    /// The word in the request line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(word) => word,
            known => METHODS
                .iter()
                .find_map(|(method, word)| (method == known).then_some(*word))
                .unwrap_or_default(),
        }
    }

    fn parse(word: &str) -> Self {
        METHODS
            .iter()
            .find_map(|(method, known)| (*known == word).then(|| method.clone()))
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Header fields in their order. Names compare without regard to case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl fmt::Debug for Headers {
    /// Without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| {
            let is_secret = name.eq_ignore_ascii_case("Authorization");
            (name, if is_secret { "…" } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}

impl Headers {
    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
    }

    /// All values of `name`.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| &**value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Adds a field. Control characters become spaces, so that no value can add a line.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let mut value: String = value.into();
        if value.contains(char::is_control) {
            value = value.replace(char::is_control, " ");
        }
        self.0.push((name.to_owned(), value));
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Continues the last value (a folded line, RFC 2616 §2.2).
    fn unfold(&mut self, more: &str) {
        if let Some((_, value)) = self.0.last_mut() {
            value.push(' ');
            value.push_str(more);
        }
    }

    /// The sequence number, if it is a number.
    #[must_use]
    pub fn cseq(&self) -> Option<u32> {
        self.get("CSeq")?.trim().parse().ok()
    }

    fn write(&self, body: &Bytes, out: &mut BytesMut) {
        for (name, value) in &self.0 {
            put(out, &[name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            put(out, &["Content-Length: ", &body.len().to_string(), "\r\n"]);
        }
        put(out, &["\r\n"]);
        out.put_slice(body);
    }
}

fn put(out: &mut BytesMut, parts: &[&str]) {
    for part in parts {
        out.put_slice(part.as_bytes());
    }
}

/// A request. `Content-Length` is written by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// To what, as it was written; `*` for the server itself.
    pub url: String,
    /// Header fields.
    pub headers: Headers,
    /// Empty if there is none.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields. Blanks in the URL become `%20`.
    #[must_use]
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: one_word(&url.into()),
            headers: Headers::default(),
            body: Bytes::new(),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let url = one_word(&self.url);
        put(
            &mut out,
            &[self.method.as_str(), " ", &url, " RTSP/1.0\r\n"],
        );
        self.headers.write(&self.body, &mut out);
        out.freeze()
    }
}

fn one_word(url: &str) -> String {
    url.replace(|c: char| c.is_control() || c.is_whitespace(), "%20")
}

/// An answer. `Content-Length` is written by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The status in words, as it was written.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// Empty if there is none.
    pub body: Bytes,
}

impl Response {
    /// An answer with the usual words for `status`, without header fields.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: reason(status).to_owned(),
            headers: Headers::default(),
            body: Bytes::new(),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let words = self.reason.replace(char::is_control, " ");
        put(
            &mut out,
            &["RTSP/1.0 ", &self.status.to_string(), " ", &words, "\r\n"],
        );
        self.headers.write(&self.body, &mut out);
        out.freeze()
    }
}

/// What comes over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// An answer.
    Response(Response),
    /// A frame between the messages (§10.12).
    Interleaved {
        /// Its channel.
        channel: u8,
        /// What is in it, an RTP or RTCP packet.
        data: Bytes,
    },
}

/// The four bytes that go before a packet of `length` bytes on `channel` (§10.12); `None` if it
/// is too long for a frame.
#[must_use]
pub fn frame_header(channel: u8, length: usize) -> Option<[u8; 4]> {
    let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
    Some([b'$', channel, high, low])
}

/// The words of a status code (§7.1.1).
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        451 => "Parameter Not Understood",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid In This State",
        457 => "Invalid Range",
        459 => "Aggregate Operation Not Allowed",
        460 => "Only Aggregate Operation Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "RTSP Version Not Supported",
        551 => "Option Not Supported",
        other => match other / 100 {
            2 => "OK",
            3 => "Redirection",
            4 => "Bad Request",
            _ => "Error",
        },
    }
}

#[cfg(test)]
mod tests;
