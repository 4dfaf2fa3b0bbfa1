//! The demo's scene: Headworks with two cameras and a user who may watch one of them.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use anyhow::Context;
use headworks_testkit::{Audio, Camera, CameraOptions, Headworks, Launch, Login, Video};

use crate::api::Api;

/// What the cameras ask for: characters that must not get lost on the way.
pub(crate) const USERNAME: &str = "admin";
pub(crate) const PASSWORD: &str = "p@ss:w/rd";
pub(crate) const USER: &str = "alice";

const LIVE: Duration = Duration::from_secs(30);

/// Everything that runs. Dropped in this order.
pub(crate) struct Stage {
    _headworks: Headworks,
    pub(crate) api: Api,
    /// H.264 and AAC; the user may watch it.
    pub(crate) gate: Part,
    /// H.265 and G.711; the user may not.
    pub(crate) yard: Part,
    pub(crate) user: String,
}

/// A camera and its id.
pub(crate) struct Part {
    pub(crate) camera: Camera,
    pub(crate) id: String,
}

impl Stage {
    /// Starts and registers everything, and waits until both cameras give a picture. `addresses`
    /// are those of the API, HTTP playback, RTMP and RTSP.
    pub(crate) fn set(binary: PathBuf, addresses: [String; 4]) -> anyhow::Result<Self> {
        let gate = camera(Video::H264, Audio::Aac, "smpte")?;
        let yard = camera(Video::H265, Audio::G711a, "ball")?;
        let [api, playback, rtmp, rtsp] = addresses;
        let headworks = Headworks::up(
            Launch {
                binary: Some(binary),
                ..Launch::default()
            }
            .env("HEADWORKS__CONTROLLER__LISTEN", api)
            .env("HEADWORKS__EDGE__HTTP_LISTEN", playback)
            .env("HEADWORKS__EDGE__RTMP_LISTEN", rtmp)
            .env("HEADWORKS__EDGE__RTSP_LISTEN", rtsp),
        )?;
        let api = Api {
            url: headworks.api().to_owned(),
            key: headworks
                .admin_key()
                .context("headworks prints an admin key")?
                .to_owned(),
        };
        let stage = || {
            let gate_id = api.camera_create("gate", &gate)?;
            let yard_id = api.camera_create("yard", &yard)?;
            let user = api.user_create(USER)?;
            api.grant_create(&user, &gate_id)?;
            api.wait_until_live(&gate_id, LIVE)?;
            api.wait_until_live(&yard_id, LIVE)?;
            Ok((gate_id, yard_id, user))
        };
        let (gate_id, yard_id, user) =
            stage().map_err(|error: anyhow::Error| error.context(headworks.log()))?;
        Ok(Self {
            _headworks: headworks,
            api,
            gate: Part {
                camera: gate,
                id: gate_id,
            },
            yard: Part {
                camera: yard,
                id: yard_id,
            },
            user,
        })
    }
}

fn camera(video: Video, audio: Audio, pattern: &'static str) -> anyhow::Result<Camera> {
    Camera::start(CameraOptions {
        video,
        audio,
        pattern,
        width: 640,
        height: 360,
        login: Login::digest(USERNAME, PASSWORD),
        ..CameraOptions::default()
    })
}

/// The ports that the documentation names, each unless it is taken.
pub(crate) fn known_addresses() -> [String; 4] {
    [8080, 8081, 1935, 8554].map(|port| match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => format!("127.0.0.1:{port}"),
        Err(_) => ANY.to_owned(),
    })
}

/// Free ports.
pub(crate) fn any_addresses() -> [String; 4] {
    [ANY; 4].map(str::to_owned)
}

const ANY: &str = "127.0.0.1:0";
