//! Passwords at rest: Argon2id with the parameters that OWASP recommends (19 MiB, 2 passes).
//!
//! A hash is dear on purpose. Only a few are made at once and a bounded number waits, so that people
//! who sign in, or strangers who try to, take neither all processors nor all memory.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use headworks_types::Secret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::{Error, Result};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// So many may wait for each that is made: a second or two.
const WAITING: usize = 32;
/// So many at once at most, however many processors there are.
const MOST_AT_ONCE: usize = 8;

/// Verified where there is no password to compare with, so that it takes as long. Nobody knows what
/// it is the hash of.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$aGVhZHdvcmtzLWRlY295IQ$\
                     Zm9yIHRob3NlIHdobyBkbyBub3QgZXhpc3QgaGVyZSE";

/// The place where passwords are hashed. Clones share it.
#[derive(Clone)]
pub(crate) struct Passwords {
    queue: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// Lets a hash be made; the next one may begin when it is dropped.
struct Turn {
    _queued: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Passwords {
    /// Half of the processors may hash passwords.
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_places((processors / 2).clamp(1, MOST_AT_ONCE))
    }

    fn with_places(places: usize) -> Self {
        Self {
            queue: Arc::new(Semaphore::new(places * (1 + WAITING))),
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// What the database keeps of a password, as PHC string.
    pub(crate) async fn hash(&self, password: &Secret) -> Result<String> {
        let password = password.clone();
        self.run(move || {
            let hash = argon2()?.hash_password(password.expose().as_bytes());
            hash.map(|hash: PasswordHash| hash.to_string())
                .map_err(|error| anyhow::anyhow!("hash a password: {error}"))
        })
        .await
    }

    /// True if `stored` is of this password. Takes as long if there is none.
    pub(crate) async fn verify(&self, password: &Secret, stored: Option<&str>) -> Result<bool> {
        let password = password.clone();
        let exists = stored.is_some();
        let stored = stored.unwrap_or(DECOY).to_owned();
        self.run(move || {
            let hash = PasswordHash::new(&stored)
                .map_err(|error| anyhow::anyhow!("a stored password is damaged: {error}"))?;
            let same = argon2()?.verify_password(password.expose().as_bytes(), &hash);
            Ok(same.is_ok() && exists)
        })
        .await
    }

    /// Runs `work` when it is its turn. Who gives up waiting for the result does not free the place
    /// before the work has ended.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        let result = done.await.map_err(anyhow::Error::from);
        result.and_then(|result| result).map_err(Error::Internal)
    }

    async fn turn(&self) -> Result<Turn> {
        let queued = self.queue.clone().try_acquire_owned();
        let queued = queued.map_err(|_| Error::NotNow("too many people sign in at once"))?;
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(|error| Error::Internal(error.into()))?;
        Ok(Turn {
            _queued: queued,
            _place: place,
        })
    }
}

fn argon2() -> anyhow::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| anyhow::anyhow!("parameters of Argon2: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::new();
        let right = Secret::new("correct horse");
        let hash = passwords.hash(&right).await.expect("hashes");
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            passwords
                .verify(&right, Some(&hash))
                .await
                .expect("verifies")
        );
        let wrong = Secret::new("correct house");
        assert!(
            !passwords
                .verify(&wrong, Some(&hash))
                .await
                .expect("verifies")
        );
        assert!(!passwords.verify(&right, None).await.expect("verifies"));
        let again = passwords.hash(&right).await.expect("hashes");
        assert_ne!(again, hash, "salts are fresh");
        let damaged = passwords.verify(&right, Some("plain")).await;
        assert!(matches!(damaged, Err(Error::Internal(_))));
    }

    #[test]
    fn the_decoy_costs_as_much_as_a_password() {
        let decoy = PasswordHash::new(DECOY).expect("is one");
        let real = argon2().expect("is made").hash_password(b"x");
        let real: PasswordHash = real.expect("hashes");
        assert_eq!(decoy.algorithm, real.algorithm);
        assert_eq!(decoy.version, real.version);
        assert_eq!(decoy.params, real.params);
        let length = |hash: &PasswordHash| hash.hash.as_ref().map(|hash| hash.as_ref().len());
        assert_eq!(length(&decoy), length(&real));
    }

    #[tokio::test]
    async fn who_finds_the_queue_full_is_told_at_once() {
        let passwords = Passwords::with_places(1);
        let _working = passwords.turn().await.expect("is the first");
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(passwords.turn())).collect();
        for turn in &mut waiting {
            assert!(futures::poll!(turn.as_mut()).is_pending());
        }
        let refused = passwords.hash(&Secret::new("x")).await;
        assert!(matches!(refused, Err(Error::NotNow(_))));
        drop(waiting);
        let turn = std::pin::pin!(passwords.turn());
        assert!(futures::poll!(turn).is_pending(), "the first still works");
    }
}
