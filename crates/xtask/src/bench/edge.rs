//! A Headworks of its own with one camera.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use headworks_testkit::{Camera, Headworks, Launch};

use crate::api::{Api, Urls};

const PATIENCE: Duration = Duration::from_secs(30);
/// Of a token, for opening.
const TOKEN_SECONDS: u32 = 600;

/// `headworks up`, and the camera's id.
pub(super) struct Edge {
    headworks: Headworks,
    api: Api,
    camera: String,
}

impl Edge {
    fn start(binary: PathBuf, settings: &[(&str, &str)]) -> anyhow::Result<(Headworks, Api)> {
        let launch = Launch {
            binary: Some(binary),
            ..Launch::default()
        };
        let launch = settings.iter().fold(launch, |launch, (key, value)| {
            launch.env(format!("HEADWORKS__EDGE__{key}"), *value)
        });
        let headworks = Headworks::up(launch)?;
        let key = headworks.admin_key().context("has an admin key")?;
        let api = Api {
            url: headworks.api().to_owned(),
            key: key.to_owned(),
        };
        Ok((headworks, api))
    }

    /// With a camera that is published to the second.
    pub(super) fn published(
        binary: PathBuf,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<(Self, String)> {
        let (headworks, api) = Self::start(binary, settings)?;
        let camera = api.camera_create_published("bench")?;
        let url = api.stream_key_create(&camera, PATIENCE)?;
        let edge = Self {
            headworks,
            api,
            camera,
        };
        Ok((edge, url))
    }

    /// With a camera that is pulled from `source`.
    pub(super) fn pulled(binary: PathBuf, source: &Camera) -> anyhow::Result<Self> {
        let (headworks, api) = Self::start(binary, &[])?;
        let camera = api.camera_create("bench", source)?;
        Ok(Self {
            headworks,
            api,
            camera,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.headworks.pid()
    }

    pub(super) fn wait_until_live(&self) -> anyhow::Result<()> {
        self.api
            .wait_until_live(&self.camera, PATIENCE)
            .with_context(|| self.headworks.log())
    }

    pub(super) fn enable(&self, enabled: bool) -> anyhow::Result<()> {
        self.api.camera_enable(&self.camera, enabled)
    }

    /// How many watch now.
    pub(super) fn viewers(&self) -> anyhow::Result<u64> {
        self.api.camera_viewers(&self.camera)
    }

    /// Where to watch, with a new token.
    pub(super) fn urls(&self) -> anyhow::Result<Urls> {
        self.api.token_issue(None, &self.camera, TOKEN_SECONDS)
    }
}
