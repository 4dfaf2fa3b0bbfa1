//! Who may do what, and why.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use headworks_types::{AccessExplanation, Action, CameraId, Principal};

use crate::{Call, Client};

impl Client {
    /// `GET /v1/access:explain`, about a user or an API key.
    pub fn access_explain(
        &self,
        principal: Principal,
        camera: CameraId,
        action: Action,
    ) -> Call<AccessExplanation> {
        let call = self.get(&["v1", "access:explain"]);
        let call = match principal {
            Principal::User { id } => call.with_query("user", id.to_string()),
            Principal::ApiKey { id } => call.with_query("api_key", id.to_string()),
            // Nobody signs in as a group: the server says so.
            Principal::UserGroup { .. } => call,
        };
        call.with_query("camera", camera.to_string())
            .with_query("action", action.to_string())
    }
}

impl Call<AccessExplanation> {
    /// As if asked from this address.
    pub fn from_address(self, address: IpAddr) -> Self {
        self.with_query("address", address.to_string())
    }

    /// As if asked at this time.
    pub fn at(self, time: DateTime<Utc>) -> Self {
        self.with_query("at", time.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}
