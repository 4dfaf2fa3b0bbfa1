//! The secrets of a restream: taken out of what came in, sealed together, and put back for the node
//! that pushes.

use std::collections::BTreeMap;

use headworks_types::{
    Credentials, Network, RestreamCreate, RestreamId, RestreamSigning, Secret, edge::RestreamWork,
};
use serde::{Deserialize, Serialize};

use crate::{
    app::{Error, Result},
    db::restream::DesiredRestream,
    keys::{Keys, Row},
};

/// All secrets of one restream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Secrets {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<Credentials>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_key: Option<Secret>,
    /// Those of the signing, by the names of their fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) signing: BTreeMap<String, Secret>,
}

impl Secrets {
    /// Takes them out; what is left may be shown.
    pub(super) fn take(restream: &mut RestreamCreate) -> Self {
        let signing = restream.signing.secrets_mut().into_iter();
        let signing =
            signing.filter_map(|(field, secret)| Some((field.to_owned(), secret.take()?)));
        Self {
            signing: signing.collect(),
            credentials: restream.credentials.take(),
            stream_key: restream.stream_key.take(),
        }
    }

    /// Puts those of the signing back, where there is no other one.
    pub(super) fn complete(&self, signing: &mut RestreamSigning) {
        for (field, secret) in signing.secrets_mut() {
            if secret.is_none() {
                *secret = self.signing.get(field).cloned();
            }
        }
    }

    /// Seals them for the restream's row; nothing if there are none.
    pub(super) fn seal(&self, keys: &Keys, id: RestreamId) -> Result<Option<Vec<u8>>> {
        if *self == Self::default() {
            return Ok(None);
        }
        let json = serde_json::to_vec(self).map_err(|error| Error::Internal(error.into()))?;
        Ok(Some(keys.seal(&Row::restream_secrets(id), &json)))
    }

    /// Opens what [`Secrets::seal`] made.
    pub(super) fn unseal(
        keys: &Keys,
        id: RestreamId,
        sealed: Option<&[u8]>,
    ) -> anyhow::Result<Self> {
        let Some(sealed) = sealed else {
            return Ok(Self::default());
        };
        let plain = keys.unseal(&Row::restream_secrets(id), sealed)?;
        Ok(serde_json::from_slice(&plain)?)
    }
}

/// What the node that holds the slot gets, with the secrets open. If they cannot be opened the node
/// gets none, and reports what it lacks.
pub(crate) fn open(
    keys: &Keys,
    restream: DesiredRestream,
    outbound_allow: Vec<Network>,
) -> RestreamWork {
    let id = restream.id;
    let secrets = Secrets::unseal(keys, id, restream.secrets.as_deref());
    let secrets = secrets
        .inspect_err(|error| {
            tracing::error!(%error, restream.id = %id, "secrets cannot be unsealed");
        })
        .unwrap_or_default();
    let mut signing = restream.signing;
    secrets.complete(&mut signing);
    RestreamWork {
        id,
        name: restream.name,
        generation: restream.generation,
        url: restream.url,
        transport: restream.transport,
        tls_verify: restream.tls_verify,
        credentials: secrets.credentials,
        stream_key: secrets.stream_key,
        signing,
        video: restream.video,
        audio: restream.audio,
        outbound_allow,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn secrets_are_taken_sealed_and_put_back() {
        let keys = Keys::new(&Secret::new(STANDARD.encode([1; 32])), None).expect("is a key");
        let id = RestreamId::from(Uuid::from_u128(1));
        let mut restream: RestreamCreate = serde_json::from_value(serde_json::json!({
            "name": "cloud",
            "url": "rtmp://push.example.com/live/gate",
            "stream_key": "hush-1",
            "signing": {"type": "alibaba", "primary_key": "hush-2", "secondary_key": "hush-3"},
        }))
        .expect("parses");
        let whole = restream.clone();
        let secrets = Secrets::take(&mut restream);
        let shown = serde_json::to_string(&restream).expect("writes");
        assert!(!shown.contains("hush"), "{shown}");
        let sealed = secrets.seal(&keys, id).expect("seals").expect("has some");
        let opened = Secrets::unseal(&keys, id, Some(&sealed)).expect("opens");
        assert_eq!(opened, secrets);
        let other = RestreamId::from(Uuid::from_u128(2));
        assert!(Secrets::unseal(&keys, other, Some(&sealed)).is_err());
        opened.complete(&mut restream.signing);
        assert_eq!(restream.signing, whole.signing);
        assert_eq!(Secrets::default().seal(&keys, id).expect("seals"), None);
    }
}
