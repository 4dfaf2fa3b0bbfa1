//! Byte ranges (RFC 9110 §14). Old players fetch segments piece by piece.
//!
//! By hand: the libraries that read them belong to file servers, and we take one range only.

use std::ops::Range;

/// What of a resource is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it. Also what is answered to several ranges and to nonsense, as §14.2 allows.
    All,
    /// These bytes; not empty.
    Part(Range<u64>),
    /// Nothing that is there.
    Nothing,
}

impl Wanted {
    /// The `Range` header of a request for something that is `length` long.
    pub(super) fn parse(header: &str, length: u64) -> Self {
        let Some(range) = Self::single(header) else {
            return Self::All;
        };
        let range = match range {
            (Some(first), last) => first..last.map_or(length, |last| length.min(last + 1)),
            (None, Some(count)) => length.saturating_sub(count)..length,
            (None, None) => return Self::All,
        };
        if range.is_empty() {
            return Self::Nothing;
        }
        Self::Part(range)
    }

    /// First and last position of the only range.
    fn single(header: &str) -> Option<(Option<u64>, Option<u64>)> {
        let (unit, range) = header.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        let position = |text: &str| match text {
            "" => Some(None),
            // A number that is too large for us is as good as the largest.
            text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Some(text.parse().unwrap_or(u64::MAX - 1).min(u64::MAX - 1)))
            }
            _ => None,
        };
        let (first, last) = (position(first)?, position(last)?);
        let is_backwards = matches!((first, last), (Some(first), Some(last)) if last < first);
        (unit.trim().eq_ignore_ascii_case("bytes") && !is_backwards).then_some((first, last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_players_send_them() {
        for (header, wanted) in [
            ("bytes=0-1", Wanted::Part(0..2)),
            ("bytes=0-", Wanted::Part(0..100)),
            ("bytes=99-", Wanted::Part(99..100)),
            ("bytes=10-1000", Wanted::Part(10..100)),
            ("bytes=-30", Wanted::Part(70..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("Bytes= 5-5", Wanted::Part(5..6)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("chunks=0-1", Wanted::All),
            ("0-1", Wanted::All),
        ] {
            assert_eq!(Wanted::parse(header, 100), wanted, "{header}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_stays_within_the_resource(header in "(bytes=)?[0-9,-]{0,30}", length: u64) {
            if let Wanted::Part(range) = Wanted::parse(&header, length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
