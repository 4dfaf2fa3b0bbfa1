//! The edge node: sockets, stream hub, agent, playback.
