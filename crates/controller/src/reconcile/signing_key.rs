//! Lets signing keys take turns, so that no edge ever meets a token of a key that it does not know.
//!
//! Every replica does this; whoever comes first does what is to be done, under a lock. All times
//! are the database's.
//!
//! * A new key is made when the one that signs is old enough, or by command.
//! * It signs when it has been in the bundle for three turns of `reconcile::feed` and every living
//!   edge has said that it knows it.
//! * The one before stays known until the last token that it has signed can open nothing.

use std::time::Duration;

use headworks_types::{MAX_OPEN_SECONDS, SigningKeyState};
use sqlx::PgConnection;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, signing_key},
    db::signing_key::{
        signing_key_list_all, signing_key_lock, signing_key_sweep, signing_key_unaware,
    },
    state::State,
};

const PERIOD: Duration = Duration::from_secs(2);
/// Three turns of the feed, which announces bundles.
const PENDING: Duration = Duration::from_secs(6);
/// Longer than a token opens anything, by edges' clocks too.
const RETIRING: Duration = Duration::from_secs(MAX_OPEN_SECONDS as u64 + 120);
/// How long revoked keys can be looked at.
const REVOKED_DAYS: i32 = 90;
const ACTOR: &str = "rotation";

/// A key as the decision sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) kid: String,
    pub(crate) state: SigningKeyState,
    /// How long it has been in this state.
    pub(crate) age: Duration,
}

/// What is known before deciding.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listed {
    pub(crate) keys: Vec<Seen>,
    /// True if every living edge knows the pending key.
    pub(crate) all_know: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make a pending key.
    Begin,
    /// Let this pending key sign instead of the active one.
    Activate(String),
    /// Forget this one, whose tokens are all over.
    Revoke(String),
}

/// Looks after the keys until the controller stops.
pub(super) async fn run(state: State, stop: CancellationToken) {
    loop {
        match turn(&state).await {
            Ok(steps) if steps.is_empty() => {}
            Ok(steps) => tracing::info!(?steps, "signing keys took turns"),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(
                    error,
                    "signing keys cannot be looked after; it is tried again"
                );
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(PERIOD) => {}
        }
    }
}

/// One turn: mostly a look without a lock.
pub(crate) async fn turn(state: &State) -> app::Result<Vec<Step>> {
    let mut conn = state.pool.acquire().await?;
    let rotation = state.config.signing_key_rotation;
    let steps = decide(&list(&mut conn).await?, rotation);
    drop(conn);
    let mut tx = state.pool.begin().await?;
    signing_key_sweep(&mut tx, REVOKED_DAYS).await?;
    tx.commit().await?;
    if steps.is_empty() {
        return Ok(steps);
    }
    act(state, rotation).await
}

/// Reads the keys, and what edges know.
pub(crate) async fn list(conn: &mut PgConnection) -> sqlx::Result<Listed> {
    let rows = signing_key_list_all(conn).await?;
    let pending = rows
        .iter()
        .find(|row| row.state == SigningKeyState::Pending);
    let all_know = match pending {
        Some(pending) => signing_key_unaware(conn, &pending.kid).await?.is_empty(),
        None => false,
    };
    let keys = rows.into_iter().map(|row| Seen {
        kid: row.kid,
        state: row.state,
        age: Duration::try_from_secs_f64(row.seconds).unwrap_or_default(),
    });
    Ok(Listed {
        keys: keys.collect(),
        all_know,
    })
}

/// Decides what is to be done.
pub(crate) fn decide(listed: &Listed, rotation: Duration) -> Vec<Step> {
    let mut steps = Vec::new();
    let of = |state| listed.keys.iter().filter(move |key| key.state == state);
    let pending = of(SigningKeyState::Pending).next();
    let active = of(SigningKeyState::Active).next();
    match (pending, active) {
        (Some(pending), _) if listed.all_know && pending.age >= PENDING => {
            steps.push(Step::Activate(pending.kid.clone()));
        }
        (None, Some(active)) if active.age >= rotation => steps.push(Step::Begin),
        _ => {}
    }
    let over = of(SigningKeyState::Retiring).filter(|key| key.age >= RETIRING);
    steps.extend(over.map(|key| Step::Revoke(key.kid.clone())));
    steps
}

/// Decides anew while nobody else changes keys, and does it.
pub(crate) async fn act(state: &State, rotation: Duration) -> app::Result<Vec<Step>> {
    let mut tx = state.pool.begin().await?;
    signing_key_lock(&mut tx).await?;
    let steps = decide(&list(&mut tx).await?, rotation);
    for step in &steps {
        match step {
            Step::Begin => signing_key::begin_rotation(&mut tx, &state.keys, ACTOR).await?,
            Step::Activate(kid) => signing_key::activate(&mut tx, kid, ACTOR).await?,
            Step::Revoke(kid) => signing_key::revoke(&mut tx, kid, ACTOR).await?,
        }
    }
    tx.commit().await?;
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    const ROTATION: Duration = Duration::from_secs(1800);

    /// An edge: what it verifies with, and what it has told the controllers of that.
    #[derive(Default)]
    struct Edge {
        lives: bool,
        knows: BTreeSet<String>,
        told: BTreeSet<String>,
        /// One in so many seconds it hears of the bundle, and it renews its lease.
        lag: u32,
    }

    /// A cluster in seconds of virtual time.
    struct World {
        now: u64,
        made: u32,
        /// With the second in which it came into its state.
        keys: Vec<(String, SigningKeyState, u64)>,
        edges: Vec<Edge>,
        /// Which key signed it, and the last second in which it opens.
        tokens: Vec<(String, u64)>,
    }

    impl World {
        fn listed(&self) -> Listed {
            let pending = self.of(SigningKeyState::Pending);
            let all_know = pending.is_some_and(|kid| {
                let mut living = self.edges.iter().filter(|edge| edge.lives);
                living.all(|edge| edge.told.contains(&kid))
            });
            let keys = self.keys.iter().map(|(kid, state, since)| Seen {
                kid: kid.clone(),
                state: *state,
                age: Duration::from_secs(self.now - since),
            });
            Listed {
                keys: keys.collect(),
                all_know,
            }
        }

        fn of(&self, state: SigningKeyState) -> Option<String> {
            let mut found = self.keys.iter().filter(|(_, is, _)| *is == state);
            found.next().map(|(kid, _, _)| kid.clone())
        }

        fn set(&mut self, kid: &str, state: SigningKeyState) {
            let key = self.keys.iter_mut().find(|(name, _, _)| name == kid);
            let key = key.expect("is there");
            (key.1, key.2) = (state, self.now);
        }

        fn take(&mut self, step: Step) {
            match step {
                Step::Begin => {
                    self.made += 1;
                    let kid = format!("key {}", self.made);
                    self.keys.push((kid, SigningKeyState::Pending, self.now));
                }
                Step::Activate(kid) => {
                    let before = self.of(SigningKeyState::Active).expect("one signs");
                    self.set(&before, SigningKeyState::Retiring);
                    self.set(&kid, SigningKeyState::Active);
                }
                Step::Revoke(kid) => self.set(&kid, SigningKeyState::Revoked),
            }
        }

        fn bundle(&self) -> BTreeSet<String> {
            let counts = |state| state != SigningKeyState::Revoked;
            let keys = self.keys.iter().filter(|(_, state, _)| counts(*state));
            keys.map(|(kid, _, _)| kid.clone()).collect()
        }

        /// One second of the edges' lives.
        fn live(&mut self, random: &mut StdRng) {
            let bundle = self.bundle();
            for edge in &mut self.edges {
                if random.random_range(0..2000) == 0 {
                    edge.lives = !edge.lives;
                    // Who comes back asks before it serves those who were sent to it.
                    edge.knows.clone_from(&bundle);
                }
                if edge.lives && random.random_range(0..edge.lag) == 0 {
                    edge.knows.clone_from(&bundle);
                }
                if edge.lives && random.random_range(0..edge.lag) == 0 {
                    edge.told.clone_from(&edge.knows);
                }
            }
        }
    }

    #[test]
    fn no_viewer_is_refused_whenever_keys_rotate() {
        for seed in 0..20 {
            let random = &mut StdRng::seed_from_u64(seed);
            let first = ("key 0".to_owned(), SigningKeyState::Active, 0);
            let edges = (0..3).map(|_| Edge {
                lives: true,
                knows: BTreeSet::from(["key 0".to_owned()]),
                told: BTreeSet::new(),
                lag: random.random_range(1..400),
            });
            let mut world = World {
                now: 0,
                made: 0,
                keys: vec![first],
                edges: edges.collect(),
                tokens: Vec::new(),
            };
            for now in 0..12_000 {
                world.now = now;
                world.live(random);
                for step in decide(&world.listed(), ROTATION) {
                    world.take(step);
                }
                if random.random_range(0..3000) == 0 && world.of(SigningKeyState::Pending).is_none()
                {
                    world.take(Step::Begin);
                }
                let signs = world.of(SigningKeyState::Active).expect("one signs");
                let opens = random.random_range(1..=u64::from(MAX_OPEN_SECONDS));
                world.tokens.push((signs, now + opens));
                world.tokens.retain(|(_, until)| *until >= now);
                for edge in world.edges.iter().filter(|edge| edge.lives) {
                    let kids: BTreeSet<_> = world.tokens.iter().map(|(kid, _)| kid).collect();
                    for kid in kids {
                        assert!(edge.knows.contains(kid), "seed {seed}, second {now}: {kid}");
                    }
                }
            }
            assert!(world.made >= 2, "seed {seed}: {}", world.made);
            assert!(world.of(SigningKeyState::Revoked).is_some(), "seed {seed}");
        }
    }

    #[test]
    fn a_key_waits_for_every_edge_and_its_time() {
        let seen = |state, seconds| Seen {
            kid: "a".to_owned(),
            state,
            age: Duration::from_secs(seconds),
        };
        let decide = |keys: &[Seen], all_know| {
            let keys = keys.to_vec();
            decide(&Listed { keys, all_know }, ROTATION)
        };
        let signs = seen(SigningKeyState::Active, 9999);
        let pending = |seconds| [signs.clone(), seen(SigningKeyState::Pending, seconds)];
        assert_eq!(decide(&pending(5), true), []);
        assert_eq!(decide(&pending(999), false), []);
        assert_eq!(decide(&pending(6), true), [Step::Activate("a".to_owned())]);
        assert_eq!(decide(&[seen(SigningKeyState::Active, 1799)], false), []);
        assert_eq!(decide(&[signs], false), [Step::Begin]);
        let retiring = |seconds| [seen(SigningKeyState::Retiring, seconds)];
        assert_eq!(decide(&retiring(719), true), []);
        assert_eq!(decide(&retiring(720), true), [Step::Revoke("a".to_owned())]);
    }
}
