//! A whole installation in networks of its own, to break things in: two sites with three edges each,
//! three controllers behind a load balancer, PostgreSQL behind a pooler, real cameras and players,
//! and somebody else's server to push to.
//!
//! Everything happens in network namespaces that vanish with this process, however it ends; the
//! machine's own network is not touched. It takes root. Everybody writes what they see into a
//! [`History`], and [`check`] judges that.

mod api;
pub mod check;
mod control;
mod edge;
mod history;
mod namespace;
mod network;
mod proxy;
mod target;
mod viewer;
mod writer;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{Camera, CameraOptions, Process, process::lock};

pub use api::Api;
pub use control::{CONTROLLERS, Control};
pub use edge::Edge;
pub use history::{Entry, FPS, History, What};
pub use namespace::Namespace;
pub use network::{Cut, Host, Network, Site};
pub use viewer::Viewer;
pub use writer::Writer;

/// From the start of the edges until they are ready.
const READY: Duration = Duration::from_secs(60);
/// How far site b is from the control plane, one way.
const DELAY: Duration = Duration::from_millis(40);
/// How wide a site's uplink is.
const UPLINK_MBIT: u32 = 50;
/// After what silence a player gives up that is to stay.
const PATIENT: Duration = Duration::from_secs(30);
/// After what silence one gives up that looks for a picture anywhere.
const IMPATIENT: Duration = Duration::from_secs(2);
/// The last parts of addresses in a site: its cameras, its viewers; edges are from 11 on.
const CAMERAS: u8 = 100;
const VIEWERS: u8 = 200;

/// A running installation. It ends when this is dropped.
#[derive(Debug)]
pub struct Lab {
    /// What happens in it.
    pub history: History,
    /// A program's way to it.
    pub api: Api,
    cameras: Vec<Camera>,
    /// Three of site a, three of site b.
    pub edges: Vec<Edge>,
    /// The controllers and what they need.
    pub control: Control,
    _target: Process,
    camera_hosts: [Host; 2],
    viewer_hosts: [Host; 2],
    /// The network.
    pub network: Network,
}

/// A camera of the lab and its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// The record's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where the camera is.
    pub site: Site,
}

/// Why there can be no lab here, if so.
pub fn missing() -> Option<String> {
    let attempt = || -> anyhow::Result<()> {
        let (one, two) = (Namespace::new("one")?, Namespace::new("two")?);
        one.wire("eth0", &two, "eth0")?;
        one.nft("add table inet test")?;
        one.tc("qdisc replace dev eth0 root tbf rate 1mbit burst 32kb latency 400ms")
    };
    attempt()
        .err()
        .map(|error| format!("no network namespaces of our own (they take root): {error:#}"))
}

impl Lab {
    /// Builds and starts everything, with its files in `directory`, and waits until all edges are
    /// ready.
    pub fn start(directory: &Path, binary: &Path) -> anyhow::Result<Self> {
        let history = History::begin(&directory.join("history.jsonl"))?;
        let network = Network::build()?;
        for site in Site::ALL {
            network.narrow(site, UPLINK_MBIT)?;
        }
        let hosts = |name: &str, number| -> anyhow::Result<[Host; 2]> {
            let host = |site: Site| network.host(site, &format!("{name} {}", site.name()), number);
            Ok([host(Site::A)?, host(Site::B)?])
        };
        let (camera_hosts, viewer_hosts) = (hosts("cameras", CAMERAS)?, hosts("viewers", VIEWERS)?);
        let target = target::start(&network.outside, directory, &history)?;
        let control = Control::start(&network.control, directory, binary)?;
        let api = Api::new(&network.outside, control.admin_key());
        let far = Site::B.address(1);
        network.on_router(move || {
            let to = format!("{}:8443", network::CONTROL);
            if let Err(error) = proxy::delay(&format!("{far}:8443"), &to, DELAY) {
                eprintln!("nothing is delayed: {error:#}");
            }
        })?;
        let mut edges = Vec::new();
        for site in Site::ALL {
            for number in 1..=3 {
                let token = api.join_token(&format!("edge-{}{number}", site.name()))?;
                edges.push(Edge::start(
                    &network,
                    site,
                    number,
                    &token,
                    (directory, binary),
                )?);
            }
        }
        api.wait_for_nodes(edges.len(), READY)?;
        Ok(Self {
            history,
            api,
            cameras: Vec::new(),
            edges,
            control,
            _target: target,
            camera_hosts,
            viewer_hosts,
            network,
        })
    }

    /// Starts one more camera in a site, registers it and waits for its picture.
    pub fn camera(&mut self, site: Site) -> anyhow::Result<Watched> {
        let number = self.cameras.len() + 1;
        let host = &self.camera_hosts[site as usize];
        let camera = Camera::start(CameraOptions {
            host: host.address.clone(),
            port: 8000 + u16::try_from(number)?,
            place: host.namespace.place(),
            fps: FPS,
            key_frame_every: FPS,
            numbered_since: Some(self.history.began()),
            ..CameraOptions::default()
        })?;
        let name = format!("camera-{number}");
        let id = self.api.camera_create(&name, &camera.url(), site)?;
        self.cameras.push(camera);
        self.api.wait_until_live(&id)?;
        Ok(Watched { id, name, site })
    }

    /// Unplugs all cameras of a site from their switch, or plugs them in.
    pub fn plug_cameras(&self, site: Site, are_in: bool) -> anyhow::Result<()> {
        self.network.plug(&self.camera_hosts[site as usize], are_in)
    }

    /// The edge that has a camera.
    pub fn holder(&self, camera: &Watched) -> anyhow::Result<usize> {
        let name = self.api.holder(&camera.id)?;
        let at = self.edges.iter().position(|edge| edge.name == name);
        at.with_context(|| format!("there is no {name}"))
    }

    /// Somebody in the edge's site who watches the camera at this edge, over `flv`, `rtsp`, `rtmp` or
    /// `hls`.
    pub fn viewer(
        &self,
        camera: &Watched,
        edge: usize,
        protocol: &'static str,
    ) -> anyhow::Result<Viewer> {
        let edge = &self.edges[edge];
        let name = format!("{} at {} by {protocol}", camera.name, edge.name);
        let place = self.viewer_hosts[edge.site as usize].namespace.place();
        let (api, id) = (self.api.clone(), camera.id.clone());
        let address = edge.host.address.clone();
        // A token lasts longer than the controllers are away.
        let known = Arc::new(Mutex::new(at(&api.watch_url(&id, protocol)?, &address)));
        let url = move || {
            if let Ok(url) = api.watch_url(&id, protocol) {
                *lock(&known) = at(&url, &address);
            }
            lock(&known).clone()
        };
        Ok(Viewer::start(&name, place, PATIENT, &self.history, url))
    }

    /// Somebody outside who asks for a camera again and again until there is a picture, wherever the
    /// cluster says that it is.
    #[must_use]
    pub fn seeker(&self, camera: &Watched) -> Viewer {
        let name = format!("seeker of {}", camera.name);
        let place = self.network.outside.place();
        let (api, id) = (self.api.clone(), camera.id.clone());
        let url = move || api.watch_url(&id, "flv").ok();
        Viewer::start(&name, place, IMPATIENT, &self.history, url)
    }

    /// Pushes the camera to the target, and gives somebody who watches it there.
    pub fn push(&self, camera: &Watched) -> anyhow::Result<Viewer> {
        self.api.push(&camera.id, &camera.name)?;
        let name = format!("audience of {}", camera.name);
        let url = target::watch_url(&camera.name);
        let place = self.network.outside.place();
        let url = move || Some(url.clone());
        Ok(Viewer::start(&name, place, IMPATIENT, &self.history, url))
    }

    /// A program that changes things all the time.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer::start(&self.api, &self.history)
    }

    /// Writes down that something breaks now, and gives the time.
    pub fn fault(&self, fault: &str) -> f64 {
        let fault = fault.to_owned();
        self.history.write("chaos", What::Fault { fault });
        self.history.now()
    }

    /// Writes down that it was mended.
    pub fn mended(&self, fault: &str) -> f64 {
        let fault = fault.to_owned();
        self.history.write("chaos", What::Mended { fault });
        self.history.now()
    }
}

/// The URL with the host of another edge.
fn at(url: &str, address: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find([':', '/'])?;
    Some(format!("{scheme}://{address}{}", &rest[end..]))
}

/// What is in the directory of a lab that is worth keeping.
pub fn records(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let files = fs::read_dir(directory)?;
    let paths = files.flatten().map(|file| file.path());
    let is_record = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("log" | "jsonl"))
    };
    let found: Vec<_> = paths.filter(is_record).collect();
    ensure!(!found.is_empty(), "nothing in {}", directory.display());
    Ok(found)
}
