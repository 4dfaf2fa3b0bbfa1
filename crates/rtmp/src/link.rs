//! What both ends of a connection do alike: handshake, chunks, the protocol's own messages.

mod aggregate;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    Error, Handshake, Limits, Media, Message, chunk::Reader, command::Command, message::kind, wire,
};
use aggregate::Aggregate;

/// The handshake's bytes in one direction.
const HANDSHAKE: u64 = 1 + 2 * 1536;
/// How much may be under way before it is acknowledged: what FMS and nginx-rtmp ask for, or near.
const WINDOW: u32 = 2_500_000;
/// How long it takes until one more command is allowed.
const COMMAND_EVERY: Duration = Duration::from_millis(100);

/// User control events (§7.1.7).
const STREAM_BEGIN: u16 = 0;
pub(crate) const STREAM_EOF: u16 = 1;
const SET_BUFFER_LENGTH: u16 = 3;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;

/// One connection's state below the commands.
#[derive(Debug)]
pub(crate) struct Link {
    limits: Limits,
    handshake: Option<Handshake>,
    reader: Reader,
    aggregate: Option<Aggregate>,
    input: Bytes,
    out: VecDeque<Bytes>,
    /// Acknowledged input, and after how much more to do it again.
    acknowledged: u64,
    window: u32,
    commands: u32,
    commands_since: Instant,
}

/// What the next message was.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is none.
    Nothing,
    /// It was for the link itself; there may be something to send.
    Again,
    /// The handshake is done.
    Shaken,
    /// A command on a message stream.
    Command(u32, Command),
    /// Media, on whatever stream.
    Media(Media),
    /// The peer will send no more media.
    StreamEof,
}

impl Link {
    pub(crate) fn new(now: Instant, limits: Limits, handshake: Handshake) -> Self {
        Self {
            reader: Reader::new(limits.clone(), HANDSHAKE),
            handshake: Some(handshake),
            aggregate: None,
            input: Bytes::new(),
            out: VecDeque::new(),
            acknowledged: 0,
            window: WINDOW,
            commands: limits.commands,
            commands_since: now,
            limits,
        }
    }

    /// Other bounds, from the next chunk on.
    pub(crate) fn set_limits(&mut self, limits: &Limits) {
        self.reader.set_limits(limits.clone());
        self.limits = limits.clone();
    }

    /// Takes bytes from the peer.
    pub(crate) fn receive(&mut self, input: Bytes) -> Result<(), Error> {
        let (length, limit) = (self.input.len() + input.len(), self.limits.held_input);
        if !self.input.is_empty() && length > limit {
            return Err(Error::Limit {
                offset: self.offset(),
                what: "bytes before an answer:",
                value: length as u64,
                limit: limit as u64,
            });
        }
        self.input = join(std::mem::take(&mut self.input), input);
        Ok(())
    }

    /// Forgets what has not been read yet.
    pub(crate) fn stop(&mut self) {
        self.input = Bytes::new();
        self.aggregate = None;
    }

    /// Bytes to send next.
    pub(crate) fn sending(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// What was read, from the start of the connection.
    pub(crate) fn offset(&self) -> u64 {
        if self.handshake.is_some() {
            0
        } else {
            self.reader.offset()
        }
    }

    pub(crate) fn send(&mut self, message: Bytes) {
        self.out.push_back(message);
    }

    /// Announces our chunk size, and how much we send and read between acknowledgements.
    pub(crate) fn announce(&mut self) {
        self.send(wire::control(kind::WINDOW_SIZE, &WINDOW.to_be_bytes()));
        self.send(wire::control(
            kind::SET_CHUNK_SIZE,
            &(wire::CHUNK_SIZE as u32).to_be_bytes(),
        ));
    }

    /// Asks the peer to acknowledge after as much as we do (§5.4.5).
    pub(crate) fn limit_peer(&mut self) {
        const DYNAMIC: u8 = 2;
        let [a, b, c, d] = WINDOW.to_be_bytes();
        self.send(wire::control(kind::PEER_BANDWIDTH, &[a, b, c, d, DYNAMIC]));
    }

    pub(crate) fn send_stream_begin(&mut self, stream: u32) {
        self.user_control(STREAM_BEGIN, &[stream]);
    }

    pub(crate) fn send_buffer_length(&mut self, stream: u32, milliseconds: u32) {
        self.user_control(SET_BUFFER_LENGTH, &[stream, milliseconds]);
    }

    pub(crate) fn send_ping(&mut self, time: u32) {
        self.user_control(PING_REQUEST, &[time]);
    }

    fn user_control(&mut self, event: u16, values: &[u32]) {
        self.send(wire::user_control(event, values));
    }

    /// Reads the next message.
    pub(crate) fn step(&mut self, now: Instant) -> Result<Step, Error> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.step(&mut self.input, &mut self.out)? {
                return Ok(if self.out.is_empty() {
                    Step::Nothing
                } else {
                    Step::Again
                });
            }
            self.handshake = None;
            return Ok(Step::Shaken);
        }
        if let Some(aggregate) = &mut self.aggregate {
            let next = aggregate
                .next()
                .map_err(|what| self.reader.malformed(what))?;
            return Ok(match next {
                Some(message) => Media::of(message).map_or(Step::Again, Step::Media),
                None => {
                    self.aggregate = None;
                    Step::Again
                }
            });
        }
        let message = self.reader.next(&mut self.input)?;
        self.acknowledge();
        match message {
            Some(message) => self.take(now, message),
            None if self.out.is_empty() => Ok(Step::Nothing),
            None => Ok(Step::Again),
        }
    }

    /// §5.4.3. Half a window early, so that nobody ever waits for it.
    fn acknowledge(&mut self) {
        let offset = self.reader.offset();
        if offset - self.acknowledged >= u64::from(self.window / 2).max(1) {
            self.acknowledged = offset;
            // The counter wraps, as the field does.
            let payload = (offset as u32).to_be_bytes();
            self.send(wire::control(kind::ACKNOWLEDGEMENT, &payload));
        }
    }

    fn take(&mut self, now: Instant, message: Message) -> Result<Step, Error> {
        match message.kind {
            kind::SET_CHUNK_SIZE => self.reader.set_chunk_size(self.number(&message)?)?,
            kind::ABORT => self.reader.abort(self.number(&message)?),
            // Below this an acknowledgement would follow every other message.
            kind::WINDOW_SIZE => self.window = self.number(&message)?.max(1 << 12),
            // The answer to it, our own window, was announced already (§5.4.5).
            kind::PEER_BANDWIDTH => {
                self.number(&message)?;
            }
            kind::USER_CONTROL => return self.take_user_control(&message.payload),
            kind::COMMAND | kind::COMMAND_AMF3 => return self.take_command(now, &message),
            kind::AGGREGATE => self.aggregate = Some(Aggregate::new(message)),
            _ => {
                if let Some(media) = Media::of(message) {
                    return Ok(Step::Media(media));
                }
            }
        }
        Ok(Step::Again)
    }

    fn number(&self, message: &Message) -> Result<u32, Error> {
        message
            .payload
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
            .ok_or_else(|| self.reader.malformed("a control message has under 4 bytes"))
    }

    fn take_user_control(&mut self, payload: &[u8]) -> Result<Step, Error> {
        let Some((event, data)) = payload.split_first_chunk() else {
            return Err(self.reader.malformed("a user control message has no type"));
        };
        match u16::from_be_bytes(*event) {
            PING_REQUEST => {
                let time = data
                    .first_chunk()
                    .map_or(0, |time| u32::from_be_bytes(*time));
                self.user_control(PING_RESPONSE, &[time]);
                Ok(Step::Again)
            }
            STREAM_EOF => Ok(Step::StreamEof),
            _ => Ok(Step::Again),
        }
    }

    fn take_command(&mut self, now: Instant, message: &Message) -> Result<Step, Error> {
        let end = self.reader.offset();
        self.count_command(now, end)?;
        let is_amf3 = message.kind == kind::COMMAND_AMF3;
        let command = Command::read(&message.payload, is_amf3, self.limits.amf)
            .map_err(|source| Error::Command { end, source })?;
        Ok(Step::Command(message.stream, command))
    }

    fn count_command(&mut self, now: Instant, offset: u64) -> Result<(), Error> {
        let passed = now.saturating_duration_since(self.commands_since);
        let more = (passed.as_millis() / COMMAND_EVERY.as_millis()) as u32;
        if more > 0 {
            self.commands = self.commands.saturating_add(more).min(self.limits.commands);
            self.commands_since = now;
        }
        let limit = self.limits.commands;
        self.commands = self.commands.checked_sub(1).ok_or(Error::Limit {
            offset,
            what: "commands at once:",
            value: u64::from(limit) + 1,
            limit: limit.into(),
        })?;
        Ok(())
    }
}

/// Mostly nothing is left, and then nothing is copied.
fn join(left: Bytes, more: Bytes) -> Bytes {
    if left.is_empty() {
        return more;
    }
    let mut joined = BytesMut::from(left);
    joined.extend_from_slice(&more);
    joined.freeze()
}
