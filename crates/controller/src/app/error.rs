//! What can go wrong in a use case, without a word about HTTP.

use headworks_types::ProblemField;

/// The result of a use case.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Why a use case did not do what it was asked. The text is for the client; a source is for the
/// log only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The credential is missing or not good.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The password is right, but its owner has to choose another one.
    #[error("the password was chosen by somebody else: sign in with a `new_password`")]
    PasswordChangeRequired,
    /// The caller comes too often.
    #[error("too many attempts; try again in {retry_after} s")]
    TooMany {
        /// When the next attempt is taken, in seconds.
        retry_after: u32,
    },
    /// Something other than the database is overloaded or away. It may work later.
    #[error("{0}; try again")]
    NotNow(&'static str),
    /// The caller may not do this with what they may see.
    #[error("{0}")]
    Forbidden(String),
    /// It does not exist, or the caller may not know that it does.
    #[error("{0}")]
    NotFound(String),
    /// Something that is there stands against it.
    #[error("{0}")]
    Conflict(String),
    /// The request parses, but what it says is not allowed.
    #[error("the request is not valid")]
    Invalid(Vec<ProblemField>),
    /// It has changed since the caller looked.
    #[error("it has changed in the meantime: it is at version {current} now")]
    Changed {
        /// Its present version.
        current: i64,
    },
    /// The idempotency key was used with another request.
    #[error("this Idempotency-Key was used with another request within the last 24 hours")]
    KeyReused,
    /// The database is away or overloaded. It may work later.
    #[error("the database is not available; try again")]
    Unavailable(#[source] sqlx::Error),
    /// The database has run out of disk, memory or connections, and takes no writes.
    #[error("{what}; try again when there is room")]
    Full {
        /// What has run out, for people.
        what: &'static str,
        /// What the database says.
        source: sqlx::Error,
    },
    /// The camera is on no node, so that no edge can show it.
    #[error("{0}")]
    NoPicture(String),
    /// No edge takes another viewer.
    #[error("{0}")]
    NoRoom(String),
    /// A bug or an unforeseen state.
    #[error("something went wrong here; the logs say more")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// One field of the request is not allowed.
    pub(crate) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![ProblemField {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// There is no such thing, as far as the caller may know.
    pub(crate) fn not_found(id: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("there is no {id}"))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_out_of_range(&error) {
            return Self::invalid("", "a time is before 4713 BC or after AD 294276");
        }
        if let Some(what) = shortage(&error) {
            Self::Full {
                what,
                source: error,
            }
        } else if is_outage(&error) {
            Self::Unavailable(error)
        } else {
            Self::Internal(error.into())
        }
    }
}

/// True of a time that RFC 3339 and we can say, and PostgreSQL cannot (`datetime_field_overflow`).
fn is_out_of_range(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(|error| error.code().as_deref() == Some("22008"))
}

/// What the database has too little of (class 53 of PostgreSQL's error codes), if that is the error.
fn shortage(error: &sqlx::Error) -> Option<&'static str> {
    let sqlx::Error::Database(error) = error else {
        return None;
    };
    shortage_of(&error.code()?)
}

fn shortage_of(code: &str) -> Option<&'static str> {
    match code {
        "53100" => Some("the database's disk is full"),
        "53200" => Some("the database is out of memory"),
        "53300" => Some("the database has too many connections"),
        code if code.starts_with("53") => Some("the database is short of resources"),
        _ => None,
    }
}

/// True if the database is to blame, not the query: it cannot be reached, shuts down, starts up,
/// has no connection left, is read-only for the moment, chose this transaction to end a deadlock, or
/// gave up at one of the limits that `database` sets.
pub(crate) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57P", "40", "25006", "57014", "55P03", "25P03"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_is_short_of_is_said() {
        assert_eq!(shortage_of("53100"), Some("the database's disk is full"));
        assert!(shortage_of("53400").is_some());
        assert_eq!(shortage_of("57014"), None);
    }
}
