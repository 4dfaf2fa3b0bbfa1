//! Installs what the demo and the tests need beside Rust. What is there already is left alone.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, bail};
use headworks_testkit::tool;

use crate::cargo;

/// Debian's packages, with what each is for.
const PACKAGES: &[(&str, &str)] = &[
    ("postgresql", "the database that headworks embeds"),
    ("pgbouncer", "a pooler before it"),
    ("python3-gi", "the test cameras"),
    ("gir1.2-gst-rtsp-server-1.0", "their RTSP server"),
    ("gstreamer1.0-rtsp", "a publisher over RTSP"),
    ("gstreamer1.0-plugins-base", "their test picture and tone"),
    ("gstreamer1.0-plugins-good", "their RTP, G.711 and JPEG"),
    ("gstreamer1.0-plugins-bad", "their H.265 and AAC"),
    ("gstreamer1.0-plugins-ugly", "their H.264"),
    ("ffmpeg", "a player that judges what headworks serves"),
    ("rtmpdump", "a second RTMP client"),
    ("gstreamer1.0-tools", "another player and publisher"),
    ("vlc-bin", "another player and RTSP server"),
    ("vlc-plugin-base", "its protocols"),
    ("rtsp-server-perl", "another RTSP server"),
    ("openssl", "certificates for peers that speak TLS"),
    ("glib-networking", "TLS for GStreamer"),
    ("nginx", "carries the RTMP server below"),
    (
        "libnginx-mod-rtmp",
        "an RTMP server to push to and pull from",
    ),
    ("libnginx-mod-stream", "TLS in front of it"),
    ("haproxy", "a load balancer before several controllers"),
    ("iproute2", "networks of their own for `cargo xtask chaos`"),
    ("nftables", "losses and cuts in them"),
    ("chromium", "another one, with what web pages play with"),
    (
        "python3-pip",
        "installs a newer FFmpeg, which also knows H.265 in FLV, and Schemathesis",
    ),
    ("python3-jwt", "signs playback tokens as customers do"),
    ("python3-cryptography", "its algorithms"),
];

/// Set this where there is no Debian, or no packages shall be installed.
const SKIP: &str = "HEADWORKS_SETUP_SKIP";
const DENY_VERSION: &str = "0.20.2";
const FFMPEG: PythonPackages = PythonPackages {
    directory: "ffmpeg",
    what: "a newer FFmpeg (70 MB), to judge H.265 in FLV",
    requirements: include_str!("setup/ffmpeg.txt"),
};
const SCHEMATHESIS: PythonPackages = PythonPackages {
    directory: "schemathesis",
    what: "Schemathesis, to judge the API",
    requirements: include_str!("setup/schemathesis.txt"),
};
const WEB_PLAYERS: NodePackages = NodePackages {
    directory: "browser",
    what: "players of web pages",
    package: include_str!("setup/browser/package.json"),
    lock: include_str!("setup/browser/package-lock.json"),
};
const OIDC_PROVIDER: NodePackages = NodePackages {
    directory: "oidc",
    what: "an OpenID provider",
    package: include_str!("setup/oidc/package.json"),
    lock: include_str!("setup/oidc/package-lock.json"),
};

/// Packages for Python, pinned by hash.
struct PythonPackages {
    /// In the directory of tools.
    directory: &'static str,
    what: &'static str,
    requirements: &'static str,
}

/// Packages for Node.js, pinned by hash.
struct NodePackages {
    /// In the directory of tools.
    directory: &'static str,
    what: &'static str,
    package: &'static str,
    lock: &'static str,
}

/// What the demo and the tests need.
pub(crate) fn everything() -> anyhow::Result<()> {
    packages()?;
    modern_ffmpeg()?;
    node_packages()?;
    SCHEMATHESIS.install()?;
    println!("setup: everything is there");
    Ok(())
}

/// The packages that are missing, by apt-get.
pub(crate) fn packages() -> anyhow::Result<()> {
    if env::var_os(SKIP).is_some() {
        return Ok(());
    }
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: these Debian packages are missing:");
    for (package, reason) in &missing {
        println!("  {package:<28} {reason}");
    }
    let names: Vec<_> = missing.iter().map(|(package, _)| *package).collect();
    let install = ["install", "--yes", "--no-install-recommends"];
    println!("setup: apt-get {} {}", install.join(" "), names.join(" "));
    apt_get(&["update", "--quiet=2"])?;
    apt_get(&[&install[..], &["--quiet=2"], &names].concat())
}

fn missing() -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    let names = PACKAGES.iter().map(|(package, _)| package);
    let Ok(known) = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Package} ${db:Status-Status}\n"])
        .args(names)
        .output()
    else {
        bail!(
            "this is not a Debian system; install what these packages have, then set {SKIP}=1:\n  {}",
            PACKAGES
                .iter()
                .map(|(package, reason)| format!("{package}: {reason}"))
                .collect::<Vec<_>>()
                .join("\n  ")
        );
    };
    let known = String::from_utf8_lossy(&known.stdout);
    Ok(PACKAGES
        .iter()
        .copied()
        .filter(|(package, _)| {
            !known
                .lines()
                .any(|line| line == format!("{package} installed"))
        })
        .collect())
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = if is_root {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("env");
        sudo
    };
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
        .args(arguments);
    cargo::run(&mut command)
        .with_context(|| format!("as root, run: apt-get {}", arguments.join(" ")))
}

/// The newer FFmpeg, in the target directory.
pub(crate) fn modern_ffmpeg() -> anyhow::Result<()> {
    FFMPEG.install().map(drop)
}

/// What sends requests to the API, for `ci` only. Returns where Python finds it.
pub(crate) fn schemathesis() -> anyhow::Result<PathBuf> {
    packages()?;
    SCHEMATHESIS.install()
}

impl PythonPackages {
    /// Returns where they are.
    fn install(&self) -> anyhow::Result<PathBuf> {
        let directory = tool::directory().join(self.directory);
        let stamp = directory.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == self.requirements) {
            return Ok(directory);
        }
        println!("setup: {}", self.what);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        let requirements = directory.join("requirements.txt");
        fs::write(&requirements, self.requirements)?;
        cargo::run(
            Command::new("/usr/bin/python3")
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .args([
                    "--root-user-action=ignore",
                    "--no-deps",
                    "--require-hashes",
                    "--upgrade",
                ])
                .arg("--target")
                .arg(&directory)
                .arg("--requirement")
                .arg(&requirements),
        )?;
        // Last, so that an interrupted installation is begun anew.
        fs::write(&stamp, self.requirements)?;
        Ok(directory)
    }
}

/// What plays in browsers, and an OpenID provider, in the target directory. Node.js is not
/// installed: its packages differ from system to system.
pub(crate) fn node_packages() -> anyhow::Result<()> {
    WEB_PLAYERS.install()?;
    OIDC_PROVIDER.install()
}

impl NodePackages {
    fn install(&self) -> anyhow::Result<()> {
        let directory = tool::directory().join(self.directory);
        let stamp = directory.join("installed.json");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == self.lock) {
            return Ok(());
        }
        println!("setup: {} (npm)", self.what);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        fs::write(directory.join("package.json"), self.package)?;
        fs::write(directory.join("package-lock.json"), self.lock)?;
        cargo::run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&directory),
        )
        .context("these tests need Node.js 20 or newer with npm")?;
        // Last, so that an interrupted installation is begun anew.
        fs::write(&stamp, self.lock)?;
        Ok(())
    }
}

/// The licence and dependency checker, for `ci` only: it takes minutes to build.
pub(crate) fn cargo_deny() -> anyhow::Result<PathBuf> {
    let root = tool::directory();
    let binary = root.join("bin/cargo-deny");
    let is_there = Command::new(&binary)
        .arg("--version")
        .output()
        .is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains(DENY_VERSION));
    if !is_there {
        println!("setup: cargo-deny {DENY_VERSION}");
        cargo::run(
            cargo::cargo(&[
                "install",
                "--quiet",
                "--locked",
                "--no-default-features",
                "--force",
            ])
            .args(["--version", DENY_VERSION, "cargo-deny", "--root"])
            .arg(&root),
        )?;
    }
    Ok(binary)
}
