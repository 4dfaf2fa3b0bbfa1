//! Labels: what users hang on their things to find them again.

use std::{collections::BTreeMap, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Validate, Violations};

const MAX_LABELS: usize = 32;
const MAX_KEY: usize = 63;
const MAX_VALUE: usize = 128;

/// At most 32 labels. Keys have 1 to 63 of `A-Z a-z 0-9 . _ / -`; values 1 to 128 characters
/// without comma and control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// True if every label of `wanted` is here with the same value.
    #[must_use]
    pub fn include(&self, wanted: &Self) -> bool {
        wanted
            .0
            .iter()
            .all(|(key, value)| self.0.get(key) == Some(value))
    }
}

impl Validate for Labels {
    fn validate(&self, found: &mut Violations) {
        if self.0.len() > MAX_LABELS {
            found.report("", format!("must have at most {MAX_LABELS} labels"));
        }
        for (key, value) in &self.0 {
            if !is_key(key) {
                found.report(
                    key,
                    format!("a label key has 1 to {MAX_KEY} of A-Z a-z 0-9 . _ / -"),
                );
            }
            found.text(key, value, MAX_VALUE);
            if value.contains(',') {
                found.report(key, "a label value has no comma");
            }
        }
    }
}

/// A list's label filter: `site=lyon,floor=2` finds what carries both labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelFilter(pub Labels);

impl FromStr for LabelFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut labels = Labels::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .filter(|(key, _)| is_key(key))
                .ok_or("must be like `key=value,key=value`")?;
            if labels.0.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("label `{key}` is asked for twice"));
            }
        }
        Ok(Self(labels))
    }
}

fn is_key(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len())
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_parse_or_say_what_is_wrong() {
        let filter: LabelFilter = "site=lyon,floor=2".parse().expect("parses");
        assert_eq!(filter.0.0.len(), 2);
        assert_eq!(
            "site".parse::<LabelFilter>(),
            Err("must be like `key=value,key=value`".to_owned())
        );
        assert!("a=1,a=2".parse::<LabelFilter>().is_err());
        assert_eq!("".parse::<LabelFilter>(), Ok(LabelFilter::default()));
    }
}
