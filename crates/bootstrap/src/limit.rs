//! What the system lets this process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to what the system allows: each viewer and each camera is a
/// socket, and the usual soft limit of 1024 is for programs that use `select`.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Says in the log if so many `connections`, which may come at once, are more than this process can
/// have open files.
pub fn check_open_files(connections: usize) {
    let limit = getrlimit(Resource::Nofile).current;
    if let Some(limit) = too_low(limit, connections) {
        tracing::warn!(
            open_files = limit,
            connections,
            "this process may open fewer files than it takes connections: the rest waits; raise \
             the limit with `ulimit -n`, or LimitNOFILE= of systemd"
        );
    }
}

/// The limit, if it is one and too low; `None` of the system means no limit.
fn too_low(limit: Option<u64>, connections: usize) -> Option<u64> {
    limit.filter(|limit| usize::try_from(*limit).is_ok_and(|limit| limit < connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn a_limit_is_too_low_for_more_connections() {
        assert_eq!(too_low(Some(1024), 60_000), Some(1024));
        assert_eq!(too_low(Some(60_000), 60_000), None);
        assert_eq!(too_low(None, 60_000), None);
    }
}
