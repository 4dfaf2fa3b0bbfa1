//! Where the foreign programs are that `cargo xtask setup` installs.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Debian's FFmpeg: the judge of everything that it knows.
pub const FFMPEG: &str = "ffmpeg";
/// Its companion that counts frames.
pub const FFPROBE: &str = "ffprobe";

/// The checkout that this was compiled in.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("/"))
}

/// Where `cargo xtask setup` keeps what is not a Debian package.
#[must_use]
pub fn directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from)
        .join("tools")
}

/// A newer FFmpeg, which also knows H.265 in FLV.
pub fn modern_ffmpeg() -> anyhow::Result<PathBuf> {
    let binaries = directory().join("ffmpeg/imageio_ffmpeg/binaries");
    fs::read_dir(&binaries)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"ffmpeg-"))
        })
        .with_context(|| {
            format!(
                "no FFmpeg in {}; `cargo xtask setup` installs it",
                binaries.display()
            )
        })
}

/// Where npm has installed what plays in browsers.
pub fn web_players() -> anyhow::Result<PathBuf> {
    node_packages("browser")
}

/// Where npm has installed an OpenID provider.
pub fn oidc_provider() -> anyhow::Result<PathBuf> {
    node_packages("oidc")
}

fn node_packages(name: &str) -> anyhow::Result<PathBuf> {
    let directory = directory().join(name);
    let modules = directory.join("node_modules");
    if !modules.exists() {
        anyhow::bail!(
            "nothing in {}; `cargo xtask setup` installs it",
            modules.display()
        );
    }
    Ok(directory)
}
