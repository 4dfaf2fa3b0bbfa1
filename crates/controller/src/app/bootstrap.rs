//! What an empty database gets: the first project, the first key that may do everything, and the
//! first signing key. Once, however many replicas start at the same time.

use anyhow::Context;
use headworks_types::{
    ApiKeyCreate, ApiKeyId, BuiltInRole, Effect, EventKind, GrantConditions, GrantCreate,
    GrantObject, JoinTokenId, Principal, ProjectId, RoleRef, Secret,
};
use sqlx::PgConnection;

use crate::{
    app::{
        Reach,
        signing_key::{check_master_key, create_first},
    },
    credential::{Kind, generate},
    db::{
        api_key::api_key_insert,
        event::{NewEvent, event_insert, event_insert_many},
        grant::grant_insert,
        join_token::join_token_insert,
        project::{project_exists, project_insert, project_list},
        schema::schema_lock,
    },
    state::State,
};

/// Sets up an empty database and returns the admin key; does nothing to any other. Fails if the
/// master key is not the one of this database.
pub(crate) async fn set_up(state: &State) -> anyhow::Result<Option<Secret>> {
    let mut tx = state.pool.begin().await?;
    schema_lock(&mut tx).await?;
    check_master_key(&mut tx, &state.keys)
        .await?
        .map_err(anyhow::Error::from)
        .context("the master key does not fit this database: its signing key cannot be opened")?;
    if project_exists(&mut tx).await? {
        return Ok(None);
    }
    let project = project_insert(&mut tx, state.ids.next(), "default").await?;
    create_first(&mut tx, &state.keys).await?;
    let created = NewEvent {
        project_id: Some(project.id),
        kind: EventKind::ProjectCreated,
        subject: project.id.to_string(),
        actor: "bootstrap",
        message: "project `default` was created".to_owned(),
    };
    event_insert(&mut tx, created).await?;
    let (key, secret) = insert_admin_key(state, &mut tx, project.id).await?;
    tx.commit().await?;
    tracing::info!(project.id = %project.id, api_key.id = %key, "database set up");
    Ok(Some(secret))
}

/// One more key that may do everything, for whoever has lost the others. Those go on working until
/// they are revoked.
pub(crate) async fn admin_key(state: &State) -> anyhow::Result<Secret> {
    let mut tx = state.pool.begin().await?;
    let oldest = project_list(&mut tx, &Reach::everywhere(), None, 1)
        .await?
        .pop();
    let project = oldest.context("there is no project")?.id;
    let (key, secret) = insert_admin_key(state, &mut tx, project).await?;
    tx.commit().await?;
    tracing::warn!(api_key.id = %key, "a new admin key was made, as this start was asked to");
    Ok(secret)
}

async fn insert_admin_key(
    state: &State,
    conn: &mut PgConnection,
    project: ProjectId,
) -> sqlx::Result<(ApiKeyId, Secret)> {
    let credential = generate(&state.keys, Kind::ApiKey);
    let id = state.ids.next();
    let key = ApiKeyCreate {
        name: "admin".to_owned(),
        project_id: None,
        scopes: None,
        expires_at: None,
    };
    let key = api_key_insert(conn, project, id, &key, &credential).await?;
    let everything = GrantCreate {
        effect: Effect::Allow,
        principal: Principal::ApiKey { id: key.id },
        object: GrantObject::Cluster,
        role: Some(RoleRef::BuiltIn(BuiltInRole::Admin)),
        actions: None,
        conditions: GrantConditions::default(),
    };
    let grant = grant_insert(conn, state.ids.next(), project, &everything).await?;
    let event = |kind, subject: String, message: &str| NewEvent {
        project_id: Some(project),
        kind,
        subject,
        actor: "bootstrap",
        message: message.to_owned(),
    };
    let events = vec![
        event(
            EventKind::ApiKeyCreated,
            key.id.to_string(),
            "API key `admin` was created",
        ),
        event(
            EventKind::GrantCreated,
            grant.id.to_string(),
            "the key `admin` may do everything on the cluster",
        ),
    ];
    event_insert_many(conn, events).await?;
    Ok((key.id, credential.secret))
}

/// How long the join token for an edge of the same process works.
const JOIN_SECONDS: u32 = 300;

/// A join token for an edge that the same process starts next.
pub(crate) async fn join_token(state: &State) -> anyhow::Result<Secret> {
    let mut tx = state.pool.begin().await?;
    let id: JoinTokenId = state.ids.next();
    let token = generate(&state.keys, Kind::JoinToken);
    let (lookup, digest) = (&token.lookup, &token.digest);
    join_token_insert(
        &mut tx,
        id,
        "headworks up",
        lookup,
        digest,
        JOIN_SECONDS.into(),
    )
    .await?;
    let event = NewEvent {
        project_id: None,
        kind: EventKind::JoinTokenCreated,
        subject: id.to_string(),
        actor: "bootstrap",
        message: format!("join token `headworks up` was created; it works for {JOIN_SECONDS} s"),
    };
    event_insert(&mut tx, event).await?;
    tx.commit().await?;
    Ok(token.secret)
}
