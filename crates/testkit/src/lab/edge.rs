//! An edge of a lab: a host on a site's switch, with a small disk of its own.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::network::{CONTROL, Host, Network, Site};
use crate::{Headworks, Launch, Signal};

/// Where its disk is, among its own mounts.
const DISK: &str = "/mnt";

/// A host that runs an edge. The edge ends when this is dropped.
#[derive(Debug)]
pub struct Edge {
    process: Option<Headworks>,
    /// Where it is.
    pub site: Site,
    /// What it is called.
    pub name: String,
    /// The host.
    pub host: Host,
    launch: Launch,
    directory: PathBuf,
}

impl Edge {
    /// Starts the `number`-th edge of a site, which joins with this token.
    pub(super) fn start(
        network: &Network,
        site: Site,
        number: u8,
        token: &str,
        (directory, binary): (&Path, &Path),
    ) -> anyhow::Result<Self> {
        let name = format!("edge-{}{number}", site.name());
        let host = network.host(site, &name, 10 + number)?;
        // A few megabytes, so that it can be filled.
        let disk = ["-t", "tmpfs", "-o", "size=8m", "disk", DISK];
        host.namespace.run("mount", &disk)?;
        // Site b is far away: see `DELAY`.
        let controller = match site {
            Site::A => CONTROL.to_owned(),
            Site::B => site.address(1),
        };
        let launch = Launch {
            binary: Some(binary.to_owned()),
            place: host.namespace.place(),
            ..Launch::default()
        };
        let launch = launch
            .env("HEADWORKS__EDGE__NAME", &name)
            .env("HEADWORKS__EDGE__SITE", site.name())
            .env("HEADWORKS__EDGE__ZONE", site.name())
            .env("HEADWORKS__EDGE__DATA", format!("{DISK}/edge"))
            .env(
                "HEADWORKS__EDGE__CONTROLLER_URL",
                format!("https://{controller}:8443"),
            )
            .env("HEADWORKS__EDGE__HTTP_LISTEN", "[::]:8081")
            .env("HEADWORKS__EDGE__RTMP_LISTEN", "[::]:1935")
            .env("HEADWORKS__EDGE__RTSP_LISTEN", "[::]:8554")
            .env("HEADWORKS__EDGE__RTSP_UDP_LISTEN", "[::]:8000")
            .env("HEADWORKS__EDGE__RELAY_LISTEN", "[::]:8445")
            .log(directory.join(format!("{name}.log")));
        let mut edge = Self {
            process: None,
            site,
            name,
            host,
            launch,
            directory: directory.to_owned(),
        };
        let first = edge
            .launch
            .clone()
            .env("HEADWORKS__EDGE__JOIN_TOKEN", token);
        edge.process = Some(Headworks::run(&["edge".into()], &first)?);
        Ok(edge)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it as a service manager does: it says goodbye. Waits for its end.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, with what its disk has.
    pub fn again(&mut self) -> anyhow::Result<()> {
        self.process = Some(Headworks::run(&["edge".into()], &self.launch)?);
        Ok(())
    }

    /// Stops it from running, as if it hung.
    pub fn freeze(&mut self) {
        self.signal(Signal::Stop);
    }

    /// Lets it run on.
    pub fn thaw(&mut self) {
        self.signal(Signal::Continue);
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// Fills its disk to the last byte.
    pub fn fill_disk(&self) -> anyhow::Result<()> {
        let mut file = File::create(self.filler()?)?;
        while file.write_all(&[0; 4096]).is_ok() {}
        // What is left of the last block.
        while file.write_all(&[0]).is_ok() {}
        Ok(())
    }

    /// Makes room on its disk.
    pub fn empty_disk(&self) -> anyhow::Result<()> {
        fs::remove_file(self.filler()?).context("make room on the disk")
    }

    /// The file that fills the disk, as we see the edge's mounts.
    fn filler(&self) -> anyhow::Result<PathBuf> {
        let process = self.process.as_ref().context("the edge runs")?;
        let root = format!("/proc/{}/root{DISK}", process.pid());
        Ok(Path::new(&root).join("filler"))
    }

    /// Everything that it has logged.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Who is frozen cannot end.
        self.thaw();
    }
}
