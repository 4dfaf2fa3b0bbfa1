//! What most tests begin with: a running Headworks and a client of its API.

use std::{future::IntoFuture, os::unix::fs::PermissionsExt, time::Duration};

use headworks_client::{Client, Error};
use headworks_testkit::{Camera, CameraOptions, Headworks, Launch, Login, wait_until};
use headworks_types::{
    Camera as Record, CameraCreate, CameraId, CameraSource, CameraState, Credentials, Labels,
    Placement, PlaybackTokenCreate, PlaybackUrls, Secret, StartMode,
};
use tokio::runtime::Runtime;

/// Long enough for a busy machine; nothing waits for it when all is well.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A client of one API, without `async`.
pub(crate) struct Api {
    runtime: Runtime,
    pub(crate) client: Client,
}

impl Api {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let url = url.parse().expect("headworks prints a URL");
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be had"),
            client: Client::new(url)
                .expect("the URL is good")
                .with_credential(Secret::new(key)),
        }
    }

    /// Makes a call that may fail.
    pub(crate) fn attempt<T>(
        &self,
        call: impl IntoFuture<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.runtime.block_on(async { call.await })
    }

    /// Makes a call that must succeed.
    pub(crate) fn call<T>(&self, call: impl IntoFuture<Output = Result<T, Error>>) -> T {
        self.attempt(call).expect("the call succeeds")
    }

    pub(crate) fn view(&self, id: CameraId) -> Record {
        self.call(self.client.camera_view(id))
    }

    /// Registers a camera.
    pub(crate) fn add(&self, camera: &Camera, start: StartMode) -> CameraId {
        let mut create = pulled(&camera.url());
        create.start = start;
        create.credentials = camera.login().map(|login| Credentials {
            username: login.username.clone(),
            password: Secret::new(&*login.password),
        });
        self.call(self.client.camera_create(&create)).id
    }

    /// Registers a camera that is there from the first second, and waits for its picture.
    pub(crate) fn add_live(&self, camera: &Camera) -> CameraId {
        let id = self.add(camera, StartMode::Always);
        self.wait_for_state(id, CameraState::Live);
        id
    }

    /// Waits until the camera's record is as wanted, and returns it.
    pub(crate) fn wait_for(
        &self,
        id: CameraId,
        what: &str,
        wanted: impl Fn(&Record) -> bool,
    ) -> Record {
        let mut last = None;
        let found = wait_until(what, SOON, || {
            // The API may be away; then it is asked again.
            last = self.attempt(self.client.camera_view(id)).ok();
            last.clone().filter(&wanted)
        });
        found.unwrap_or_else(|error| panic!("{error}; it was {last:#?}"))
    }

    pub(crate) fn wait_for_state(&self, id: CameraId, state: CameraState) -> Record {
        self.wait_for(id, &format!("the camera is {state:?}"), |camera| {
            camera.status.state == state
        })
    }

    /// Where to watch the camera, with a token of the caller.
    pub(crate) fn urls(&self, id: CameraId) -> PlaybackUrls {
        let token = self.call(self.client.playback_token_issue(&PlaybackTokenCreate {
            expires_in_seconds: 600,
            watch_seconds: 3600,
            ..PlaybackTokenCreate::for_cameras(vec![id])
        }));
        let urls = token.cameras.into_iter().find_map(|camera| camera.urls);
        urls.expect("the camera is on a node")
    }
}

/// `headworks up` with its API.
pub(crate) struct Scene {
    pub(crate) headworks: Headworks,
    pub(crate) api: Api,
}

impl Scene {
    pub(crate) fn up() -> Self {
        Self::launch(Launch::default())
    }

    pub(crate) fn launch(launch: Launch) -> Self {
        let headworks = Headworks::up(launch).expect("starts");
        let key = headworks.admin_key().expect("a new one prints a key");
        Self {
            api: Api::new(headworks.api(), key),
            headworks,
        }
    }
}

/// A camera of the usual kind: Digest, with a password that breaks URLs.
pub(crate) fn camera() -> Camera {
    camera_with(CameraOptions::default())
}

pub(crate) fn camera_with(mut options: CameraOptions) -> Camera {
    options.login = Login::digest("admin", "p@ss:w/rd");
    Camera::start(options).expect("starts")
}

/// A camera to be, pulled from `url`.
pub(crate) fn pulled(url: &str) -> CameraCreate {
    CameraCreate {
        name: "camera".to_owned(),
        group_id: None,
        external_id: None,
        labels: Labels::default(),
        source: CameraSource::pull(url.parse().expect("is a URL")),
        credentials: None,
        enabled: true,
        start: StartMode::Always,
        placement: Placement::default(),
        exclusive_source: false,
        viewing: Default::default(),
    }
}

/// A directory that PostgreSQL's account can reach, also if we are root.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .expect("can be made")
}
