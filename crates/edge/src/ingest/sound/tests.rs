//! Sound through a real FFmpeg, and back through another.
