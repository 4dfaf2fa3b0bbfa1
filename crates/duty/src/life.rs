//! How a node lives.

use std::time::Duration;

use headworks_types::NodeState;

/// How a node lives, as its rows tell.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// A reconciler has declared it dead.
    pub died: bool,
    /// It said that it stops.
    pub goodbye: bool,
    /// Seconds since it renewed its lease; `None` if it never did.
    pub silence: Option<f64>,
}

impl Life {
    /// How the cluster sees the node, where `suspect` is the silence that makes it suspect.
    #[must_use]
    pub fn state(&self, suspect: Duration) -> NodeState {
        match self.silence {
            _ if self.died || self.goodbye => NodeState::Dead,
            Some(silence) if silence <= suspect.as_secs_f64() => NodeState::Ready,
            _ => NodeState::Suspect,
        }
    }

    /// The same for people; goes on after the node's name.
    #[must_use]
    pub fn words(&self, suspect: Duration) -> String {
        let Some(silence) = self.silence else {
            return "has joined, but has not reported yet".to_owned();
        };
        let silence_words = duration(silence);
        match self.state(suspect) {
            NodeState::Ready => "renews its lease".to_owned(),
            _ if self.goodbye => format!("was stopped {silence_words} ago"),
            _ => format!("has not reported for {silence_words}"),
        }
    }
}

fn duration(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    match seconds.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
