//! The section `[edge.outbound]` of the configuration.

use headworks_types::Network;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Where the edge may connect to when somebody names a host.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Open, whatever else closes them; what that is by default depends on the command.
    #[serde(deserialize_with = "some_networks")]
    pub(crate) allow: Option<Vec<Network>>,
    /// Closed, besides those that always are.
    #[serde(deserialize_with = "networks")]
    pub(crate) deny: Vec<Network>,
}

impl Config {
    /// Opens this machine itself, unless it was said what is open. True if it did.
    pub(crate) fn allow_loopback(&mut self) -> bool {
        if self.allow.is_some() {
            return false;
        }
        let loopback = ["127.0.0.0/8", "::1"].into_iter();
        self.allow = Some(loopback.filter_map(|text| text.parse().ok()).collect());
        true
    }
}

fn some_networks<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Network>>, D::Error> {
    networks(deserializer).map(Some)
}

/// A list, or, as in an environment variable, a text with commas.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        List(Vec<String>),
    }
    let texts = match Form::deserialize(deserializer)? {
        Form::List(texts) => texts,
        Form::Text(text) => text.split(',').map(str::to_owned).collect(),
    };
    let texts = texts.iter().map(|text| text.trim());
    texts
        .filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(D::Error::custom))
        .collect()
}
