//! What foreign programs make of our packets, and we of theirs.

mod ffmpeg_receives;
mod ffmpeg_sends;
mod gstreamer_sends;
mod network;
mod receive;
mod source;
