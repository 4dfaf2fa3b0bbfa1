//! Reads messages and frames from a byte stream, however it is split.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Error, Headers, Limits, Message, Request, Response, Skipped,
    limit::not_rtsp,
    start::{FirstLine, Start, first_line, in_step, out_of_step},
};

/// Reads messages from the bytes of one connection.
///
/// It forgives what cameras send: stray line ends and garbage between messages, bare line feeds,
/// folded, empty and malformed header lines, and an answer with SDP but no `Content-Length`. The
/// first bytes of a connection must be RTSP, however: anything else is another protocol.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    buffer: BytesMut,
    /// Of the buffer's first byte.
    offset: u64,
    state: State,
    /// Something has been understood.
    heard: bool,
    skipped: Skipped,
    /// Bytes of garbage in a row.
    garbage: usize,
}

#[derive(Debug)]
enum State {
    Between,
    /// Looking for the next thing that is surely a message.
    Lost,
    /// Reading a head. `lines` are the ends of the complete ones, `searched` has no line end.
    Head {
        lines: Vec<usize>,
        searched: usize,
    },
    Body {
        message: Message,
        length: usize,
    },
    /// SDP of unknown length; so many bytes of it are known.
    OpenBody {
        message: Message,
        known: usize,
    },
}

impl State {
    fn head() -> Self {
        Self::Head {
            lines: Vec::new(),
            searched: 0,
        }
    }
}

impl Decoder {
    /// Before the first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            offset: 0,
            state: State::Between,
            heard: false,
            skipped: Skipped::default(),
            garbage: 0,
        }
    }

    /// Takes the next bytes. [`Self::next_message`] must follow until there is none.
    pub fn feed(&mut self, input: &[u8]) {
        self.buffer.extend_from_slice(input);
    }

    /// How many bytes wait.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// What has been passed over so far.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// True while an answer is read whose end only silence tells; see [`Self::finish_body`].
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        matches!(self.state, State::OpenBody { .. })
    }

    /// Nothing more belongs to the body of the answer that is being read.
    pub fn finish_body(&mut self) -> Option<Message> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::OpenBody { message, .. } => {
                let length = self.buffer.len();
                Some(self.complete(message, length))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The next message or frame; `None` if more bytes are needed. After an error the connection
    /// is of no more use.
    pub fn next_message(&mut self) -> Result<Option<Message>, Error> {
        loop {
            match std::mem::replace(&mut self.state, State::Between) {
                State::Between => match in_step(&self.buffer) {
                    Start::Unknown => return Ok(None),
                    Start::LineEnd => self.advance(1),
                    Start::Text => self.state = State::head(),
                    Start::Frame => return self.frame(),
                    Start::Garbage => self.lose_step()?,
                },
                State::Lost => {
                    if !self.find_step()? {
                        return Ok(None);
                    }
                }
                State::Head { lines, searched } => {
                    if !self.head(lines, searched)? {
                        return Ok(None);
                    }
                }
                State::Body { message, length } if self.buffer.len() >= length => {
                    return Ok(Some(self.complete(message, length)));
                }
                State::OpenBody { message, known } => {
                    return self.open_body(message, known);
                }
                waiting @ State::Body { .. } => {
                    self.state = waiting;
                    return Ok(None);
                }
            }
        }
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        self.offset += count as u64;
    }

    fn understood(&mut self) {
        self.heard = true;
        self.garbage = 0;
    }

    fn frame(&mut self) -> Result<Option<Message>, Error> {
        let &[_, channel, high, low, ..] = &self.buffer[..] else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > self.limits.frame {
            return Err(Error::FrameTooLarge {
                offset: self.offset,
                channel,
                length,
                limit: self.limits.frame,
            });
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.advance(4);
        let data = self.take(length);
        self.understood();
        Ok(Some(Message::Interleaved { channel, data }))
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.offset += length as u64;
        self.buffer.split_to(length).freeze()
    }

    /// The first byte belongs to nothing that we know.
    fn lose_step(&mut self) -> Result<(), Error> {
        if !self.heard {
            return Err(not_rtsp(&self.buffer));
        }
        self.skipped.times += 1;
        self.skip(1)?;
        self.state = State::Lost;
        Ok(())
    }

    fn skip(&mut self, count: usize) -> Result<(), Error> {
        self.advance(count);
        self.garbage += count;
        self.skipped.bytes += count as u64;
        if self.garbage > self.limits.garbage {
            return Err(Error::Garbage {
                offset: self.offset - self.garbage as u64,
                bytes: self.garbage,
            });
        }
        Ok(())
    }

    /// Passes over garbage. False if more bytes are needed.
    fn find_step(&mut self) -> Result<bool, Error> {
        let mut at = 0;
        let found = loop {
            match out_of_step(&self.buffer[at..]) {
                Start::Garbage | Start::LineEnd => at += 1,
                found => break found,
            }
        };
        self.skip(at)?;
        self.state = match found {
            Start::Text => State::head(),
            Start::Frame => State::Between,
            _ => State::Lost,
        };
        Ok(found != Start::Unknown)
    }

    /// Reads on in the head. False if more bytes are needed.
    fn head(&mut self, mut lines: Vec<usize>, mut searched: usize) -> Result<bool, Error> {
        loop {
            let begin = lines.last().copied().unwrap_or(0);
            let end = self.buffer[searched..].iter().position(|b| *b == b'\n');
            let length = end.map_or(self.buffer.len(), |end| searched + end + 1) - begin;
            if length > self.limits.line {
                return Err(Error::LineTooLong {
                    offset: self.offset + begin as u64,
                    limit: self.limits.line,
                });
            }
            if end.is_none() {
                searched = self.buffer.len();
                self.state = State::Head { lines, searched };
                return Ok(false);
            }
            searched = begin + length;
            lines.push(searched);
            if lines.len() == 1 && self.first_line(&lines).is_none() {
                self.lose_step()?;
                return Ok(true);
            }
            if self.buffer[begin..searched].trim_ascii().is_empty() {
                self.state = self.start_body(&lines)?;
                return Ok(true);
            }
            if lines.len() > self.limits.headers + 1 {
                return Err(Error::TooManyHeaders {
                    offset: self.offset,
                    limit: self.limits.headers,
                });
            }
        }
    }

    fn first_line(&self, lines: &[usize]) -> Option<FirstLine> {
        first_line(&String::from_utf8_lossy(&self.buffer[..*lines.first()?]))
    }

    /// The head is complete.
    fn start_body(&mut self, lines: &[usize]) -> Result<State, Error> {
        let mut headers = Headers::default();
        for line in lines.windows(2) {
            parse_header(&self.buffer[line[0]..line[1]], &mut headers);
        }
        let length = self.body_length(&headers)?;
        let is_sdp = headers.get("Content-Type").is_some_and(is_sdp);
        let message = match self.first_line(lines) {
            Some(FirstLine::Request { method, url }) => {
                let mut request = Request::new(method, url);
                request.headers = headers;
                Message::Request(request)
            }
            Some(FirstLine::Response { status, reason }) => {
                let mut response = Response::new(status);
                (response.reason, response.headers) = (reason, headers);
                Message::Response(response)
            }
            None => return Err(not_rtsp(&self.buffer)),
        };
        self.advance(lines.last().copied().unwrap_or(0));
        Ok(match (length, &message) {
            (None, Message::Response(_)) if is_sdp => State::OpenBody { message, known: 0 },
            (length, _) => State::Body {
                message,
                length: length.unwrap_or(0),
            },
        })
    }

    fn body_length(&self, headers: &Headers) -> Result<Option<usize>, Error> {
        let wrong = |found: &str| Error::BadLength {
            offset: self.offset,
            found: found.chars().take(40).collect(),
        };
        let mut all = headers.get_all("Content-Length").map(str::trim);
        let Some(text) = all.next() else {
            return Ok(None);
        };
        // Whoever stands between may have taken the other one.
        if let Some(other) = all.find(|other| *other != text) {
            return Err(wrong(&format!("{text} and {other}")));
        }
        let length: u64 = text.parse().map_err(|_| wrong(text))?;
        match usize::try_from(length) {
            Ok(length) if length <= self.limits.body => Ok(Some(length)),
            _ => Err(Error::BodyTooLarge {
                offset: self.offset,
                length,
                limit: self.limits.body,
            }),
        }
    }

    /// Lines of the form `x=…` go on; anything else is the next message.
    fn open_body(&mut self, message: Message, mut known: usize) -> Result<Option<Message>, Error> {
        loop {
            let rest = &self.buffer[known..];
            let goes_on = match rest {
                [] => break,
                [b'\r' | b'\n', ..] => true,
                [letter] => letter.is_ascii_lowercase(),
                [letter, second, ..] => letter.is_ascii_lowercase() && *second == b'=',
            };
            if !goes_on {
                return Ok(Some(self.complete(message, known)));
            }
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                break;
            };
            known += end + 1;
        }
        if self.buffer.len() > self.limits.body {
            return Err(Error::BodyTooLarge {
                offset: self.offset,
                length: self.buffer.len() as u64,
                limit: self.limits.body,
            });
        }
        self.state = State::OpenBody { message, known };
        Ok(None)
    }

    fn complete(&mut self, mut message: Message, length: usize) -> Message {
        self.understood();
        let bytes = self.take(length);
        match &mut message {
            Message::Request(Request { body, .. }) | Message::Response(Response { body, .. }) => {
                *body = bytes;
            }
            Message::Interleaved { .. } => {}
        }
        message
    }
}

fn is_sdp(content_type: &str) -> bool {
    content_type
        .get(..15)
        .is_some_and(|start| start.eq_ignore_ascii_case("application/sdp"))
}

/// A line that is not a header is passed over.
fn parse_header(line: &[u8], headers: &mut Headers) {
    let line = String::from_utf8_lossy(line);
    if line.starts_with([' ', '\t']) {
        headers.unfold(line.trim());
    } else if let Some((name, value)) = line.split_once(':') {
        headers.push(name.trim(), value.trim());
    }
}
