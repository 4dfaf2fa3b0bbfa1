//! No query shows or changes anything of another project than the ones it is given.

use std::time::Duration;

use headworks_types::{
    Action, ApiKeyCreate, ApiKeyId, CameraId, Event, EventKind, GrantCreate, GrantId, GrantObject,
    Labels, OnConflict, Principal, ProjectId, RestreamId, Secret, StreamKeyBounds, StreamKeyId,
    UserGroupId, UserId,
};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    api_key::{api_key_get, api_key_insert, api_key_list, api_key_revoke},
    camera::{
        CameraFilter, camera_delete, camera_find, camera_get, camera_list, camera_list_access,
        camera_list_access_of_subject, camera_lock, camera_update,
    },
    event::{NewEvent, event_exists, event_insert, event_list},
    fixture,
    grant::{GrantFilter, grant_delete, grant_get, grant_insert, grant_list},
    project::{project_get, project_list},
    restream::{
        RestreamFilter, restream_delete, restream_enable, restream_find, restream_full,
        restream_get_many, restream_get_stored, restream_list, restream_restart,
    },
    stream_key::{
        NewStreamKey, stream_key_expire, stream_key_get, stream_key_insert, stream_key_list,
        stream_key_lock, stream_key_revoke, stream_key_update,
    },
    user::{
        NewUser, UserFilter, user_delete, user_get, user_insert, user_list, user_lock,
        user_set_password, user_update,
    },
    user_group::{
        UserGroupFilter, user_group_delete, user_group_get, user_group_insert, user_group_list,
        user_group_list_of, user_group_lock, user_group_member_delete, user_group_member_list,
        user_group_member_put, user_group_update,
    },
};
use crate::{
    app::{Reach, Sight},
    credential::{Kind, generate},
    keys::Keys,
};

const SUSPECT: Duration = Duration::from_secs(6);

/// A project with one of everything.
struct Tenant {
    project: ProjectId,
    user: UserId,
    group: UserGroupId,
    key: ApiKeyId,
    grant: GrantId,
    camera: CameraId,
    stream_key: StreamKeyId,
    restream: RestreamId,
    event: i64,
}

async fn tenant(conn: &mut PgConnection) -> sqlx::Result<Tenant> {
    let keys = Keys::new(
        &Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        None,
    )
    .expect("is a master key");
    let project = fixture::project(conn).await;
    let camera = fixture::camera(conn, project).await;
    let ann = NewUser {
        name: "Ann",
        ..NewUser::default()
    };
    let user = user_insert(conn, project, Uuid::now_v7().into(), &ann).await?;
    let (group, none) = (Uuid::now_v7().into(), Labels::default());
    let group = user_group_insert(conn, project, group, "night", None, &none).await?;
    user_group_member_put(conn, project, group.id, user.id).await?;
    let credential = generate(&keys, Kind::ApiKey);
    let key = Uuid::now_v7().into();
    let new = ApiKeyCreate {
        name: "ci".to_owned(),
        project_id: None,
        scopes: None,
        expires_at: None,
    };
    let key = api_key_insert(conn, project, key, &new, &credential).await?;
    let new = GrantCreate::allow(
        Principal::User { id: user.id },
        GrantObject::Camera { id: camera },
        vec![Action::CameraManage],
    );
    let grant = grant_insert(conn, Uuid::now_v7().into(), project, &new).await?;
    let credential = generate(&keys, Kind::StreamKey);
    let new = NewStreamKey {
        id: Uuid::now_v7().into(),
        camera,
        name: "obs",
        expires_at: None,
        on_conflict: OnConflict::Reject,
        bounds: &StreamKeyBounds::default(),
        credential: &credential,
    };
    let stream_key = stream_key_insert(conn, project, new).await?;
    let (restream, _) = fixture::restream(conn, project, camera, "cloud").await;
    let event = NewEvent {
        project_id: Some(project),
        kind: EventKind::CameraCreated,
        subject: camera.to_string(),
        actor: "test",
        message: "made".to_owned(),
    };
    event_insert(conn, event).await?;
    let event = sqlx::query_scalar!(r#"SELECT max(id) AS "id!" FROM event"#)
        .fetch_one(conn)
        .await?;
    Ok(Tenant {
        project,
        user: user.id,
        group: group.id,
        key: key.id,
        grant: grant.id,
        camera,
        stream_key: stream_key.id,
        restream,
        event,
    })
}

fn sight(tenant: &Tenant) -> Sight {
    Sight::only(tenant.project)
}

/// How many of six single things of `of` a query finds that is given `reach`.
async fn found(conn: &mut PgConnection, reach: &Reach, of: &Tenant) -> sqlx::Result<usize> {
    let user = user_get(conn, reach, of.user).await?.is_some();
    let group = user_group_get(conn, reach, of.group).await?.is_some();
    let key = api_key_get(conn, reach, of.key).await?.is_some();
    let grant = grant_get(conn, reach, of.grant).await?.is_some();
    let project = project_get(conn, reach, of.project).await?.is_some();
    let event = event_exists(conn, reach, of.event).await?;
    Ok([user, group, key, grant, project, event]
        .iter()
        .filter(|&&found| found)
        .count())
}

/// The events, as soon as there are any: the transactions of other tests hold them back.
async fn complete_events(conn: &mut PgConnection, reach: &Reach) -> sqlx::Result<Vec<Event>> {
    let look = async {
        loop {
            let events = event_list(conn, reach, None, 10).await?;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    };
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, look)
        .await
        .expect("events come")
}

#[sqlx::test(migrations = "../../migrations")]
async fn reads_stay_within_their_projects(pool: PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    let conn = &mut *conn;
    let (a, b) = (tenant(conn).await?, tenant(conn).await?);
    let (reach, none) = (Reach::of(a.project), Labels::default());
    assert_eq!(found(conn, &reach, &a).await?, 6);
    assert_eq!(found(conn, &reach, &b).await?, 0);

    let users = user_list(conn, &reach, &UserFilter::default(), None, 10).await?;
    assert_eq!(
        users.iter().map(|user| user.id).collect::<Vec<_>>(),
        [a.user]
    );
    let filter = UserGroupFilter::default();
    let groups = user_group_list(conn, &reach, &filter, None, 10).await?;
    let ids: Vec<_> = groups.iter().map(|group| group.id).collect();
    assert_eq!(ids, [a.group]);
    let groups = user_group_list_of(conn, &reach, b.user, None, 10).await?;
    assert!(groups.is_empty());
    let members = user_group_member_list(conn, a.project, b.group, None, 10).await?;
    assert!(members.is_empty());
    let keys = api_key_list(conn, &reach, None, 10).await?;
    assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [a.key]);
    let projects = project_list(conn, &reach, None, 10).await?;
    assert_eq!(
        projects.iter().map(|p| p.id).collect::<Vec<_>>(),
        [a.project]
    );
    let filter = GrantFilter {
        camera_id: Some(b.camera),
        ..GrantFilter::default()
    };
    assert!(
        grant_list(conn, &reach, &filter, None, 10)
            .await?
            .is_empty()
    );
    let grants = grant_list(conn, &reach, &GrantFilter::default(), None, 10).await?;
    assert_eq!(
        grants.iter().map(|grant| grant.id).collect::<Vec<_>>(),
        [a.grant]
    );
    let events = complete_events(conn, &reach).await?;
    assert_eq!(
        events
            .iter()
            .map(|event: &Event| event.id)
            .collect::<Vec<_>>(),
        [a.event]
    );

    let sight = sight(&a);
    let filter = CameraFilter {
        labels: none,
        external_id: None,
        group: None,
    };
    let cameras = camera_list(conn, &sight, SUSPECT, &filter, None, 10).await?;
    assert_eq!(cameras.iter().map(|c| c.id).collect::<Vec<_>>(), [a.camera]);
    assert!(camera_get(conn, &sight, SUSPECT, a.camera).await?.is_some());
    assert!(camera_get(conn, &sight, SUSPECT, b.camera).await?.is_none());
    let both = [a.camera, b.camera];
    let access = camera_list_access(conn, &sight, &both).await?;
    assert_eq!(access.iter().map(|c| c.id).collect::<Vec<_>>(), [a.camera]);
    let access = camera_list_access_of_subject(conn, a.project, &sight, &both).await?;
    assert_eq!(access.iter().map(|c| c.id).collect::<Vec<_>>(), [a.camera]);
    let both_restreams = [a.restream, b.restream];
    let filter = RestreamFilter::default();
    let restreams = restream_list(conn, &sight, SUSPECT, &filter, None, 10).await?;
    let ids: Vec<_> = restreams.iter().map(|restream| restream.id).collect();
    assert_eq!(ids, [a.restream]);
    let restreams = restream_get_many(conn, a.project, SUSPECT, &both_restreams).await?;
    let ids: Vec<_> = restreams.iter().map(|restream| restream.thing.id).collect();
    assert_eq!(ids, [a.restream]);
    let stored = restream_get_stored(conn, a.project, SUSPECT, b.restream).await?;
    assert!(stored.is_none());
    let named = restream_find(conn, a.project, &both, "cloud").await?;
    assert_eq!(named.into_keys().collect::<Vec<_>>(), [a.camera]);
    let full = restream_full(conn, a.project, &both, 1).await?;
    assert_eq!(full.into_iter().collect::<Vec<_>>(), [a.camera]);
    let cameras = camera_find(conn, a.project, &both, &[]).await?;
    assert_eq!(cameras.iter().map(|c| c.id).collect::<Vec<_>>(), [a.camera]);
    let keys = stream_key_list(conn, a.project, b.camera, None, 10).await?;
    assert!(keys.is_empty());
    assert!(
        stream_key_lock(conn, a.project, b.stream_key)
            .await?
            .is_none()
    );
    assert!(
        stream_key_get(conn, a.project, b.stream_key)
            .await?
            .is_none()
    );
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn writes_stay_within_their_project(pool: PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    let conn = &mut *conn;
    let (a, b) = (tenant(conn).await?, tenant(conn).await?);
    let missing = |result: sqlx::Result<()>| matches!(result, Err(sqlx::Error::RowNotFound));

    assert!(missing(user_delete(conn, a.project, b.user).await));
    assert!(missing(
        user_set_password(conn, a.project, b.user, Some("x")).await
    ));
    assert!(missing(user_group_delete(conn, a.project, b.group).await));
    assert!(missing(
        user_group_member_delete(conn, a.project, b.group, b.user).await
    ));
    for (project, group, user) in [
        (a.project, b.group, b.user),
        (a.project, a.group, b.user),
        (a.project, b.group, a.user),
    ] {
        let put = user_group_member_put(conn, project, group, user).await?;
        assert!(put.is_none());
    }
    assert!(missing(camera_delete(conn, a.project, b.camera).await));
    assert!(missing(grant_delete(conn, a.project, b.grant).await));
    assert!(missing(
        api_key_revoke(conn, a.project, b.key).await.map(drop)
    ));
    assert!(missing(
        stream_key_revoke(conn, a.project, b.stream_key)
            .await
            .map(drop)
    ));
    let mut key = stream_key_get(conn, b.project, b.stream_key).await?;
    let key = &mut key.as_mut().expect("is there").thing;
    key.name = "mine".to_owned();
    assert!(missing(
        stream_key_update(conn, a.project, key).await.map(drop)
    ));
    assert!(missing(
        stream_key_expire(conn, a.project, b.stream_key, 0).await
    ));
    assert!(missing(
        restream_enable(conn, a.project, b.restream, false).await
    ));
    assert!(missing(restream_restart(conn, a.project, b.restream).await));
    assert!(missing(restream_delete(conn, a.project, b.restream).await));

    // As if somebody had mixed up the projects of two things.
    let reach = Reach::of(b.project);
    let mut user = user_get(conn, &reach, b.user)
        .await?
        .expect("is there")
        .thing;
    user.project_id = a.project;
    assert!(missing(user_update(conn, &user).await.map(drop)));
    let group = user_group_get(conn, &reach, b.group).await?;
    let mut group = group.expect("is there").thing;
    group.project_id = a.project;
    assert!(missing(user_group_update(conn, &group).await.map(drop)));
    let camera = camera_get(conn, &sight(&b), SUSPECT, b.camera).await?;
    let mut camera = camera.expect("is there").thing;
    camera.project_id = a.project;
    assert!(missing(camera_update(conn, &camera, None).await));

    assert_eq!(found(conn, &reach, &b).await?, 6, "all is as it was");
    let keys = stream_key_list(conn, b.project, b.camera, None, 10).await?;
    assert_eq!((keys[0].expires_at, keys[0].revoked_at), (None, None));
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn locks_stay_within_their_project(pool: PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    let (a, b) = (tenant(&mut conn).await?, tenant(&mut conn).await?);
    let mut tx = pool.begin().await?;
    for camera in [a.camera, b.camera] {
        camera_lock(&mut tx, &sight(&a), camera).await?;
    }
    for user in [a.user, b.user] {
        user_lock(&mut tx, &Reach::of(a.project), user).await?;
    }
    for group in [a.group, b.group] {
        user_group_lock(&mut tx, &Reach::of(a.project), group).await?;
    }
    let free = sqlx::query_scalar!("SELECT id FROM user_group FOR UPDATE SKIP LOCKED");
    assert_eq!(free.fetch_all(&mut *conn).await?, [b.group.uuid()]);
    let free = sqlx::query_scalar!("SELECT id FROM camera FOR UPDATE SKIP LOCKED");
    assert_eq!(free.fetch_all(&mut *conn).await?, [b.camera.uuid()]);
    let free = sqlx::query_scalar!(r#"SELECT id FROM "user" FOR UPDATE SKIP LOCKED"#);
    assert_eq!(free.fetch_all(&mut *conn).await?, [b.user.uuid()]);
    tx.rollback().await
}
