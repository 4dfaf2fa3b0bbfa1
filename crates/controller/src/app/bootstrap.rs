//! What an empty database gets: the first project, the first key that may do everything, and the
//! first signing key. Once, however many replicas start at the same time.

use anyhow::Context;
use chrono::{DateTime, Utc};
use headworks_types::{
    ApiKeyCreate, ApiKeyId, BuiltInRole, Effect, EventKind, GrantConditions, GrantCreate,
    GrantObject, JoinTokenId, Principal, ProjectId, RoleRef, Secret, SigningKeyState,
};
use sqlx::PgConnection;

use crate::{
    app::{Reach, signing_key::create},
    credential::{Kind, generate},
    database::Pool,
    db::{
        api_key::api_key_insert,
        cluster_ca::{cluster_ca_get, cluster_ca_insert},
        cluster_secret::{cluster_secret_get, cluster_secret_insert},
        event::{NewEvent, event_insert, event_insert_many},
        grant::grant_insert,
        join_token::join_token_insert,
        project::{project_exists, project_insert, project_list},
        schema::schema_lock,
    },
    keys::{DigestKey, Keys, Row, new_digest_key},
    pki::Authority,
    state::State,
};

/// Lets the keys digest credentials as the cluster always has. Fails if no master key of ours opens
/// what the cluster keeps for that.
pub(crate) async fn open_keys(pool: &Pool, keys: Keys) -> anyhow::Result<Keys> {
    const NAME: &str = "credential digest";
    let mut tx = pool.begin().await?;
    schema_lock(&mut tx).await?;
    let row = Row::new("cluster_secret", "sealed", NAME);
    let key = match cluster_secret_get(&mut tx, NAME).await? {
        Some(sealed) => keys.unseal(&row, &sealed).context(
            "the master key does not fit this database: what digests its credentials cannot be \
             opened",
        )?,
        None => {
            let key = new_digest_key();
            cluster_secret_insert(&mut tx, NAME, &keys.seal(&row, &key)).await?;
            key.to_vec()
        }
    };
    tx.commit().await?;
    let key: DigestKey = key.as_slice().try_into().context("not a digest key")?;
    Ok(keys.with_digest(&key))
}

/// The cluster's authority; made at the first start.
pub(crate) async fn open_authority(
    pool: &Pool,
    keys: &Keys,
    now: DateTime<Utc>,
) -> anyhow::Result<Authority> {
    let row = Row::new("cluster_ca", "private", "true");
    let mut tx = pool.begin().await?;
    schema_lock(&mut tx).await?;
    if let Some(stored) = cluster_ca_get(&mut tx).await? {
        let key = keys.unseal(&row, &stored.private);
        let key = key.context("open the key of the cluster's authority")?;
        return Authority::open(stored.certificate, key);
    }
    let new = Authority::create(now)?;
    let sealed = keys.seal(&row, &new.key);
    cluster_ca_insert(&mut tx, &new.certificate, &sealed).await?;
    tx.commit().await?;
    Authority::open(new.certificate, new.key)
}

/// Sets up an empty database and returns the admin key; does nothing to any other.
pub(crate) async fn set_up(state: &State) -> anyhow::Result<Option<Secret>> {
    let mut tx = state.pool.begin().await?;
    schema_lock(&mut tx).await?;
    if project_exists(&mut tx).await? {
        return Ok(None);
    }
    let project = project_insert(&mut tx, state.ids.next(), "default").await?;
    create(&mut tx, &state.keys, SigningKeyState::Active).await?;
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
        1,
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
    Ok(state.authority.pinned(&token.secret))
}
