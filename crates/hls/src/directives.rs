//! What a player wants of a media playlist: Delivery Directives (§6.2.5) and ours.

use crate::Flavor;

/// What is wrong with Delivery Directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// A value that is no decimal-integer (§4.2).
    #[error("_HLS_msn and _HLS_part are numbers")]
    NoNumber,
    /// A part of no segment (§6.2.5.2).
    #[error("_HLS_part needs _HLS_msn")]
    PartAlone,
}

/// The query of a playlist's address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`, and `_HLS_part` with it: do not answer before this is in the playlist.
    pub wait: Option<(u64, Option<u64>)>,
    /// `_HLS_skip`: an update will do.
    pub skip: bool,
    /// `ll=0`: nothing that RFC 8216 does not know.
    pub plain: bool,
}

impl Directives {
    /// Other parameters are others' business.
    pub fn parse(query: Option<&str>) -> Result<Self, DirectiveError> {
        let mut found = Self::default();
        let (mut segment, mut part) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let number = || decimal(&value).ok_or(DirectiveError::NoNumber);
            match &*name {
                "_HLS_msn" => segment = Some(number()?),
                "_HLS_part" => part = Some(number()?),
                "_HLS_skip" => found.skip = matches!(&*value, "YES" | "v2"),
                "ll" => found.plain = value == "0",
                _ => {}
            }
        }
        if segment.is_none() && part.is_some() {
            return Err(DirectiveError::PartAlone);
        }
        // Who wants plain HLS is not offered to wait.
        found.wait = segment
            .filter(|_| !found.plain)
            .map(|segment| (segment, part));
        Ok(found)
    }

    /// The playlist that answers it.
    #[must_use]
    pub fn flavor(self) -> Flavor {
        match self {
            Self { plain: true, .. } => Flavor::Plain,
            Self { skip: true, .. } => Flavor::Delta,
            _ => Flavor::LowLatency,
        }
    }
}

/// A decimal-integer (§4.2): digits and nothing else.
#[must_use]
pub fn decimal(text: &str) -> Option<u64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn directives_are_read_from_the_query() {
        let parse = |query| Directives::parse(Some(query)).ok();
        let waiting = |wait| Directives {
            wait: Some(wait),
            ..Directives::default()
        };
        assert_eq!(parse("token=x&y"), Some(Directives::default()));
        assert_eq!(parse("_HLS_msn=7"), Some(waiting((7, None))));
        assert_eq!(parse("_HLS_part=2&_HLS_msn=7"), Some(waiting((7, Some(2)))));
        for bad in [
            "_HLS_part=2",
            "_HLS_msn=-1",
            "_HLS_msn=+1",
            "_HLS_msn=",
            "_HLS_msn=99999999999999999999",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let flavor = |query| parse(query).map(Directives::flavor);
        assert_eq!(flavor("_HLS_skip=YES"), Some(Flavor::Delta));
        assert_eq!(flavor("_HLS_skip=v2"), Some(Flavor::Delta));
        assert_eq!(flavor("_HLS_skip=no"), Some(Flavor::LowLatency));
        assert_eq!(flavor("ll=0&_HLS_skip=YES&_HLS_msn=3"), Some(Flavor::Plain));
        assert_eq!(parse("ll=0&_HLS_msn=3").and_then(|found| found.wait), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(parts in prop::collection::vec(
            prop_oneof![
                "_HLS_msn=[0-9]{0,25}&",
                "_HLS_part=\\PC{0,4}&",
                "_HLS_skip=\\PC{0,4}&",
                "\\PC{0,20}",
            ],
            0..8,
        )) {
            let query = parts.concat();
            if let Ok(found) = Directives::parse(Some(&query)) {
                let plain = found.flavor() == Flavor::Plain;
                prop_assert!(!(plain && found.wait.is_some()), "{query}: {found:?}");
            }
        }
    }
}
