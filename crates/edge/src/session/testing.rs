//! For tests: viewers.

use headworks_bootstrap::Clock;
use headworks_types::{CameraId, ViewProtocol};
use uuid::Uuid;

use super::{About, Client, Session, Sessions};
use crate::audit::Audit;

/// Somebody on this machine.
pub(crate) fn client(protocol: ViewProtocol) -> Client {
    Client {
        protocol,
        address: [127, 0, 0, 1].into(),
        origin: None,
    }
}

/// What a token said.
pub(crate) fn about(number: u128, camera: CameraId) -> About {
    About {
        id: Uuid::from_u128(number).into(),
        camera,
        subject: "usr_1".to_owned(),
        issuer: None,
        viewer: None,
        sound: true,
        token: Some("t".to_owned()),
        key: "k".to_owned(),
        max: None,
        place: [127, 0, 0, 1].into(),
        network: None,
        origin: None,
        issued: 0,
        until: i64::from(u32::MAX),
    }
}

/// One viewer, alone on a list.
pub(crate) fn session(number: u128, camera: CameraId, protocol: ViewProtocol) -> Session {
    enter(about(number, camera), protocol)
}

/// The same, without the right to hear.
pub(crate) fn silent_session(number: u128, camera: CameraId, protocol: ViewProtocol) -> Session {
    let about = About {
        sound: false,
        ..about(number, camera)
    };
    enter(about, protocol)
}

fn enter(about: About, protocol: ViewProtocol) -> Session {
    let audit = Audit::new(Clock::system()).0;
    let sessions = Sessions::new(1, audit, Clock::system());
    let entered = sessions.enter(about, &client(protocol), None, None);
    entered.expect("there is room")
}
