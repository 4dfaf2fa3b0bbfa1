//! MPEG-TS (ISO/IEC 13818-1), as HTTP players, SRT and FFmpeg's pipes speak it.
//!
//! A [`Muxer`] serialises each frame once for all viewers; a [`Demuxer`] understands what others
//! have written. Both are for one program with one picture and one sound.

mod demux;
mod mux;
mod packet;
mod pes;
mod psi;

pub use demux::{Demuxer, Losses};
pub use mux::{Muxer, carries};

/// Bytes of a packet (§2.4.3.2). They are called cells here, since everything else is a packet too.
pub const CELL: usize = 188;
const SYNC: u8 = 0x47;
const CELL_HEADER: usize = 4;
/// What a cell can carry without an adaptation field.
const CELL_PAYLOAD: usize = CELL - CELL_HEADER;

const PAT_PID: u16 = 0;

/// Stream types (table 2-34).
const TYPE_PRIVATE: u8 = 0x06;
const TYPE_AAC_ADTS: u8 = 0x0f;
const TYPE_H264: u8 = 0x1b;
const TYPE_H265: u8 = 0x24;

/// Opus in TS (ETSI TS 103 491 has no say in it; Opus's own draft has): registration and the
/// extension descriptor with the channels.
const REGISTRATION: u8 = 5;
const EXTENSION: u8 = 0x7f;
const EXTENSION_OPUS: u8 = 0x80;
