//! Who reaches whom, how fast, and what gets lost.
//!
//! Requests and their answers are messages of their own: each may be lost, late, doubled (a proxy
//! tries again) or overtake another one. The lines of a watch come in order, as TCP makes them, or
//! not at all.

use std::{collections::BTreeSet, time::Duration};

use rand::{RngExt as _, rngs::StdRng};

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The edge with this number.
    Edge(usize),
    /// The controller with this number.
    Controller(usize),
    /// The database.
    Database,
}

/// The network between all places.
#[derive(Debug, Default)]
pub struct Network {
    /// From whom to whom nothing gets through.
    cut: BTreeSet<(Place, Place)>,
    /// How often a message is lost, and how often it comes twice.
    pub loss: f64,
    /// The longest that a message takes on a bad day.
    pub slow: Duration,
}

impl Network {
    /// Nothing gets through any more in this direction.
    pub fn cut(&mut self, from: Place, to: Place) {
        self.cut.insert((from, to));
    }

    /// Everything gets through again in this direction.
    pub fn heal(&mut self, from: Place, to: Place) {
        self.cut.remove(&(from, to));
    }

    /// Everything gets through again.
    pub fn heal_all(&mut self) {
        *self = Self::default();
    }

    /// True if nothing gets through.
    #[must_use]
    pub fn is_cut(&self, from: Place, to: Place) -> bool {
        self.cut.contains(&(from, to))
    }

    /// How long a message takes; none if it is lost.
    pub fn delay(&self, from: Place, to: Place, random: &mut StdRng) -> Option<Duration> {
        if self.is_cut(from, to) || self.happens(random) {
            return None;
        }
        Some(self.latency(random))
    }

    /// How long what is not lost takes.
    pub fn latency(&self, random: &mut StdRng) -> Duration {
        let usual = Duration::from_micros(random.random_range(200..3000));
        if self.slow.is_zero() || random.random_bool(0.7) {
            usual
        } else {
            usual + self.slow.mul_f64(random.random_range(0.0..1.0))
        }
    }

    /// True as often as messages get lost.
    pub fn happens(&self, random: &mut StdRng) -> bool {
        self.loss > 0.0 && random.random_bool(self.loss)
    }
}
