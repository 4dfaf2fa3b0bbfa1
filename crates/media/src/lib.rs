//! Codec parameters, timestamps, frames, FLV and fragmented MP4.
