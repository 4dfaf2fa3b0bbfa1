//! Rules, added up by the object that they are on.

use std::collections::BTreeMap;

use headworks_types::ProjectId;
use uuid::Uuid;

use super::{Actions, Object, Rule};

/// What is allowed and what is denied on one object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Right {
    allow: Actions,
    deny: Actions,
}

impl Right {
    fn and(self, below: Self) -> Self {
        Self {
            allow: self.allow | below.allow,
            deny: self.deny | below.deny,
        }
    }

    fn actions(self) -> Actions {
        self.allow.without(self.deny)
    }
}

/// What somebody may do where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights(BTreeMap<Object, Right>);

impl Rights {
    /// Adds up the rules, of which nothing outside `scopes` is allowed.
    pub(crate) fn new(rules: &[Rule], scopes: Actions) -> Self {
        let mut rights = Self::default();
        for rule in rules {
            let right = rights.0.entry(rule.object).or_default();
            if rule.allows {
                right.allow |= rule.actions.and(scopes);
            } else {
                right.deny |= rule.actions;
            }
        }
        rights
    }

    /// What may be done on the cluster.
    pub(crate) fn on_cluster(&self) -> Actions {
        self.on(Object::Cluster).actions()
    }

    /// What may be done on the project; not with everything in it, if something there is denied.
    pub(crate) fn on_project(&self, project: ProjectId) -> Actions {
        self.on_project_uuid(project.uuid()).actions()
    }

    /// What is allowed on some camera or group by a rule on it.
    pub(crate) fn on_some_camera(&self) -> Actions {
        let on_cameras = self
            .0
            .iter()
            .filter(|(object, _)| is_below_project(**object));
        on_cameras.fold(Actions::default(), |all, (_, right)| all | right.allow)
    }

    /// The projects that rules are on.
    pub(crate) fn projects(&self) -> impl Iterator<Item = Uuid> {
        self.0.keys().filter_map(|object| match object {
            Object::Project(id) => Some(*id),
            _ => None,
        })
    }

    /// True if something is denied on a project that is allowed on the cluster.
    pub(crate) fn spare_projects(&self) -> bool {
        let cluster = self.on_cluster();
        let spare = |(object, right): (&Object, &Right)| {
            matches!(object, Object::Project(_)) && right.deny.intersect(cluster)
        };
        self.0.iter().any(spare)
    }

    /// What is denied on anything.
    pub(crate) fn denied(&self) -> Actions {
        let all = self.0.values();
        all.fold(Actions::default(), |all, right| all | right.deny)
    }

    /// The same for SQL, for whom something of `mask` is to be allowed.
    pub(crate) fn sight(&self, mask: Actions) -> Sight {
        let mut sight = Sight {
            mask: mask.bits(),
            everywhere: self.on_cluster().intersect(mask),
            ..Sight::default()
        };
        for (object, right) in &self.0 {
            sight.objects.push(object.uuid());
            sight.allow.push(right.allow.bits());
            sight.deny.push(right.deny.bits());
            match *object {
                Object::Cluster => {}
                Object::Project(id) => {
                    let seen = self.on_project_uuid(id).actions().intersect(mask);
                    match (sight.everywhere, seen) {
                        (true, false) => sight.hidden.push(id),
                        (false, true) => sight.projects.push(id),
                        _ => {}
                    }
                }
                Object::Group(id) => {
                    sight.groups.push(id);
                    sight.group_allow.push(right.allow.bits());
                    sight.group_deny.push(right.deny.bits());
                    if right.allow.intersect(mask) {
                        sight.allowed_groups.push(id);
                    }
                    sight.denies_groups |= right.deny.intersect(mask);
                }
                Object::Camera(id) => {
                    sight.cameras.push(id);
                    if !mask.without(right.deny).is_empty() {
                        sight.doubtful.push(id);
                    }
                }
            }
        }
        sight
    }

    fn on(&self, object: Object) -> Right {
        self.0.get(&object).copied().unwrap_or_default()
    }

    fn on_project_uuid(&self, id: Uuid) -> Right {
        self.on(Object::Cluster).and(self.on(Object::Project(id)))
    }
}

fn is_below_project(object: Object) -> bool {
    matches!(object, Object::Group(_) | Object::Camera(_))
}

/// Which cameras somebody may see, for SQL: rights by object, and what follows from them without a
/// look at the cameras. Only [`Rights`] make one, and the queries of cameras ask for one: that is
/// how none forgets whom it works for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sight {
    /// What rights are on, each once; the cluster is the nil id.
    objects: Vec<Uuid>,
    /// What is allowed on each, as bits.
    allow: Vec<i32>,
    /// What is denied on each.
    deny: Vec<i32>,
    /// One of these must be allowed.
    mask: i32,
    /// True if that is so on the cluster.
    everywhere: bool,
    /// If everywhere: but not on these projects.
    hidden: Vec<Uuid>,
    /// If not: on these projects.
    projects: Vec<Uuid>,
    /// The groups among the objects, with what is allowed and denied on each.
    groups: Vec<Uuid>,
    group_allow: Vec<i32>,
    group_deny: Vec<i32>,
    /// Those of the groups on which something is allowed.
    allowed_groups: Vec<Uuid>,
    /// True if something is denied on a group.
    denies_groups: bool,
    /// The cameras among them.
    cameras: Vec<Uuid>,
    /// Those of the cameras that are not denied already.
    doubtful: Vec<Uuid>,
}

impl Sight {
    /// For tests of the queries that ask for one: everything in the project.
    #[cfg(test)]
    pub(crate) fn only(project: ProjectId) -> Self {
        let rule = Rule {
            id: Uuid::nil().into(),
            allows: true,
            object: Object::Project(project.uuid()),
            actions: Actions::ALL,
        };
        Rights::new(&[rule], Actions::ALL).sight(Actions::ALL)
    }

    /// True if it shows no whole project.
    pub(crate) fn is_blind(&self) -> bool {
        !self.everywhere && self.projects.is_empty()
    }

    pub(crate) fn objects(&self) -> &[Uuid] {
        &self.objects
    }

    pub(crate) fn allow(&self) -> &[i32] {
        &self.allow
    }

    pub(crate) fn deny(&self) -> &[i32] {
        &self.deny
    }

    pub(crate) fn mask(&self) -> i32 {
        self.mask
    }

    pub(crate) fn everywhere(&self) -> bool {
        self.everywhere
    }

    pub(crate) fn hidden(&self) -> &[Uuid] {
        &self.hidden
    }

    pub(crate) fn projects(&self) -> &[Uuid] {
        &self.projects
    }

    pub(crate) fn groups(&self) -> &[Uuid] {
        &self.groups
    }

    /// The groups to go down from: all, unless it is quicker to look at
    /// [`Sight::allowed_groups`] only.
    pub(crate) fn roots(&self) -> &[Uuid] {
        if self.is_lean() { &[] } else { &self.groups }
    }

    /// The groups that can show cameras, if no other can, and some of them may be denied.
    pub(crate) fn allowed_groups(&self) -> &[Uuid] {
        if self.is_lean() {
            &self.allowed_groups
        } else {
            &[]
        }
    }

    fn is_lean(&self) -> bool {
        self.is_blind() && self.denies_groups
    }

    pub(crate) fn group_allow(&self) -> &[i32] {
        &self.group_allow
    }

    pub(crate) fn group_deny(&self) -> &[i32] {
        &self.group_deny
    }

    pub(crate) fn cameras(&self) -> &[Uuid] {
        &self.cameras
    }

    pub(crate) fn doubtful(&self) -> &[Uuid] {
        &self.doubtful
    }
}
