//! The audit log.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use headworks_types::{AuditRecord, AuditResult, CameraId, Page};

use crate::{Call, Client, Error};

/// Longer than an export of the most lines takes.
const EXPORT_DEADLINE: Duration = Duration::from_secs(3600);

/// An export of the audit log: records as newline-delimited JSON.
#[derive(Debug)]
pub struct AuditExport;

impl Client {
    /// `GET /v1/audit`
    pub fn audit_list(&self) -> Call<Page<AuditRecord>> {
        self.get(&["v1", "audit"])
    }

    /// `GET /v1/audit:export`. [`Call::chunks`] sends it.
    pub fn audit_export(&self) -> Call<AuditExport> {
        self.get(&["v1", "audit:export"]).deadline(EXPORT_DEADLINE)
    }
}

/// What both can be asked for.
pub trait Audited {}

impl Audited for Page<AuditRecord> {}
impl Audited for AuditExport {}

impl<T: Audited> Call<T> {
    /// Only what was done by this id: a user, an API key, a stream key, a node.
    pub fn by(self, actor: &str) -> Self {
        self.with_query("actor", actor.to_owned())
    }

    /// Only this operation, `camera_update` say.
    pub fn of_action(self, action: &str) -> Self {
        self.with_query("action", action.to_owned())
    }

    /// Only what was done to this id.
    pub fn to_object(self, object: &str) -> Self {
        self.with_query("object", object.to_owned())
    }

    /// Only what was done to this camera, also on edges.
    pub fn to_camera(self, id: CameraId) -> Self {
        self.with_query("camera_id", id.to_string())
    }

    /// Only with this result.
    pub fn with_result(self, result: AuditResult) -> Self {
        self.with_query("result", result.as_str().to_owned())
    }

    /// Only from this time on.
    pub fn since(self, time: DateTime<Utc>) -> Self {
        self.with_query("since", precise(time))
    }

    /// Only before this time.
    pub fn until(self, time: DateTime<Utc>) -> Self {
        self.with_query("until", precise(time))
    }
}

impl Call<AuditExport> {
    /// Sends the call. The lines come in pieces, which do not end where lines do.
    ///
    /// # Errors
    /// As every call; the stream too, when the connection breaks.
    pub async fn chunks(
        self,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, Error>> + Send + Unpin + use<>, Error> {
        let url = self.base();
        let answer = self.send().await?;
        let chunks = answer.bytes_stream();
        Ok(chunks
            .map_err(move |error| Error::from_transport(&url, error))
            .boxed())
    }
}

fn precise(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
