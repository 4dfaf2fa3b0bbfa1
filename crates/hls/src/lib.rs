//! HLS as a sans-I/O engine: frames in, segments and playlists out.
