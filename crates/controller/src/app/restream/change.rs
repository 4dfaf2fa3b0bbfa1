//! A restream with a change applied, checked as a whole.

use std::mem::discriminant;

use headworks_types::{Restream, RestreamCreate, RestreamUpdate, Validate, Violations};
use url::Url;

use super::Secrets;
use crate::app::{Error, Result};

/// The restream as it shall be, with all its secrets.
pub(super) fn apply(
    old: &Restream,
    secrets: &Secrets,
    change: RestreamUpdate,
) -> Result<RestreamCreate> {
    let moved = endpoint(old, &change) != (parts(&old.url), old.tls_verify);
    if moved {
        given_again(secrets, &change)?;
    }
    let mut signing = old.signing.clone();
    secrets.complete(&mut signing);
    if let Some(mut new) = change.signing {
        if !moved && discriminant(&new) == discriminant(&old.signing) {
            secrets.complete(&mut new);
        }
        signing = new;
    }
    let whole = RestreamCreate {
        name: change.name.unwrap_or_else(|| old.name.clone()),
        external_id: change
            .external_id
            .unwrap_or_else(|| old.external_id.clone()),
        labels: change.labels.unwrap_or_else(|| old.labels.clone()),
        url: change.url.unwrap_or_else(|| old.url.clone()),
        transport: change.transport.unwrap_or(old.transport),
        tls_verify: change.tls_verify.unwrap_or(old.tls_verify),
        credentials: change
            .credentials
            .unwrap_or_else(|| secrets.credentials.clone()),
        stream_key: change
            .stream_key
            .unwrap_or_else(|| secrets.stream_key.clone()),
        signing,
        video: change.video.unwrap_or(old.video),
        audio: change.audio.unwrap_or(old.audio),
        enabled: change.enabled.unwrap_or(old.enabled),
    };
    let mut found = Violations::default();
    whole.validate(&mut found);
    let fields = found.into_fields();
    if fields.is_empty() {
        Ok(whole)
    } else {
        Err(Error::Invalid(fields))
    }
}

/// Refuses if a stored secret would go to another place. Else whoever may change a URL could have
/// the secrets sent to a host of theirs.
fn given_again(secrets: &Secrets, change: &RestreamUpdate) -> Result<()> {
    for (pointer, stays) in [
        (
            "/credentials",
            secrets.credentials.is_some() && change.credentials.is_none(),
        ),
        (
            "/stream_key",
            secrets.stream_key.is_some() && change.stream_key.is_none(),
        ),
        (
            "/signing",
            !secrets.signing.is_empty() && change.signing.is_none(),
        ),
    ] {
        if stays {
            return Err(Error::invalid(
                pointer,
                "must be given again when the scheme, host or port of the URL or `tls_verify` \
                 changes",
            ));
        }
    }
    Ok(())
}

type Parts = (String, Option<String>, Option<u16>);

/// Who gets the secrets, and whether anybody can read them on the way.
fn endpoint(old: &Restream, change: &RestreamUpdate) -> (Parts, bool) {
    let url = change.url.as_ref().unwrap_or(&old.url);
    (parts(url), change.tls_verify.unwrap_or(old.tls_verify))
}

fn parts(url: &Url) -> Parts {
    let host = url.host_str().map(str::to_owned);
    (url.scheme().to_owned(), host, url.port())
}
