//! Cameras that are not worked on here: the directory knows whose they are.

use headworks_types::{
    CameraGroupId, NodeId,
    edge::{DirectoryUpdate, ViewPolicy},
};

use super::*;
use crate::{directory::Directory, testing::route_to};

fn group() -> CameraGroupId {
    Uuid::from_u128(77).into()
}

impl World {
    fn learn(&self, view: ViewPolicy) {
        let directory = Directory::default();
        let mut route = route_to(self.camera, NodeId::from(Uuid::from_u128(5)));
        route.view = view;
        directory.update(DirectoryUpdate {
            routes: vec![route],
            ..DirectoryUpdate::default()
        });
        self.access.set_directory(directory);
    }

    /// A token for all cameras of the group.
    fn group_token(&self) -> String {
        let mut claims = claims(self.camera, self.clock.now());
        (claims.cams, claims.grps) = (Vec::new(), vec![group()]);
        self.issuer.sign(&self.issuer.header(), &claims)
    }
}

fn in_group() -> ViewPolicy {
    ViewPolicy {
        groups: vec![group()],
        ..ViewPolicy::default()
    }
}

#[test]
fn a_camera_of_another_edge_is_judged_by_its_route() {
    let world = World::new();
    let token = world.group_token();
    let denied = world.open(&token).err();
    assert_eq!(denied, Some(Denied::OtherCamera), "nobody knows its group");
    world.learn(in_group());
    let session = world.open(&token).expect("is let in");
    let project = Uuid::from_u128(9).into();
    assert_eq!(session.project(), Some(project));
    world.learn(ViewPolicy {
        max_viewers: Some(1),
        ..in_group()
    });
    let other = world.issuer.token(world.camera, world.clock.now());
    assert_eq!(world.open(&other).err(), Some(Denied::CameraFull));
}

#[test]
fn a_sensitive_camera_is_sensitive_everywhere() {
    let world = World::new();
    world.learn(ViewPolicy {
        sensitive: true,
        ..in_group()
    });
    let session = world.open(&world.group_token()).expect("is let in");
    world.clock.advance(Duration::from_secs(601));
    world.access.review();
    assert_eq!(session.why_over(), Some(Over::Stale));
}

#[test]
fn what_came_with_the_work_goes_before_the_route() {
    let world = World::new();
    world.learn(in_group());
    let view = CameraView {
        project: Uuid::from_u128(8).into(),
        policy: ViewPolicy::default(),
    };
    world.access.set_cameras([(world.camera, view)].into());
    let denied = world.open(&world.group_token()).err();
    assert_eq!(denied, Some(Denied::OtherCamera));
    world.access.set_cameras(Cameras::new());
    assert!(world.open(&world.group_token()).is_ok());
}
