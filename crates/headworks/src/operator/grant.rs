//! `headworks grant …`

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand};
use headworks_client::Call;
use headworks_types::{
    Action, ApiKeyId, CameraGroupId, CameraId, Effect, Grant, GrantConditions, GrantCreate,
    GrantId, GrantObject, Network, Page, Principal, ProjectId, RoleId, RoleRef, Schedule,
    UserGroupId, UserId, Weekday, WeeklyWindow,
};

use super::{Noun, action, names, show_name, show_time};
use crate::{
    failure::Failure,
    output::{self, Row},
};

/// What to do with grants.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantVerb {
    /// Allow somebody something, or deny it
    Create(Box<Create>),
    /// List grants
    List(List),
    /// Show one grant
    View {
        /// The grant's id
        id: GrantId,
    },
    /// Take a grant back
    Delete {
        /// The grant's id
        id: GrantId,
    },
}

/// Which grants.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only grants to this user
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Only grants to this group of users
    #[arg(long, value_name = "ID")]
    user_group: Option<UserGroupId>,
    /// Only grants to this API key
    #[arg(long, value_name = "ID")]
    api_key: Option<ApiKeyId>,
    /// Only grants on this camera
    #[arg(long, value_name = "ID")]
    camera: Option<CameraId>,
    /// Only grants on this camera group itself
    #[arg(long, value_name = "ID")]
    camera_group: Option<CameraGroupId>,
    /// Only grants as this role
    #[arg(long, value_name = "ID")]
    role: Option<RoleId>,
}

impl List {
    fn narrow(self, mut list: Call<Page<Grant>>) -> Call<Page<Grant>> {
        if let Some(id) = self.user {
            list = list.to_user(id);
        }
        if let Some(id) = self.user_group {
            list = list.to_user_group(id);
        }
        if let Some(id) = self.api_key {
            list = list.to_api_key(id);
        }
        if let Some(id) = self.camera {
            list = list.on_camera(id);
        }
        if let Some(id) = self.camera_group {
            list = list.on_camera_group(id);
        }
        if let Some(id) = self.role {
            list = list.as_role(id);
        }
        list
    }
}

/// A grant to be.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("principal").required(true).args(["user", "user_group", "api_key"])))]
#[command(group(ArgGroup::new("object").required(true)
    .args(["camera", "camera_group", "project", "cluster"])))]
pub(crate) struct Create {
    /// Who: a user
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// Who: everybody in a group of users
    #[arg(long, value_name = "ID")]
    user_group: Option<UserGroupId>,
    /// Who: an API key
    #[arg(long, value_name = "ID")]
    api_key: Option<ApiKeyId>,
    /// On what: one camera
    #[arg(long, value_name = "ID")]
    camera: Option<CameraId>,
    /// On what: a camera group with everything below it
    #[arg(long, value_name = "ID")]
    camera_group: Option<CameraGroupId>,
    /// On what: a project and everything in it
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// On what: the whole cluster
    #[arg(long)]
    cluster: bool,
    /// Deny it, whatever else is allowed
    #[arg(long)]
    deny: bool,
    /// As what: viewer, operator, installer, admin, or the id of a role
    #[arg(long, conflicts_with = "action")]
    role: Option<RoleRef>,
    /// May do what; may be given several times [default: camera.view_live and camera.view_audio]
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Vec<Action>,
    /// Only in these hours: mon-fri@08:00-18:00; may be given several times
    #[arg(long, value_name = "DAYS@FROM-TO", value_parser = hours, requires = "zone")]
    hours: Vec<WeeklyWindow>,
    /// Whose clock the hours are by: Europe/Paris
    #[arg(long, requires = "hours")]
    zone: Option<String>,
    /// Only from this network, 10.20.0.0/16, or address; may be given several times
    #[arg(long)]
    network: Vec<Network>,
    /// Not before this time: 2026-12-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    not_before: Option<DateTime<Utc>>,
    /// No more from this time on
    #[arg(long, value_name = "TIME")]
    not_after: Option<DateTime<Utc>>,
}

impl Create {
    fn into_grant(self) -> Option<GrantCreate> {
        let user = self.user.map(|id| Principal::User { id });
        let group = self.user_group.map(|id| Principal::UserGroup { id });
        let key = self.api_key.map(|id| Principal::ApiKey { id });
        let camera = self.camera.map(|id| GrantObject::Camera { id });
        let cameras = self.camera_group.map(|id| GrantObject::CameraGroup { id });
        let project = self.project.map(|id| GrantObject::Project { id });
        let cluster = self.cluster.then_some(GrantObject::Cluster);
        let actions = match (self.role, self.action) {
            (Some(_), _) => None,
            (None, named) if named.is_empty() => {
                Some(vec![Action::CameraViewLive, Action::CameraViewAudio])
            }
            (None, named) => Some(named),
        };
        let windows = self.hours;
        Some(GrantCreate {
            effect: if self.deny {
                Effect::Deny
            } else {
                Effect::Allow
            },
            principal: user.or(group).or(key)?,
            object: camera.or(cameras).or(project).or(cluster)?,
            role: self.role,
            actions,
            conditions: GrantConditions {
                schedule: self.zone.map(|zone| Schedule { zone, windows }),
                networks: (!self.network.is_empty()).then_some(self.network),
                not_before: self.not_before,
                not_after: self.not_after,
            },
        })
    }
}

/// `mon-fri@08:00-18:00`, `sat,sun@22:00-06:00`
fn hours(text: &str) -> Result<WeeklyWindow, String> {
    let bad = || "expected such as mon-fri@08:00-18:00 or sat,sun@22:00-06:00".to_owned();
    let (days, times) = text.split_once('@').ok_or_else(bad)?;
    let (from, to) = times.split_once('-').ok_or_else(bad)?;
    let mut all = Vec::new();
    for part in days.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (weekday(first)?, weekday(last)?);
        let mut round = (0..7).map(|step| Weekday::ALL[(first + step) % 7]);
        let count = (last + 7 - first) % 7 + 1;
        all.extend(round.by_ref().take(count));
    }
    Ok(WeeklyWindow {
        days: all,
        from: from.parse()?,
        to: to.parse()?,
    })
}

fn weekday(text: &str) -> Result<usize, String> {
    let mut names = Weekday::ALL.iter().map(show_name);
    names
        .position(|name| name == text)
        .ok_or_else(|| "the days are mon, tue, wed, thu, fri, sat and sun".to_owned())
}

/// Does it.
pub(crate) async fn run(command: Noun<GrantVerb>) -> Result<(), Failure> {
    let client = command.api.client()?;
    let json = command.api.json;
    match command.verb {
        GrantVerb::Create(create) => {
            let grant = create
                .into_grant()
                .ok_or_else(|| Failure::bug("the command line let an incomplete grant pass"))?;
            output::one(&client.grant_create(&grant).await?, json, record)
        }
        GrantVerb::List(list) => {
            let list = list.narrow(client.grant_list().limit(1000));
            output::list(&list.all().await?, json)
        }
        GrantVerb::View { id } => output::one(&client.grant_view(id).await?, json, record),
        GrantVerb::Delete { id } => Ok(client.grant_delete(id).await?),
    }
}

impl Row for Grant {
    const COLUMNS: &'static [&'static str] = &["ID", "WHO", "DOES", "WHAT", "ON", "WHEN"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            who(self),
            show_name(&self.effect),
            what(self),
            on(self),
            when(&self.conditions),
        ]
    }
}

fn record(grant: &Grant) -> Vec<(&'static str, String)> {
    vec![
        ("id", grant.id.to_string()),
        ("who", who(grant)),
        ("does", show_name(&grant.effect)),
        ("what", what(grant)),
        ("on", on(grant)),
        ("when", when(&grant.conditions)),
        ("created", show_time(grant.created_at)),
    ]
}

fn who(grant: &Grant) -> String {
    match grant.principal {
        Principal::User { id } => id.to_string(),
        Principal::UserGroup { id } => id.to_string(),
        Principal::ApiKey { id } => id.to_string(),
    }
}

fn on(grant: &Grant) -> String {
    match grant.object {
        GrantObject::Camera { id } => id.to_string(),
        GrantObject::CameraGroup { id } => id.to_string(),
        GrantObject::Project { id } => id.to_string(),
        GrantObject::Cluster => "the cluster".to_owned(),
    }
}

fn what(grant: &Grant) -> String {
    match grant.role {
        Some(role) => role.to_string(),
        None => names(&grant.actions),
    }
}

fn when(conditions: &GrantConditions) -> String {
    let mut parts = Vec::new();
    if let Some(schedule) = &conditions.schedule {
        for window in &schedule.windows {
            let days: Vec<_> = window.days.iter().map(show_name).collect();
            let (from, to) = (window.from, window.to);
            parts.push(format!("{}@{from}-{to}", days.join(",")));
        }
        parts.push(format!("in {}", schedule.zone));
    }
    for network in conditions.networks.iter().flatten() {
        parts.push(format!("from {network}"));
    }
    parts.extend(
        conditions
            .not_before
            .map(|at| format!("not before {}", show_time(at))),
    );
    parts.extend(
        conditions
            .not_after
            .map(|at| format!("until {}", show_time(at))),
    );
    if parts.is_empty() {
        return "always".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::arguments::{Arguments, Command};

    use super::*;

    fn create(arguments: &str) -> Result<GrantCreate, String> {
        const CAMERA: &str = "cam_00000000000000000000000000000001";
        const USER: &str = "usr_00000000000000000000000000000001";
        let all = format!("headworks grant create --user {USER} --camera {CAMERA} {arguments}");
        let parsed = Arguments::try_parse_from(all.split_whitespace());
        let Command::Grant(Noun {
            verb: GrantVerb::Create(create),
            ..
        }) = parsed.map_err(|error| error.to_string())?.command
        else {
            return Err("is another command".to_owned());
        };
        create
            .into_grant()
            .ok_or_else(|| "is incomplete".to_owned())
    }

    #[test]
    fn a_grant_is_made_of_what_was_typed() {
        let plain = create("").expect("parses");
        let heard = vec![Action::CameraViewLive, Action::CameraViewAudio];
        assert_eq!(plain.actions, Some(heard));
        assert_eq!(
            (plain.effect, plain.conditions.is_empty()),
            (Effect::Allow, true)
        );
        let night = "--deny --role operator --hours fri-mon@22:00-06:00 --zone Europe/Paris \
                     --network 10.20.0.0/16";
        let night = create(night).expect("parses");
        assert_eq!((night.effect, night.actions), (Effect::Deny, None));
        assert_eq!(
            when(&night.conditions),
            "fri,sat,sun,mon@22:00-06:00 in Europe/Paris from 10.20.0.0/16"
        );
    }

    #[test]
    fn half_a_grant_is_refused() {
        for wrong in [
            "--role viewer --action camera.ptz",
            "--role root",
            "--hours mon@08:00-18:00",
            "--zone Europe/Paris",
            "--hours mon@8-18 --zone Europe/Paris",
            "--network 10.20.1.0/16",
            "--cluster",
        ] {
            assert!(create(wrong).is_err(), "{wrong}");
        }
    }
}
