//! When a sign of life is due, and which.

use std::time::{Duration, Instant};

use crate::message::Method;

/// The session's timeout if the server tells none (RFC 2326 §12.37).
const USUAL: Duration = Duration::from_secs(60);
/// Signs of life go at least and at most so often, whatever a server tells.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct KeepAlive {
    timeout: Duration,
    due: Option<Instant>,
    /// The server knows GET_PARAMETER, as far as we know.
    get_parameter: bool,
    /// The last one was sent a second time, with a new signature.
    repeated: bool,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            timeout: USUAL,
            due: None,
            get_parameter: false,
            repeated: false,
        }
    }
}

impl KeepAlive {
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// What the server's `Public` says.
    pub(super) fn set_public(&mut self, public: &str) {
        self.get_parameter = public
            .split(',')
            .any(|word| word.trim().eq_ignore_ascii_case("GET_PARAMETER"));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// One was sent, or something else that counts as a sign of life.
    pub(super) fn sent(&mut self, now: Instant) {
        self.due = Some(now + (self.timeout / 2).clamp(SHORTEST, LONGEST));
        self.repeated = false;
    }

    /// True if the last one may be sent again now: once.
    pub(super) fn may_repeat(&mut self) -> bool {
        !std::mem::replace(&mut self.repeated, true)
    }

    pub(super) fn method(&self) -> Method {
        if self.get_parameter {
            Method::GetParameter
        } else {
            Method::Options
        }
    }

    /// The server does not know the method after all.
    pub(super) fn use_options(&mut self) {
        self.get_parameter = false;
    }
}
