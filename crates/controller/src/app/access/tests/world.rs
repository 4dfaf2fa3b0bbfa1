//! Random worlds: two projects with trees of cameras, people, keys and grants.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use chrono::{DateTime, TimeDelta, Utc};
use headworks_types::{
    Action, ApiKeyCreate, BuiltInRole, CameraGroupCreate, CameraGroupId, CameraId, Effect,
    GrantConditions, GrantCreate, GrantObject, Labels, Principal, ProjectId, RoleId, RoleRef,
    Schedule, Secret, UserGroupId, Weekday, WeeklyWindow,
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    app::access::Actions,
    credential::{Kind, generate},
    db::{
        api_key::api_key_insert, camera_group::camera_group_insert, fixture, grant::grant_insert,
        role::role_insert,
    },
    keys::Keys,
};

/// What is asked for.
pub(super) const ACTIONS: [Action; 3] = [
    Action::CameraViewLive,
    Action::CameraPtz,
    Action::CameraManage,
];

const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
];
const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.20.0.0/16", "192.168.1.7", "2001:db8::/32"];
const ADDRESSES: [&str; 5] = [
    "10.1.1.1",
    "::ffff:10.20.3.4",
    "192.168.1.7",
    "2001:db8::5",
    "203.0.113.9",
];
/// Days on which some of the zones change their clocks, and others.
const DAYS: [&str; 5] = [
    "2026-03-29T00:00:00Z",
    "2026-10-25T00:00:00Z",
    "2026-11-01T00:00:00Z",
    "2026-04-04T12:00:00Z",
    "2026-07-15T00:00:00Z",
];

/// When and from where somebody asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: DateTime<Utc>,
    pub(super) address: Option<IpAddr>,
}

impl Moment {
    pub(super) fn random(random: &mut StdRng) -> Self {
        let address = random.random_bool(0.8).then(|| {
            let text = ADDRESSES.choose(random).expect("there are some");
            text.parse().expect("is an address")
        });
        let at = random_time(random);
        Self { at, address }
    }
}

#[derive(Debug)]
pub(super) struct Camera {
    pub(super) id: CameraId,
    pub(super) project: ProjectId,
    pub(super) group: Option<Uuid>,
}

/// A user or an API key.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) id: Uuid,
    principal: Principal,
    enabled: bool,
    expires_at: Option<DateTime<Utc>>,
    scopes: Option<Vec<Action>>,
}

impl Person {
    pub(super) fn works(&self, at: DateTime<Utc>) -> bool {
        self.enabled && self.expires_at.is_none_or(|end| end > at)
    }

    pub(super) fn scopes(&self) -> Actions {
        let scopes = self.scopes.as_ref();
        scopes.map_or(Actions::ALL, |scopes| scopes.iter().copied().collect())
    }
}

pub(super) struct World {
    pub(super) cameras: Vec<Camera>,
    pub(super) people: Vec<Person>,
    pub(super) members: BTreeSet<(UserGroupId, Uuid)>,
    pub(super) roles: HashMap<RoleId, Vec<Action>>,
    pub(super) grants: Vec<GrantCreate>,
    /// Each group's parent.
    parents: HashMap<Uuid, Option<Uuid>>,
    projects: Vec<ProjectId>,
    user_groups: Vec<UserGroupId>,
}

impl World {
    pub(super) async fn make(conn: &mut PgConnection, random: &mut StdRng) -> Self {
        let mut world = Self {
            cameras: Vec::new(),
            people: Vec::new(),
            members: BTreeSet::new(),
            roles: HashMap::new(),
            grants: Vec::new(),
            parents: HashMap::new(),
            projects: Vec::new(),
            user_groups: Vec::new(),
        };
        for _ in 0..2 {
            world.add_project(conn, random).await;
        }
        let home = world.projects[0];
        world.add_people(conn, home, random).await;
        for name in ["one", "two"] {
            let id = RoleId::from(Uuid::now_v7());
            let actions = some(&ACTIONS, random);
            let role = role_insert(conn, home, id, name, &actions).await;
            role.expect("inserts a role");
            world.roles.insert(id, actions);
        }
        for _ in 0..random.random_range(5..40) {
            let grant = world.random_grant(random);
            let inserted = grant_insert(conn, Uuid::now_v7().into(), home, &grant).await;
            inserted.expect("inserts a grant");
            world.grants.push(grant);
        }
        world
    }

    pub(super) fn camera(&self, id: CameraId) -> &Camera {
        let mut cameras = self.cameras.iter();
        cameras.find(|camera| camera.id == id).expect("is there")
    }

    pub(super) fn random_group(&self, random: &mut StdRng) -> Uuid {
        let groups = self.groups();
        *groups.choose(random).expect("there are some")
    }

    /// True if the camera is in the group or in one below it.
    pub(super) fn is_below(&self, camera: &Camera, group: Uuid) -> bool {
        let mut at = camera.group;
        while let Some(id) = at {
            if id == group {
                return true;
            }
            at = self.parents[&id];
        }
        false
    }

    /// In an order that is the same in each run.
    fn groups(&self) -> Vec<Uuid> {
        let mut groups: Vec<_> = self.parents.keys().copied().collect();
        groups.sort_unstable();
        groups
    }

    async fn add_project(&mut self, conn: &mut PgConnection, random: &mut StdRng) {
        let project = fixture::project(conn).await;
        let mut paths: Vec<Vec<CameraGroupId>> = Vec::new();
        for _ in 0..6 {
            let above = match paths.choose(random) {
                Some(path) if random.random_bool(0.7) => path.clone(),
                _ => Vec::new(),
            };
            let id = CameraGroupId::from(Uuid::now_v7());
            let new = CameraGroupCreate {
                name: "group".to_owned(),
                parent_id: above.last().copied(),
                external_id: None,
                labels: Labels::default(),
            };
            let group = camera_group_insert(conn, project, id, &above, &new).await;
            paths.push(group.expect("inserts a group").path);
            let parent = above.last().map(|parent| parent.uuid());
            self.parents.insert(id.uuid(), parent);
        }
        for _ in 0..8 {
            let id = fixture::camera(conn, project).await;
            let group = random.random_bool(0.8).then(|| {
                let path = paths.choose(random).expect("there are some");
                path[path.len() - 1].uuid()
            });
            sqlx::query!(
                "UPDATE camera SET group_id = $2 WHERE id = $1",
                id.uuid(),
                group
            )
            .execute(&mut *conn)
            .await
            .expect("moves the camera");
            self.cameras.push(Camera { id, project, group });
        }
        self.projects.push(project);
    }

    async fn add_people(
        &mut self,
        conn: &mut PgConnection,
        project: ProjectId,
        random: &mut StdRng,
    ) {
        for _ in 0..2 {
            let id = UserGroupId::from(Uuid::now_v7());
            sqlx::query!(
                "INSERT INTO user_group (id, project_id, name) VALUES ($1, $2, 'staff')",
                id.uuid(),
                project.uuid()
            )
            .execute(&mut *conn)
            .await
            .expect("inserts a user group");
            self.user_groups.push(id);
        }
        for enabled in [true, true, false] {
            self.add_user(conn, project, enabled, random).await;
        }
        for _ in 0..3 {
            self.add_key(conn, project, random).await;
        }
    }

    async fn add_user(
        &mut self,
        conn: &mut PgConnection,
        project: ProjectId,
        enabled: bool,
        random: &mut StdRng,
    ) {
        let id = fixture::user(conn, project, enabled).await.uuid();
        for group in some(&self.user_groups, random) {
            sqlx::query!(
                "INSERT INTO user_group_member (user_group_id, user_id) VALUES ($1, $2)",
                group.uuid(),
                id
            )
            .execute(&mut *conn)
            .await
            .expect("inserts a member");
            self.members.insert((group, id));
        }
        self.people.push(Person {
            id,
            principal: Principal::User { id: id.into() },
            enabled,
            expires_at: None,
            scopes: None,
        });
    }

    async fn add_key(&mut self, conn: &mut PgConnection, project: ProjectId, random: &mut StdRng) {
        let master = Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let keys = Keys::new(&master, None).expect("is a master key");
        let id = Uuid::now_v7();
        let new = ApiKeyCreate {
            name: "ci".to_owned(),
            project_id: None,
            scopes: random.random_bool(0.5).then(|| some(&ACTIONS, random)),
            expires_at: random.random_bool(0.3).then(|| random_time(random)),
        };
        let credential = generate(&keys, Kind::ApiKey);
        let key = api_key_insert(conn, project, id.into(), &new, &credential).await;
        key.expect("inserts a key");
        self.people.push(Person {
            id,
            principal: Principal::ApiKey { id: id.into() },
            enabled: true,
            expires_at: new.expires_at,
            scopes: new.scopes,
        });
    }

    fn random_grant(&self, random: &mut StdRng) -> GrantCreate {
        let groups = self.user_groups.iter();
        let groups = groups.map(|&id| Principal::UserGroup { id });
        let people = self.people.iter().map(|person| person.principal);
        let principals: Vec<_> = people.chain(groups).collect();
        let (role, actions) = self.random_set(random);
        GrantCreate {
            effect: if random.random_bool(0.3) {
                Effect::Deny
            } else {
                Effect::Allow
            },
            principal: *principals.choose(random).expect("there are some"),
            object: self.random_object(random),
            role,
            actions,
            conditions: random_conditions(random),
        }
    }

    fn random_object(&self, random: &mut StdRng) -> GrantObject {
        match random.random_range(0..20) {
            0 => GrantObject::Cluster,
            1..4 => GrantObject::Project {
                id: *self.projects.choose(random).expect("there are some"),
            },
            4..12 => GrantObject::CameraGroup {
                id: self.random_group(random).into(),
            },
            _ => GrantObject::Camera {
                id: self.cameras.choose(random).expect("there are some").id,
            },
        }
    }

    fn random_set(&self, random: &mut StdRng) -> (Option<RoleRef>, Option<Vec<Action>>) {
        let mut custom: Vec<_> = self.roles.keys().copied().collect();
        custom.sort_unstable();
        match random.random_range(0..4) {
            0 => {
                let role = BuiltInRole::ALL.choose(random).expect("there are some");
                (Some(RoleRef::BuiltIn(*role)), None)
            }
            1 => {
                let role = custom.choose(random).expect("there are some");
                (Some(RoleRef::Custom(*role)), None)
            }
            _ => (None, Some(some(&ACTIONS, random))),
        }
    }
}

/// One or more of them.
fn some<T: Copy>(all: &[T], random: &mut StdRng) -> Vec<T> {
    let chosen: Vec<_> = all
        .iter()
        .copied()
        .filter(|_| random.random_bool(0.4))
        .collect();
    if chosen.is_empty() {
        return vec![*all.choose(random).expect("there are some")];
    }
    chosen
}

fn random_time(random: &mut StdRng) -> DateTime<Utc> {
    let day: DateTime<Utc> = DAYS
        .choose(random)
        .and_then(|day| day.parse().ok())
        .expect("is a time");
    day + TimeDelta::seconds(random.random_range(0..36 * 3600))
}

fn random_conditions(random: &mut StdRng) -> GrantConditions {
    let dates = [random_time(random), random_time(random)];
    GrantConditions {
        schedule: random.random_bool(0.25).then(|| random_schedule(random)),
        networks: random.random_bool(0.2).then(|| {
            let some = some(&NETWORKS, random);
            let network = |text: &str| text.parse().expect("is a network");
            some.into_iter().map(network).collect()
        }),
        not_before: random.random_bool(0.1).then(|| dates[0].min(dates[1])),
        not_after: random
            .random_bool(0.1)
            .then(|| dates[0].max(dates[1]) + TimeDelta::seconds(1)),
    }
}

fn random_schedule(random: &mut StdRng) -> Schedule {
    let window = |random: &mut StdRng| {
        let from = random.random_range(0..1440);
        let mut to = random.random_range(0..=1440);
        if to == from {
            to = (from + 1) % 1440;
        }
        let time = |minutes: u32| {
            let text = format!("{:02}:{:02}", minutes / 60, minutes % 60);
            text.parse().expect("is a time")
        };
        WeeklyWindow {
            days: some(&Weekday::ALL, random),
            from: time(from),
            to: time(to),
        }
    };
    let zone = *ZONES.choose(random).expect("there are some");
    Schedule {
        zone: zone.to_owned(),
        windows: (0..random.random_range(1..3))
            .map(|_| window(random))
            .collect(),
    }
}
