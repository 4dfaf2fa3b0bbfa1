//! Which edge a viewer of a camera is sent to.
//!
//! [`rank`] puts all nodes into an order, the best first. Living nodes come before silent ones, those
//! of the viewer's zone before others, and where load is about the same, those that have the camera
//! before those that would have to relay it. So the viewers of one camera gather on few nodes of a
//! zone, and spread to the next one, in an order that is another one for each camera, only when those
//! are half full. Load counts in three steps only, so that the order does not change with each viewer
//! who comes or goes.
//!
//! Nodes that serve nobody now come last, with what is wrong with them in words.

use headworks_types::{CameraId, NodeId, NodeLimits, NodeLoad, NodeState, edge::rendezvous};

use crate::fleet::Intake;

/// A node, as far as it matters to a viewer of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: NodeId,
    /// What people call it; reasons use it.
    pub name: String,
    /// The network area that it belongs to.
    pub zone: String,
    /// How the cluster sees it.
    pub state: NodeState,
    /// Whether it takes new work.
    pub intake: Intake,
    /// It brings the camera in.
    pub is_origin: bool,
    /// Somebody watches the camera there, so it has it.
    pub is_watched: bool,
    /// Other edges can have cameras from it.
    pub relays: bool,
    /// How many viewers it takes.
    pub limits: NodeLimits,
    /// How many it has, and what it sends them.
    pub load: NodeLoad,
    /// It has been full, and has not become much emptier since.
    pub is_full: bool,
}

/// Who wants to watch what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The camera.
    pub camera: CameraId,
    /// The viewer's zone, if it is known.
    pub zone: Option<String>,
}

/// A node in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Which.
    pub node: NodeId,
    /// False if it serves no new viewer of the camera now.
    pub serves: bool,
    /// Why it stands where it stands, in words. Of one that does not serve it goes on after the
    /// node's name.
    pub reason: String,
}

/// Lower is better. The fields count in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    obstacle: Option<Obstacle>,
    /// It has missed renewals: it may be well, but nobody knows.
    silent: bool,
    /// Not in the viewer's zone, where that is known.
    elsewhere: bool,
    /// An operator has closed it for new cameras, or it has died too often lately.
    doubtful: bool,
    load: Load,
    /// It would have to relay the camera first.
    far: bool,
    /// Nodes that are alike stand in an order that is another one for each camera.
    hash: u64,
    /// The last resort.
    node: NodeId,
}

/// What keeps a node from serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    Full,
    Draining,
    OutOfReach,
    Dead,
}

/// How full a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    Low,
    Half,
    High,
}

/// Puts the nodes in order for the viewer. The order in which they are given does not matter; their
/// ids must be unique.
#[must_use]
pub fn rank(candidates: &[Candidate], viewer: &Viewer) -> Vec<Ranked> {
    let origin = candidates.iter().find(|candidate| candidate.is_origin);
    // As long as nobody brings it in, nobody knows from where it will be relayed.
    let can_relay = origin.is_none_or(|origin| origin.relays);
    let scored = candidates.iter().map(|candidate| {
        let score = Score::new(candidate, viewer, can_relay);
        (score, candidate)
    });
    let mut scored: Vec<_> = scored.collect();
    scored.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let ranked = scored.into_iter().map(|(score, candidate)| Ranked {
        node: candidate.id,
        serves: score.obstacle.is_none(),
        reason: match score.obstacle {
            Some(obstacle) => obstacle.words(candidate),
            None => score.words(candidate, viewer),
        },
    });
    ranked.collect()
}

impl Score {
    fn new(candidate: &Candidate, viewer: &Viewer, can_relay: bool) -> Self {
        let zone = viewer.zone.as_ref();
        Self {
            obstacle: Obstacle::of(candidate, can_relay),
            silent: candidate.state == NodeState::Suspect,
            elsewhere: zone.is_some_and(|zone| *zone != candidate.zone),
            doubtful: candidate.intake != Intake::Open,
            load: Load::of(candidate),
            far: !candidate.has_camera(),
            hash: rendezvous(viewer.camera, candidate.id),
            node: candidate.id,
        }
    }

    fn words(&self, candidate: &Candidate, viewer: &Viewer) -> String {
        let zone = match &viewer.zone {
            Some(zone) if *zone == candidate.zone => "in your zone".to_owned(),
            _ => format!("in zone {}", candidate.zone),
        };
        let camera = match (candidate.is_origin, candidate.is_watched) {
            (true, _) => "brings the camera in",
            (false, true) => "has the camera already",
            (false, false) => "gets the camera by a relay",
        };
        let load = match self.load {
            Load::Low => None,
            Load::Half => Some("more than half full"),
            Load::High => Some("nearly full"),
        };
        let silent = self.silent.then_some("has not reported lately");
        let intake = match candidate.intake {
            Intake::Open | Intake::Draining => None,
            Intake::Cordoned => Some("is closed for new cameras"),
            Intake::Unsteady => Some("has died too often lately"),
        };
        let parts = [Some(&*zone), Some(camera), load, silent, intake];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        parts.join("; ")
    }
}

impl Obstacle {
    fn of(candidate: &Candidate, can_relay: bool) -> Option<Self> {
        let reaches = candidate.is_origin || (candidate.relays && can_relay);
        if candidate.state == NodeState::Dead {
            Some(Self::Dead)
        } else if candidate.intake == Intake::Draining {
            Some(Self::Draining)
        } else if !reaches {
            Some(Self::OutOfReach)
        } else if candidate.is_full || candidate.share() >= 100 {
            Some(Self::Full)
        } else {
            None
        }
    }

    fn words(self, candidate: &Candidate) -> String {
        match self {
            Self::Full => full(candidate),
            Self::Draining => "draining".to_owned(),
            Self::OutOfReach => "cannot get it from where it comes in".to_owned(),
            Self::Dead => "dead".to_owned(),
        }
    }
}

/// By the limit that it is closer to.
fn full(candidate: &Candidate) -> String {
    let Candidate { limits, load, .. } = candidate;
    match (limits.max_egress_mbit, limits.max_viewers) {
        (Some(most), _) if candidate.egress_share() > candidate.viewer_share() => {
            format!("full ({} of {most} Mbit/s)", load.sent_kbit / 1000)
        }
        (_, Some(most)) => format!("full ({} of {most} viewers)", load.viewers),
        _ => "full".to_owned(),
    }
}

impl Load {
    fn of(candidate: &Candidate) -> Self {
        match candidate.share() {
            0..50 => Self::Low,
            50..80 => Self::Half,
            _ => Self::High,
        }
    }
}

impl Candidate {
    fn has_camera(&self) -> bool {
        self.is_origin || self.is_watched
    }

    /// How full it is, in hundredths of what it takes.
    fn share(&self) -> u64 {
        self.viewer_share().max(self.egress_share())
    }

    fn viewer_share(&self) -> u64 {
        hundredths(
            self.load.viewers.into(),
            self.limits.max_viewers.map(u64::from),
        )
    }

    fn egress_share(&self) -> u64 {
        let most = self.limits.max_egress_mbit;
        hundredths(self.load.sent_kbit, most.map(|mbit| u64::from(mbit) * 1000))
    }
}

/// Nothing, of what has no limit; all, of nothing.
fn hundredths(part: u64, whole: Option<u64>) -> u64 {
    let of = |whole| part.saturating_mul(100).checked_div(whole);
    whole.map_or(0, |whole| of(whole).unwrap_or(100))
}
