//! The interop matrix: real peers against a running Headworks, in both directions.
//!
//! A [`Row`] is one peer with one protocol and one set of codecs. [`Lab::run`] sets it up, lets
//! media flow from a foreign source through Headworks into a foreign player, and gives an
//! [`Outcome`]. The judge is always a foreign decoder: see [`watch`](mod@watch) for what it
//! measures and [`Row::judge`] for the bars.
//!
//! What flows is a [`Clip`] with a flash and a beep at the same moment of each second, so that the
//! distance of picture and sound can be measured at the other end.

mod clip;
mod lab;
mod play;
mod program;
mod publish;
mod pull;
mod push;
mod rows;
mod site;
#[cfg(test)]
mod tests;
mod verdict;
pub mod watch;

pub use clip::{Clip, Sound};
pub use lab::Lab;
pub use rows::rows;
pub use verdict::{Outcome, Verdict};

use play::Viewer;
use publish::Publisher;
use pull::Server;
use push::Target;

/// Where media goes, seen from Headworks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer publishes, or is pulled.
    In,
    /// The peer plays, or is pushed to.
    Out,
}

/// What the peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Publish(Publisher),
    Serve(Server),
    Play(Viewer),
    Push(Target),
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The program, as its users call it.
    pub peer: &'static str,
    /// `rtmp`, `hls`, …
    pub protocol: &'static str,
    /// What carries the protocol, or its media: `tcp`, `udp`, `tls`, `http`, `file`.
    pub transport: &'static str,
    /// What flows.
    pub clip: Clip,
    /// True if it belongs to the few that run with all other tests.
    pub quick: bool,
    part: Part,
}

impl Row {
    /// Where media goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        match self.part {
            Part::Publish(_) | Part::Serve(_) => Direction::In,
            Part::Play(_) | Part::Push(_) => Direction::Out,
        }
    }

    /// What the peer does, in a word.
    #[must_use]
    pub fn role(&self) -> &'static str {
        match self.part {
            Part::Publish(_) => "in, publishes",
            Part::Serve(_) => "in, is pulled",
            Part::Play(_) => "out, plays",
            Part::Push(_) => "out, is pushed to",
        }
    }

    /// All of it in one line, to choose rows by.
    #[must_use]
    pub fn name(&self) -> String {
        format!(
            "{}; {}; {}; {}; {}",
            self.peer,
            self.role(),
            self.protocol,
            self.clip.name(),
            self.transport
        )
    }
}
