//! What a stranger may make us keep.

/// The most of [`Limits::partial_length`] for a peer that nobody has let publish yet.
const STRANGERS_PARTIAL: usize = 512 << 10;

/// Bounds on what one peer may send. The defaults fit real encoders with room to spare.
///
/// Those on media are for peers whose media we want: publishers that were accepted, and servers
/// that we have called. Of others every message is bounded as a command is, and what is incomplete
/// by 512 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest video or aggregate message, in bytes. An 8 Mbit/s camera's key frames have under 1 MiB.
    pub video_length: usize,
    /// Longest audio message, in bytes.
    pub audio_length: usize,
    /// Longest command or data message, in bytes. Metadata of a recording lists its key frames.
    pub command_length: usize,
    /// Chunk streams with a state of their own. Encoders use about six.
    pub chunk_streams: usize,
    /// Announced bytes of all messages that are begun and not complete.
    pub partial_length: usize,
    /// Bytes that are kept while the embedder decides about the peer's wish, or between two calls.
    pub held_input: usize,
    /// Commands in a burst; one more is allowed every 100 ms.
    pub commands: u32,
    /// Of AMF values in commands.
    pub amf: crate::amf::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            video_length: 8 << 20,
            audio_length: 1 << 20,
            command_length: 256 << 10,
            chunk_streams: 64,
            partial_length: 16 << 20,
            held_input: 1 << 20,
            commands: 64,
            amf: crate::amf::Limits::default(),
        }
    }
}

impl Limits {
    /// For a peer of which we know nothing.
    pub(crate) fn for_strangers(&self) -> Self {
        Self {
            video_length: self.video_length.min(self.command_length),
            audio_length: self.audio_length.min(self.command_length),
            partial_length: self.partial_length.min(STRANGERS_PARTIAL),
            ..self.clone()
        }
    }
}
