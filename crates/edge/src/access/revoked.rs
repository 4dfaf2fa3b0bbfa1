//! What is signed and does not count any more.
//!
//! A look-up for each kind, however many revocations there are. Times are compared in whole
//! seconds, as tokens have them: one of the very second of the revocation is refused. What names one
//! token or one session refuses it whenever it says that it was issued.

use std::collections::{HashMap, HashSet};

use headworks_types::{
    CameraId, ProjectId, SessionId,
    edge::{Revocation, RevocationKind},
};

use crate::session::About;

/// Revocations, by what they name.
#[derive(Default)]
pub(super) struct Revoked {
    sessions: HashSet<SessionId>,
    subjects: HashMap<String, Before>,
    tokens: HashMap<(Option<ProjectId>, String), Before>,
    keys: HashMap<String, Before>,
    cameras: HashMap<CameraId, Before>,
}

/// The last second whose tokens do not count, for opening and for going on.
#[derive(Clone, Copy)]
struct Before {
    open: i64,
    watch: i64,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            open: i64::MIN,
            watch: i64::MIN,
        }
    }
}

impl Before {
    fn add(&mut self, revocation: &Revocation) {
        let until = match revocation.kind {
            RevocationKind::Token => i64::MAX,
            _ => revocation.issued_before.timestamp(),
        };
        self.open = self.open.max(until);
        if revocation.ends_sessions {
            self.watch = self.watch.max(until);
        }
    }
}

impl Revoked {
    /// What names nothing that there can be is left out.
    pub(super) fn new(revocations: &[Revocation]) -> Self {
        let mut revoked = Self::default();
        for revocation in revocations {
            let value = &revocation.value;
            let before = match revocation.kind {
                RevocationKind::Session => {
                    revoked.sessions.extend(value.parse::<SessionId>());
                    continue;
                }
                RevocationKind::Subject => revoked.subjects.entry(value.clone()).or_default(),
                RevocationKind::Token => {
                    let token = (revocation.project_id, value.clone());
                    revoked.tokens.entry(token).or_default()
                }
                RevocationKind::Key => revoked.keys.entry(value.clone()).or_default(),
                RevocationKind::Camera => match value.parse() {
                    Ok(camera) => revoked.cameras.entry(camera).or_default(),
                    Err(_) => continue,
                },
            };
            before.add(revocation);
        }
        revoked
    }

    /// The sessions that were ended one by one.
    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.iter().copied()
    }

    /// True if its token may open nothing any more.
    pub(super) fn refuses_to_open(&self, about: &About, project: Option<ProjectId>) -> bool {
        let issued = about.issued;
        self.befores(about, project)
            .any(|before| issued <= before.open)
    }

    /// True if it may not go on.
    pub(super) fn ends(&self, about: &About, project: Option<ProjectId>) -> bool {
        let issued = about.issued;
        self.sessions.contains(&about.id)
            || self
                .befores(about, project)
                .any(|before| issued <= before.watch)
    }

    fn befores(&self, about: &About, project: Option<ProjectId>) -> impl Iterator<Item = &Before> {
        let token = about.token.as_ref();
        let issuer = about.issuer.as_ref();
        let of_issuer = issuer.and_then(|issuer| self.subjects.get(issuer));
        let of_token = token.and_then(|token| self.tokens.get(&(project, token.clone())));
        [
            self.subjects.get(&about.subject),
            of_issuer,
            of_token,
            self.keys.get(&about.key),
            self.cameras.get(&about.camera),
        ]
        .into_iter()
        .flatten()
    }
}
