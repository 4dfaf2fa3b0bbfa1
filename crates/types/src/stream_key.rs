//! Stream keys: a publisher's secret for one camera.

use std::{collections::BTreeSet, net::IpAddr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    CameraId, Network, NodeId, PublishProtocol, PublishUrls, Secret, StreamKeyId, Validate,
    Violations, camera::nullable,
};

/// The most networks that a key names.
const MAX_NETWORKS: usize = 64;

/// What a cap on the bitrate can be, in kbit/s.
const BITRATES: std::ops::RangeInclusive<u32> = 64..=1_000_000;

/// A publisher's credential for one camera. A camera may have several at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKey {
    /// Its id.
    pub id: StreamKeyId,
    /// The camera that it may publish as.
    pub camera_id: CameraId,
    /// What people call it.
    pub name: String,
    /// The public part of the key, to recognise it by: `hwsk_<lookup>_…`.
    pub lookup: String,
    /// What happens when somebody publishes the camera already.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// From where, by what and how fast it may publish.
    #[serde(flatten)]
    pub bounds: StreamKeyBounds,
    /// When it stops working, if ever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<DateTime<Utc>>,
    /// Who published with it last; absent if nobody has yet. It is known some seconds later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used: Option<StreamKeyUse>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// From where, by what and how fast a key may publish. What is absent has no bound; what is empty is
/// refused: it never means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKeyBounds {
    /// Only from addresses in any of these networks, 1 to 64.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1, max_items = 64)]
    pub networks: Option<Vec<Network>>,
    /// Only by these protocols. Each stands for itself: `rtmp` is not `rtmps`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub protocols: Option<BTreeSet<PublishProtocol>>,
    /// The most that it may send, in kbit/s over ten seconds: 64 to 1000000. All that comes in the
    /// connection counts, pictures and sound, so leave room above what the encoder is set to. Who
    /// sends more is thrown out, and not let in again before the ten seconds hold less.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 64, maximum = 1_000_000)]
    pub max_bitrate_kbit: Option<u32>,
}

impl StreamKeyBounds {
    /// True if a publisher may come from there.
    #[must_use]
    pub fn allow_address(&self, address: IpAddr) -> bool {
        let any = |networks: &Vec<Network>| networks.iter().any(|one| one.contains(address));
        self.networks.as_ref().is_none_or(any)
    }

    /// True if a publisher may speak so.
    #[must_use]
    pub fn allow_protocol(&self, protocol: PublishProtocol) -> bool {
        let any = |protocols: &BTreeSet<_>| protocols.contains(&protocol);
        self.protocols.as_ref().is_none_or(any)
    }
}

impl Validate for StreamKeyBounds {
    fn validate(&self, found: &mut Violations) {
        if let Some(networks) = &self.networks
            && !(1..=MAX_NETWORKS).contains(&networks.len())
        {
            found.report(
                "networks",
                format!("must have 1 to {MAX_NETWORKS} networks; empty never means all"),
            );
        }
        if self.protocols.as_ref().is_some_and(BTreeSet::is_empty) {
            found.report("protocols", "must name at least one; empty never means all");
        }
        if let Some(kbit) = self.max_bitrate_kbit
            && !BITRATES.contains(&kbit)
        {
            found.report("max_bitrate_kbit", "must be 64 to 1000000");
        }
    }
}

/// Who published with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKeyUse {
    /// When it was let in.
    pub at: DateTime<Utc>,
    /// Where it came from.
    #[schema(value_type = String, example = "192.0.2.7")]
    pub address: IpAddr,
    /// How it spoke.
    pub protocol: PublishProtocol,
    /// The node that it published to.
    pub node_id: NodeId,
}

/// What happens when a publisher comes while another one publishes the same camera.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// The one who comes is refused.
    #[default]
    Reject,
    /// The one who was there is closed.
    Takeover,
}

impl OnConflict {
    /// As on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Takeover => "takeover",
        }
    }
}

/// A stream key to be. Its bounds are those of [`StreamKeyBounds`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamKeyCreate {
    /// 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// When it stops working; never if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// What happens when somebody publishes the camera already. Default `reject`.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// Only from addresses in any of these networks, 1 to 64; from anywhere if absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1, max_items = 64)]
    pub networks: Option<Vec<Network>>,
    /// Only by these protocols, at least one; by any if absent. Each stands for itself: `rtmp` is
    /// not `rtmps`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(min_items = 1)]
    pub protocols: Option<BTreeSet<PublishProtocol>>,
    /// The most that it may send, in kbit/s over ten seconds; as much as it likes if absent. All
    /// that comes in the connection counts, so leave room above what the encoder is set to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(minimum = 64, maximum = 1_000_000)]
    pub max_bitrate_kbit: Option<u32>,
}

impl StreamKeyCreate {
    /// One of this name, without any bounds.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// Its bounds.
    #[must_use]
    pub fn bounds(&self) -> StreamKeyBounds {
        StreamKeyBounds {
            networks: self.networks.clone(),
            protocols: self.protocols.clone(),
            max_bitrate_kbit: self.max_bitrate_kbit,
        }
    }
}

impl Validate for StreamKeyCreate {
    fn validate(&self, found: &mut Violations) {
        found.text("name", &self.name, 128);
        self.bounds().validate(found);
    }
}

/// A change of a stream key (JSON merge patch, RFC 7396): absent fields stay, `null` clears. A
/// publisher that the key does not let in any more is thrown out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamKeyUpdate {
    /// 1 to 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it stops working; `null` means never.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// What happens when somebody publishes the camera already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Only from addresses in any of these networks, 1 to 64; `null` lets any in.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<Network>>, min_items = 1, max_items = 64)]
    pub networks: Option<Option<Vec<Network>>>,
    /// Only by these protocols, at least one; `null` lets any in.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<BTreeSet<PublishProtocol>>, min_items = 1)]
    pub protocols: Option<Option<BTreeSet<PublishProtocol>>>,
    /// The most that it may send, in kbit/s over ten seconds; `null` lifts the cap.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 64, maximum = 1_000_000)]
    pub max_bitrate_kbit: Option<Option<u32>>,
}

impl Validate for StreamKeyUpdate {
    fn validate(&self, found: &mut Violations) {
        found.optional_text("name", self.name.as_deref(), 128);
        let bounds = StreamKeyBounds {
            networks: self.networks.clone().flatten(),
            protocols: self.protocols.clone().flatten(),
            max_bitrate_kbit: self.max_bitrate_kbit.flatten(),
        };
        bounds.validate(found);
    }
}

/// How to exchange a key for a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamKeyRotate {
    /// How many seconds the old key goes on working, at most 604800 (a week). Default 0.
    #[schema(maximum = 604_800)]
    pub grace_seconds: u32,
}

impl Validate for StreamKeyRotate {
    fn validate(&self, found: &mut Violations) {
        if self.grace_seconds > 7 * 86_400 {
            found.report("grace_seconds", "must be at most 604800 (a week)");
        }
    }
}

/// A new key with its secret, which is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamKeyCreated {
    /// The key's record.
    pub stream_key: StreamKey,
    /// `hwsk_<lookup>_<secret>`: the key itself.
    pub secret: Secret,
    /// Where to publish with it now, ready to paste: the key is in each, and they are of the key's
    /// protocols. Absent while the camera is on no node, whose reason its `status` says, if the
    /// node offers none of these protocols, and if the camera is not a published one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub publish_urls: Option<PublishUrls>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pointers(thing: &impl Validate) -> Vec<String> {
        let mut found = Violations::default();
        thing.validate(&mut found);
        let fields = found.into_fields().into_iter();
        fields.map(|field| field.pointer).collect()
    }

    #[test]
    fn empty_never_means_all_and_null_lifts_a_bound() {
        let bad = json!({"networks": [], "protocols": [], "max_bitrate_kbit": 63});
        let named = |mut json: Value| {
            json["name"] = "obs".into();
            serde_json::from_value::<StreamKeyCreate>(json).expect("parses")
        };
        let all = ["/networks", "/protocols", "/max_bitrate_kbit"];
        assert_eq!(pointers(&named(bad.clone())), all);
        let update: StreamKeyUpdate = serde_json::from_value(bad).expect("parses");
        assert_eq!(pointers(&update), all);
        let many = vec!["10.0.0.0/8"; 65];
        assert_eq!(pointers(&named(json!({"networks": many}))), ["/networks"]);
        let lifts = json!({"networks": null, "protocols": null, "max_bitrate_kbit": null});
        let update: StreamKeyUpdate = serde_json::from_value(lifts).expect("parses");
        assert_eq!(pointers(&update), [""; 0]);
        assert_eq!(update.networks, Some(None));
        assert_eq!(named(json!({})), StreamKeyCreate::named("obs"));
    }

    #[test]
    fn bounds_say_who_may_come() {
        let none = StreamKeyBounds::default();
        let some: StreamKeyBounds = serde_json::from_value(json!({
            "networks": ["10.20.0.0/16", "2001:db8::/32"],
            "protocols": ["rtsps", "rtmps", "rtmps"],
        }))
        .expect("parses");
        for (address, fits) in [
            ("10.20.1.1", true),
            ("::ffff:10.20.1.1", true),
            ("2001:db8::1", true),
            ("10.21.0.1", false),
        ] {
            let address = address.parse().expect("is an address");
            assert_eq!(some.allow_address(address), fits, "{address}");
            assert!(none.allow_address(address));
        }
        for protocol in PublishProtocol::ALL {
            let is_secure = matches!(protocol, PublishProtocol::Rtmps | PublishProtocol::Rtsps);
            assert_eq!(some.allow_protocol(protocol), is_secure, "{protocol:?}");
            assert!(none.allow_protocol(protocol));
        }
    }
}
