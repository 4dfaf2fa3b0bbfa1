//! Which zone a viewer is in, by address: the section `[controller.zones]` of the configuration.

use std::{collections::BTreeMap, net::IpAddr};

use headworks_types::{Network, Violations};
use serde::{Deserialize, Deserializer, de::Error as _};

/// The networks of each zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones(Vec<(Network, String)>);

impl Zones {
    /// The zone of the address: of all networks that it is in, the one with the longest prefix says.
    #[must_use]
    pub fn zone(&self, address: IpAddr) -> Option<&str> {
        let within = self
            .0
            .iter()
            .filter(|(network, _)| network.contains(address));
        let nearest = within.max_by_key(|(network, _)| network.prefix_len());
        nearest.map(|(_, zone)| zone.as_str())
    }

    /// Everything that is wrong with them.
    pub(crate) fn validate(&self) -> Vec<String> {
        let mut found = Violations::default();
        for (index, (network, zone)) in self.0.iter().enumerate() {
            let before = &self.0[..index];
            if !before.iter().any(|(_, other)| other == zone) {
                found.text(zone, zone, 63);
            }
            if let Some((_, other)) = before.iter().find(|(other, _)| other == network) {
                found.report(zone, format!("{network} is in zone {other} already"));
            }
        }
        let fields = found.into_fields().into_iter();
        let line = |pointer: &str, detail| {
            format!("controller.zones{}: {detail}", pointer.replace('/', "."))
        };
        fields
            .map(|field| line(&field.pointer, field.detail))
            .collect()
    }
}

/// A table of zones; each has a list, or one text with commas, as variables have it.
impl<'de> Deserialize<'de> for Zones {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            List(Vec<String>),
            Text(String),
        }
        let mut zones = Vec::new();
        for (zone, given) in BTreeMap::<String, Given>::deserialize(deserializer)? {
            let words = match given {
                Given::List(words) => words,
                Given::Text(text) => text.split(',').map(str::to_owned).collect(),
            };
            let words = words.iter().map(|word| word.trim());
            for word in words.filter(|word| !word.is_empty()) {
                let network = word.parse().map_err(D::Error::custom)?;
                zones.push((network, zone.clone()));
            }
        }
        Ok(Self(zones))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn zones(json: serde_json::Value) -> Zones {
        serde_json::from_value(json).expect("parses")
    }

    #[test]
    fn the_longest_prefix_counts() {
        let zones = zones(json!({
            "france": ["10.0.0.0/8", "2001:db8::/32"],
            "lyon": "10.1.0.0/16, 2001:db8:1::/48",
            "gate": "10.1.2.3",
        }));
        for (address, zone) in [
            ("10.2.0.1", Some("france")),
            ("10.1.2.4", Some("lyon")),
            ("10.1.2.3", Some("gate")),
            ("::ffff:10.1.2.3", Some("gate")),
            ("2001:db8:1::7", Some("lyon")),
            ("2001:db8:2::7", Some("france")),
            ("192.0.2.1", None),
            ("::1", None),
        ] {
            let address = address.parse().expect("is an address");
            assert_eq!(zones.zone(address), zone, "{address}");
        }
        assert!(zones.validate().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = "z".repeat(64);
        let wrong = zones(json!({
            "lyon": ["10.1.0.0/16"], "paris": "10.1.0.0/16,10.2.0.0/16", "": "10.3.0.0/16,10.4.0.0/16",
            long.clone(): "10.5.0.0/16",
        }));
        let expected = [
            "controller.zones: must not be empty".to_owned(),
            "controller.zones.paris: 10.1.0.0/16 is in zone lyon already".to_owned(),
            format!("controller.zones.{long}: must have at most 63 characters"),
        ];
        assert_eq!(wrong.validate(), expected);
        for unknown in [
            json!({"a": "10.0.0.1/8"}),
            json!({"a": ["x"]}),
            json!({"a": 1}),
        ] {
            assert!(serde_json::from_value::<Zones>(unknown).is_err());
        }
    }
}
