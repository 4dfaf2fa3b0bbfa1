//! Judged by FFmpeg: what it writes, we have to understand; what we write, it has to decode.

mod fixture;
mod flv;
mod fmp4;
mod ts;
