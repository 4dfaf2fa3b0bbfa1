//! What edges say to each other about one camera, as bytes; no I/O.
//!
//! A connection carries one camera. Who wants it says [`Ask::Hello`] and, as soon as it wants frames,
//! [`Ask::Play`]. The other answers with [`Tell::Welcome`] and [`Tell::Source`], or
//! [`Tell::Refused`], then with descriptions and frames as they come, and with [`Tell::Alive`] when
//! there is nothing else to say. A frame belongs to the newest source and the newest tracks before it.
//!
//! Each message is its kind (one byte), the length of its body (four bytes, big-endian) and the body.
//! Numbers are big-endian. Each kind has a longest body, and a [`Decoder`] makes room only for what
//! has come: an announcement alone costs nothing. Both ends have shown certificates before, but a
//! peer may be broken or taken over, so nothing here trusts it.

#[cfg(test)]
pub(super) mod tests;
mod tracks;

use std::sync::Arc;

use bytes::{Buf as _, BufMut, Bytes, BytesMut, TryGetError};
use headworks_media::{Frame, TrackKind, Tracks};
use headworks_types::{CameraId, NodeId, edge::SlotState};
use uuid::Uuid;

use crate::hub::Relayed;

/// The version that this code speaks.
pub(crate) const VERSION: u16 = 1;

/// The first bytes of a connection.
const MAGIC: &[u8; 4] = b"HWRL";

/// The kind and the length of a message.
const HEAD: usize = 5;

/// The longest payload of a frame: far beyond any camera, and below what a stream buffers.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;

/// The longest way from an origin.
pub(crate) const MAX_PATH: usize = 8;

/// The longest words, bytes.
const MAX_WORDS: usize = 2048;

/// No time line comes so far, in any clock: numbers beyond would only overflow.
const LATEST: i64 = 1 << 56;

/// What stands before the payload of a frame.
const FRAME_HEAD: usize = 25;

const VIDEO: u8 = 1;
const KEY: u8 = 2;
const STARTS_SESSION: u8 = 4;

/// What one edge asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Who is there, and what about.
    Hello {
        /// The highest version that the asking edge speaks.
        version: u16,
        camera: CameraId,
        /// Under which assignment the asking edge knows the camera …
        epoch: i64,
        /// … and who has it then.
        origin: Option<NodeId>,
    },
    /// Frames, please: from here on, if they are still there, else from a key frame on.
    Play { resume: Option<Place> },
    /// Goodbye: the asking edge has the camera from elsewhere, as far as it knows under this
    /// assignment from this origin.
    Leave { epoch: i64, origin: Option<NodeId> },
}

/// A place in the frames of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Tells one series of numbers and timestamps from all others.
    pub(crate) incarnation: u64,
    /// The number of the next frame.
    pub(crate) sequence: u64,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tell {
    /// The version that is spoken from here on.
    Welcome { version: u16 },
    /// No; the connection ends.
    Refused { why: Refusal },
    /// Where the frames come from that follow.
    Source(Source),
    /// What the frames are made of that follow.
    Tracks(Arc<Tracks>),
    /// One frame.
    Frame(Relayed),
    /// How the source is doing.
    Status {
        state: SlotState,
        /// For people.
        words: String,
    },
    /// Still there.
    Alive,
}

/// Why an edge does not relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// It speaks no version that the other speaks.
    #[error("it speaks another version")]
    Version,
    /// It knows no such camera.
    #[error("it does not know the camera")]
    Unknown,
    /// It has the camera from the one that asks.
    #[error("it has the camera from here itself")]
    Loop,
    /// It does not take the one that asks for a node of the cluster.
    #[error("it does not know this edge")]
    Stranger,
    /// It stops.
    #[error("it stops")]
    Stops,
}

impl Refusal {
    const ALL: [Self; 5] = [
        Self::Version,
        Self::Unknown,
        Self::Loop,
        Self::Stranger,
        Self::Stops,
    ];
}

/// Where frames come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Under which assignment the origin has the camera; 0 if nothing is known of an origin.
    pub(crate) epoch: i64,
    /// The origin's series of numbers; absent while there are no frames.
    pub(crate) incarnation: Option<u64>,
    /// Through whom they come: the one that tells first, the origin last, as far as it is known.
    pub(crate) path: Vec<NodeId>,
}

/// What is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The connection carries something else.
    #[error("it does not speak this protocol")]
    Foreign,
    /// No message begins with this.
    #[error("message of unknown kind {0}")]
    Kind(u8),
    /// The body is longer than any of its kind.
    #[error("message of kind {kind} with {length} bytes")]
    Length { kind: u8, length: u32 },
    /// The body is not what its kind has.
    #[error("bad message of kind {kind}: {reason}")]
    Body { kind: u8, reason: String },
}

/// Why a body is bad.
#[derive(Debug)]
pub(crate) enum Bad {
    /// It is of another protocol.
    Foreign,
    Because(String),
}

impl From<TryGetError> for Bad {
    fn from(_: TryGetError) -> Self {
        Self::new("it ends early")
    }
}

impl From<headworks_media::Error> for Bad {
    fn from(error: headworks_media::Error) -> Self {
        Self::Because(error.to_string())
    }
}

impl Bad {
    fn new(reason: &str) -> Self {
        Self::Because(reason.to_owned())
    }
}

/// A message of one of the two directions.
pub(crate) trait Message: Sized {
    /// The longest body of this kind, if there is such a kind.
    fn longest(kind: u8) -> Option<usize>;
    /// Reads a body; what is left of it is an error.
    fn read(kind: u8, body: &mut Bytes) -> Result<Self, Bad>;
}

/// Finds messages in what has come.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Where to put what comes.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message, if it is there as a whole.
    ///
    /// # Errors
    /// If what has come is none. Nothing that follows can be understood.
    pub(crate) fn next<M: Message>(&mut self) -> Result<Option<M>, Error> {
        let Some(head) = self.buffer.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let [kind, length @ ..] = *head;
        let length = u32::from_be_bytes(length);
        let longest = M::longest(kind).ok_or(Error::Kind(kind))?;
        let fits = usize::try_from(length).ok().filter(|some| *some <= longest);
        let body = fits.ok_or(Error::Length { kind, length })?;
        if self.buffer.len() < HEAD + body {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let mut body = self.buffer.split_to(body).freeze();
        let read = M::read(kind, &mut body);
        let whole = read.and_then(|message| match body.is_empty() {
            true => Ok(message),
            false => Err(Bad::new("it goes on behind its end")),
        });
        match whole {
            Ok(message) => Ok(Some(message)),
            Err(Bad::Foreign) => Err(Error::Foreign),
            Err(Bad::Because(reason)) => Err(Error::Body { kind, reason }),
        }
    }
}

mod kind {
    pub(super) const HELLO: u8 = b'H';
    pub(super) const PLAY: u8 = b'P';
    pub(super) const LEAVE: u8 = b'L';
    pub(super) const WELCOME: u8 = b'W';
    pub(super) const REFUSED: u8 = b'R';
    pub(super) const SOURCE: u8 = b'O';
    pub(super) const TRACKS: u8 = b'T';
    pub(super) const FRAME: u8 = b'F';
    pub(super) const STATUS: u8 = b'S';
    pub(super) const ALIVE: u8 = b'A';
}

impl Message for Ask {
    fn longest(kind: u8) -> Option<usize> {
        match kind {
            kind::HELLO => Some(64),
            kind::PLAY => Some(17),
            kind::LEAVE => Some(25),
            _ => None,
        }
    }

    fn read(kind: u8, body: &mut Bytes) -> Result<Self, Bad> {
        match kind {
            kind::HELLO => {
                let mut magic = [0; MAGIC.len()];
                body.try_copy_to_slice(&mut magic)?;
                if magic != *MAGIC {
                    return Err(Bad::Foreign);
                }
                let version = body.try_get_u16()?;
                let camera = id(body)?.into();
                let epoch = body.try_get_i64()?;
                let origin = read_origin(body)?;
                // What later versions say behind it is not for us.
                body.clear();
                Ok(Self::Hello {
                    version,
                    camera,
                    epoch,
                    origin,
                })
            }
            kind::PLAY => {
                let resume = match body.try_get_u8()? {
                    0 => None,
                    1 => Some(Place {
                        incarnation: body.try_get_u64()?,
                        sequence: body.try_get_u64()?,
                    }),
                    _ => return Err(Bad::new("neither with nor without a place")),
                };
                Ok(Self::Play { resume })
            }
            _ => Ok(Self::Leave {
                epoch: body.try_get_i64()?,
                origin: read_origin(body)?,
            }),
        }
    }
}

impl Ask {
    /// Appends its bytes.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Hello {
                version,
                camera,
                epoch,
                origin,
            } => put(out, kind::HELLO, |out| {
                out.put_slice(MAGIC);
                out.put_u16(*version);
                out.put_slice(camera.uuid().as_bytes());
                out.put_i64(*epoch);
                write_origin(out, *origin);
            }),
            Self::Play { resume } => put(out, kind::PLAY, |out| {
                out.put_u8(u8::from(resume.is_some()));
                if let Some(place) = resume {
                    out.put_u64(place.incarnation);
                    out.put_u64(place.sequence);
                }
            }),
            Self::Leave { epoch, origin } => put(out, kind::LEAVE, |out| {
                out.put_i64(*epoch);
                write_origin(out, *origin);
            }),
        }
    }
}

impl Message for Tell {
    fn longest(kind: u8) -> Option<usize> {
        match kind {
            kind::WELCOME => Some(64),
            kind::REFUSED => Some(1),
            kind::SOURCE => Some(18 + 16 * MAX_PATH),
            kind::TRACKS => Some(tracks::LONGEST),
            kind::FRAME => Some(FRAME_HEAD + MAX_PAYLOAD),
            kind::STATUS => Some(1 + MAX_WORDS),
            kind::ALIVE => Some(0),
            _ => None,
        }
    }

    fn read(kind: u8, body: &mut Bytes) -> Result<Self, Bad> {
        Ok(match kind {
            kind::WELCOME => {
                let version = body.try_get_u16()?;
                body.clear();
                Self::Welcome { version }
            }
            kind::REFUSED => {
                let why = usize::from(body.try_get_u8()?);
                let why = Refusal::ALL.get(why).copied();
                let why = why.ok_or_else(|| Bad::new("an unknown reason"))?;
                Self::Refused { why }
            }
            kind::SOURCE => Self::Source(read_source(body)?),
            kind::TRACKS => Self::Tracks(Arc::new(tracks::read(body)?)),
            kind::FRAME => Self::Frame(read_frame(body)?),
            kind::STATUS => {
                let state = state(body.try_get_u8()?)?;
                let mut words = String::from_utf8_lossy(&std::mem::take(body)).into_owned();
                words.truncate(words.floor_char_boundary(MAX_WORDS));
                Self::Status { state, words }
            }
            _ => Self::Alive,
        })
    }
}

impl Tell {
    /// Appends its bytes. Payloads of frames can be left to [`frame_head`].
    pub(crate) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Welcome { version } => put(out, kind::WELCOME, |out| out.put_u16(*version)),
            Self::Refused { why } => put(out, kind::REFUSED, |out| {
                let place = Refusal::ALL.iter().position(|other| other == why);
                out.put_u8(place.unwrap_or_default() as u8);
            }),
            Self::Source(source) => put(out, kind::SOURCE, |out| write_source(out, source)),
            Self::Tracks(tracks) => put(out, kind::TRACKS, |out| tracks::write(out, tracks)),
            Self::Frame(relayed) => {
                frame_head(out, relayed);
                out.put_slice(&relayed.frame.payload);
            }
            Self::Status { state, words } => put(out, kind::STATUS, |out| {
                out.put_u8(state_number(*state));
                out.put_slice(&words.as_bytes()[..words.floor_char_boundary(MAX_WORDS)]);
            }),
            Self::Alive => put(out, kind::ALIVE, |_| {}),
        }
    }
}

/// Appends the bytes of a frame up to its payload, which has to follow.
pub(crate) fn frame_head(out: &mut BytesMut, relayed: &Relayed) {
    let frame = &relayed.frame;
    let flag = |is: bool, flag| if is { flag } else { 0 };
    out.put_u8(kind::FRAME);
    out.put_u32((FRAME_HEAD + frame.payload.len()) as u32);
    out.put_u64(relayed.sequence);
    out.put_u8(
        flag(frame.track == TrackKind::Video, VIDEO)
            | flag(frame.key, KEY)
            | flag(relayed.starts_session, STARTS_SESSION),
    );
    out.put_i64(frame.dts);
    out.put_i64(frame.pts);
}

fn read_frame(body: &mut Bytes) -> Result<Relayed, Bad> {
    let sequence = body.try_get_u64()?;
    let flags = body.try_get_u8()?;
    if flags & !(VIDEO | KEY | STARTS_SESSION) != 0 {
        return Err(Bad::new("unknown flags"));
    }
    let track = match flags & VIDEO {
        0 => TrackKind::Audio,
        _ => TrackKind::Video,
    };
    let (dts, pts) = (body.try_get_i64()?, body.try_get_i64()?);
    if dts < -LATEST || pts > LATEST || pts < dts {
        return Err(Bad::new("times that no stream has"));
    }
    Ok(Relayed {
        sequence,
        starts_session: flags & STARTS_SESSION != 0,
        frame: Frame {
            track,
            dts,
            pts,
            key: flags & KEY != 0 || track == TrackKind::Audio,
            payload: std::mem::take(body),
        },
    })
}

fn read_source(body: &mut Bytes) -> Result<Source, Bad> {
    let epoch = body.try_get_i64()?;
    let incarnation = match body.try_get_u8()? {
        0 => None,
        1 => Some(body.try_get_u64()?),
        _ => return Err(Bad::new("neither with nor without frames")),
    };
    let length = usize::from(body.try_get_u8()?);
    if length == 0 || length > MAX_PATH {
        return Err(Bad::new("no path, or one too long"));
    }
    let path = (0..length).map(|_| Ok(id(body)?.into()));
    Ok(Source {
        epoch,
        incarnation,
        path: path.collect::<Result<_, Bad>>()?,
    })
}

fn write_source(out: &mut BytesMut, source: &Source) {
    out.put_i64(source.epoch);
    out.put_u8(u8::from(source.incarnation.is_some()));
    if let Some(incarnation) = source.incarnation {
        out.put_u64(incarnation);
    }
    let path = &source.path[..source.path.len().min(MAX_PATH)];
    out.put_u8(path.len() as u8);
    for node in path {
        out.put_slice(node.uuid().as_bytes());
    }
}

fn read_origin(body: &mut Bytes) -> Result<Option<NodeId>, Bad> {
    match body.try_get_u8()? {
        0 => Ok(None),
        1 => Ok(Some(id(body)?.into())),
        _ => Err(Bad::new("neither with nor without an origin")),
    }
}

fn write_origin(out: &mut BytesMut, origin: Option<NodeId>) {
    out.put_u8(u8::from(origin.is_some()));
    if let Some(origin) = origin {
        out.put_slice(origin.uuid().as_bytes());
    }
}

fn state(number: u8) -> Result<SlotState, Bad> {
    Ok(match number {
        0 => SlotState::Idle,
        1 => SlotState::Connecting,
        2 => SlotState::Live,
        3 => SlotState::Failed,
        _ => return Err(Bad::new("an unknown state")),
    })
}

fn state_number(state: SlotState) -> u8 {
    match state {
        SlotState::Idle => 0,
        SlotState::Connecting => 1,
        SlotState::Live => 2,
        SlotState::Failed => 3,
    }
}

fn id(body: &mut Bytes) -> Result<Uuid, Bad> {
    let mut bytes = [0; 16];
    body.try_copy_to_slice(&mut bytes)?;
    Ok(Uuid::from_bytes(bytes))
}

/// Appends a message whose body `write` appends.
fn put(out: &mut BytesMut, kind: u8, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    write(out);
    let length = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
