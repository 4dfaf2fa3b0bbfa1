//! Takes rights back that are already in somebody's hands: in tokens and in running sessions.
//!
//! Called in the transaction that takes the right away. Edges are told as soon as it commits.

use headworks_types::{
    ApiKeyId, CameraId, PlaybackKeyId, Principal, RoleId, SessionId, UserId, edge::RevocationKind,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::{
    revocation::{NewRevocation, revocation_insert, user_group_members},
    sign_in::sign_in_end_all,
    subject::{subject_list_of_camera_groups, subject_list_of_role},
};

/// Nobody watches any more with a token for this user or of this key.
pub(crate) async fn end_subject(conn: &mut PgConnection, subject: Subject) -> sqlx::Result<()> {
    revoke(conn, RevocationKind::Subject, &subject.0, true).await
}

/// All that the user is signed in to ends, and all that it watches: somebody may have come to know
/// its password, or sits at a device that it left.
pub(crate) async fn end_person(conn: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sign_in_end_all(conn, user, 0).await?;
    end_subject(conn, user.into()).await
}

/// Tokens for this user or of this key, issued until now, open nothing any more. What watches goes
/// on, as far as `reconcile::session` finds that it may.
pub(crate) async fn narrow_subject(conn: &mut PgConnection, subject: Subject) -> sqlx::Result<()> {
    revoke(conn, RevocationKind::Subject, &subject.0, false).await
}

/// The same for whoever a grant is for: of a group, all its members.
pub(crate) async fn narrow_principal(
    conn: &mut PgConnection,
    principal: Principal,
) -> sqlx::Result<()> {
    match principal {
        Principal::User { id } => narrow_subject(conn, id.into()).await,
        Principal::ApiKey { id } => narrow_subject(conn, id.into()).await,
        Principal::UserGroup { id } => {
            let members = user_group_members(conn, id).await?;
            let names: Vec<_> = members.iter().map(UserId::to_string).collect();
            narrow_subjects(conn, &names).await
        }
    }
}

/// The same for everybody who has the role.
pub(crate) async fn narrow_role(conn: &mut PgConnection, role: RoleId) -> sqlx::Result<()> {
    let subjects = subject_list_of_role(conn, role).await?;
    narrow_subjects(conn, &subjects).await
}

/// The same for everybody who is granted something on a camera group that a camera, or a group with
/// all below it, was moved out of or into. Each place is given by the groups above.
pub(crate) async fn narrow_move(
    conn: &mut PgConnection,
    before: &[Uuid],
    after: &[Uuid],
) -> sqlx::Result<()> {
    let left = before.iter().filter(|id| !after.contains(id));
    let entered = after.iter().filter(|id| !before.contains(id));
    let groups: Vec<_> = left.chain(entered).copied().collect();
    let subjects = subject_list_of_camera_groups(conn, &groups).await?;
    narrow_subjects(conn, &subjects).await
}

/// As [`narrow_subject`], of many.
pub(crate) async fn narrow_subjects(
    conn: &mut PgConnection,
    subjects: &[String],
) -> sqlx::Result<()> {
    let new = subjects.iter().map(|subject| NewRevocation {
        kind: RevocationKind::Subject,
        value: subject,
        project: None,
        ends_sessions: false,
    });
    revocation_insert(conn, &new.collect::<Vec<_>>()).await
}

/// Tokens that a customer's key has signed count no more.
pub(crate) async fn end_playback_key(
    conn: &mut PgConnection,
    key: PlaybackKeyId,
) -> sqlx::Result<()> {
    revoke(conn, RevocationKind::Key, &key.to_string(), true).await
}

/// One of our own keys has become known: who watches with its tokens may be anybody.
pub(crate) async fn end_signing_key(conn: &mut PgConnection, kid: &str) -> sqlx::Result<()> {
    revoke(conn, RevocationKind::Key, kid, true).await
}

/// The camera is gone.
pub(crate) async fn end_camera(conn: &mut PgConnection, camera: CameraId) -> sqlx::Result<()> {
    revoke(conn, RevocationKind::Camera, &camera.to_string(), true).await
}

/// One viewer watches no more.
pub(crate) async fn end_session(conn: &mut PgConnection, session: SessionId) -> sqlx::Result<()> {
    revoke(conn, RevocationKind::Session, &session.to_string(), true).await
}

/// Whoever tokens are issued for.
pub(crate) struct Subject(String);

impl From<UserId> for Subject {
    fn from(id: UserId) -> Self {
        Self(id.to_string())
    }
}

impl From<ApiKeyId> for Subject {
    fn from(id: ApiKeyId) -> Self {
        Self(id.to_string())
    }
}

async fn revoke(
    conn: &mut PgConnection,
    kind: RevocationKind,
    value: &str,
    ends_sessions: bool,
) -> sqlx::Result<()> {
    let new = NewRevocation {
        kind,
        value,
        project: None,
        ends_sessions,
    };
    revocation_insert(conn, &[new]).await
}
