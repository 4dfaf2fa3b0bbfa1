//! `headworks playback-key …`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use headworks_types::{
    Action, CameraGroupId, CameraId, PlaybackBounds, PlaybackKey, PlaybackKeyCreate, PlaybackKeyId,
    ProjectId,
};

use super::{Noun, action, names, seconds, show_optional_time, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with your own keys for playback tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum PlaybackKeyVerb {
    /// Register a public key; who has its private half signs playback tokens without asking us
    Create(Box<Create>),
    /// List playback keys
    List,
    /// Show one playback key
    View {
        /// The key's id
        id: PlaybackKeyId,
    },
    /// Make a playback key useless, for ever; who watches with its tokens watches no more
    Revoke {
        /// The key's id
        id: PlaybackKeyId,
    },
}

/// A key to be.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it
    #[arg(long)]
    name: String,
    /// File with the public key, Ed25519 or P-256: -----BEGIN PUBLIC KEY-----, or a JSON Web Key
    #[arg(long, value_name = "FILE")]
    public_key_file: PathBuf,
    /// The project whose cameras it opens [default: that of whoever asks]
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Its tokens open this camera; may be given several times
    #[arg(long, value_name = "ID", required_unless_present_any = ["group", "whole_project"])]
    camera: Vec<CameraId>,
    /// Its tokens open all below this camera group; may be given several times
    #[arg(long, value_name = "ID")]
    group: Vec<CameraGroupId>,
    /// Its tokens open every camera of the project
    #[arg(long, conflicts_with_all = ["camera", "group"])]
    whole_project: bool,
    /// What its tokens allow; may be given several times [default: to watch live, and to hear if you
    /// may hear all of it]
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Vec<Action>,
    /// For how long its tokens open sessions at most, at most 10m
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    expires: u32,
    /// For how long a session may watch at most, at most 12h
    #[arg(long, value_name = "TIME", default_value = "4h", value_parser = seconds)]
    watch: u32,
}

impl Create {
    fn into_key(self) -> Result<PlaybackKeyCreate, Failure> {
        let text = public_key(&self.public_key_file)?;
        let unreadable = |error| {
            let path = self.public_key_file.display();
            Failure::user(format!("{path} is neither PEM nor a JSON Web Key: {error}"))
        };
        let (pem, jwk) = match text.trim_start().starts_with('{') {
            true => (None, Some(serde_json::from_str(&text).map_err(unreadable)?)),
            false => (Some(text), None),
        };
        let key = PlaybackKeyCreate {
            name: self.name,
            project_id: self.project,
            pem,
            jwk,
            bounds: PlaybackBounds {
                whole_project: self.whole_project,
                camera_ids: self.camera,
                camera_group_ids: self.group,
                actions: Some(self.action).filter(|actions| !actions.is_empty()),
                max_expires_in_seconds: self.expires,
                max_watch_seconds: self.watch,
            },
        };
        // A private key must not leave this machine.
        key.public_key().map_err(|(_, words)| {
            let path = self.public_key_file.display();
            Failure::user(format!("the key in {path} {words}"))
        })?;
        Ok(key)
    }
}

fn public_key(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::user(format!("cannot read {}: {error}", path.display())))
}

/// Does it.
pub(crate) async fn run(command: Noun<PlaybackKeyVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        PlaybackKeyVerb::Create(create) => {
            let key = client.playback_key_create(&create.into_key()?).await?;
            output::one(&key, json, record)
        }
        PlaybackKeyVerb::List => {
            output::list(&client.playback_key_list().limit(1000).all().await?, json)
        }
        PlaybackKeyVerb::View { id } => {
            output::one(&client.playback_key_view(id).await?, json, record)
        }
        PlaybackKeyVerb::Revoke { id } => {
            output::one(&client.playback_key_revoke(id).await?, json, record)
        }
    }
}

impl Row for PlaybackKey {
    const COLUMNS: &'static [&'static str] = &["ID", "NAME", "KEY", "MAY", "ON", "REVOKED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.public_key.crv.clone(),
            names(self.bounds.actions()),
            on(&self.bounds),
            self.revoked_at.map_or_else(|| "-".to_owned(), show_time),
        ]
    }
}

fn on(bounds: &PlaybackBounds) -> String {
    if bounds.whole_project {
        return "the whole project".to_owned();
    }
    let cameras = bounds.camera_ids.iter().map(ToString::to_string);
    let groups = bounds.camera_group_ids.iter().map(ToString::to_string);
    let all: Vec<_> = cameras.chain(groups).collect();
    match &all[..] {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first},{second},{third} and {} more", rest.len())
        }
        all => all.join(","),
    }
}

fn record(key: &PlaybackKey) -> Vec<(&'static str, String)> {
    let bounds = &key.bounds;
    vec![
        ("kid", key.id.to_string()),
        ("name", key.name.clone()),
        ("key", key.public_key.crv.clone()),
        ("may", names(bounds.actions())),
        ("on", on(bounds)),
        (
            "opens for",
            format!("at most {} s", bounds.max_expires_in_seconds),
        ),
        ("watches", format!("at most {} s", bounds.max_watch_seconds)),
        ("project", key.project_id.to_string()),
        ("revoked", show_optional_time(key.revoked_at)),
        ("created", show_time(key.created_at)),
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::arguments::{Arguments, Command};

    use super::*;

    const JWK: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}"#;

    fn create(key: &str, arguments: &str) -> Result<PlaybackKeyCreate, String> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("key");
        std::fs::write(&path, key).expect("writes");
        let path = path.display();
        let all = format!(
            "headworks playback-key create --name ours --public-key-file {path} {arguments}"
        );
        let parsed = Arguments::try_parse_from(all.split_whitespace());
        let Command::PlaybackKey(Noun {
            verb: PlaybackKeyVerb::Create(create),
            ..
        }) = parsed.map_err(|error| error.to_string())?.command
        else {
            return Err("is another command".to_owned());
        };
        create.into_key().map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_key_comes_with_its_bounds() {
        let key = create(JWK, "--whole-project --expires 1m --watch 2h").expect("parses");
        assert!(key.jwk.is_some() && key.bounds.whole_project);
        assert_eq!(key.bounds.actions, None, "as the controller sees fit");
        assert_eq!(key.bounds.max_expires_in_seconds, 60);
        assert_eq!(key.bounds.max_watch_seconds, 7200);
    }

    #[test]
    fn a_key_without_bounds_and_what_is_no_public_key_are_refused() {
        assert!(create(JWK, "").is_err(), "empty never means all");
        let private = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let refused = create(private, "--whole-project").expect_err("stays here");
        assert!(refused.contains("is a private key"), "{refused}");
        let with_private = JWK.replace('}', r#","d":"AAAA"}"#);
        let refused = create(&with_private, "--whole-project").expect_err("stays here");
        assert!(refused.contains("private"), "{refused}");
        assert!(create("{", "--whole-project").is_err());
    }

    #[test]
    fn many_cameras_are_counted() {
        let id = |number| format!("--camera cam_0000000000000000000000000000000{number}");
        let all: Vec<_> = (1..6).map(id).collect();
        let key = create(JWK, &all.join(" ")).expect("parses");
        assert!(
            on(&key.bounds).ends_with(" and 2 more"),
            "{}",
            on(&key.bounds)
        );
    }
}
