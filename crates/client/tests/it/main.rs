//! The client against scripted servers over real HTTP.

mod call;
mod operation;
mod server;
mod watch;
