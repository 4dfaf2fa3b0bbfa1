//! Restreams: rows of `restream`. Whoever writes one holds the lock of its camera (`camera_lock`).

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use headworks_types::{
    CameraId, Labels, NodeId, ProjectId, Restream, RestreamAudio, RestreamId, RestreamSigning,
    RestreamStatus, RestreamVideo, Transport,
    edge::{Role, SlotKey},
};
use serde_json::Value;
use sqlx::PgConnection;
use url::Url;
use uuid::Uuid;

use super::{
    ensure_one_row, from_json,
    slot::{restream_slot, restream_status_list},
    to_json,
};
use crate::app::{Sight, Versioned};

struct Row {
    id: Uuid,
    camera_id: Uuid,
    project_id: Uuid,
    name: String,
    external_id: Option<String>,
    labels: Value,
    url: String,
    transport: String,
    tls_verify: bool,
    signing: Value,
    has_credentials: bool,
    has_stream_key: bool,
    video: Value,
    audio: String,
    enabled: bool,
    generation: i64,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(crate) struct RestreamFilter {
    pub(crate) camera: Option<CameraId>,
    pub(crate) labels: Labels,
    pub(crate) external_id: Option<String>,
}

/// What is written of a restream.
#[derive(Debug)]
pub(crate) struct RestreamRow {
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) url: Url,
    pub(crate) transport: Transport,
    pub(crate) tls_verify: bool,
    /// Without its secrets.
    pub(crate) signing: RestreamSigning,
    /// All secrets, sealed.
    pub(crate) secrets: Option<Vec<u8>>,
    pub(crate) has_credentials: bool,
    pub(crate) has_stream_key: bool,
    pub(crate) video: RestreamVideo,
    pub(crate) audio: RestreamAudio,
    pub(crate) enabled: bool,
}

/// A restream to be.
#[derive(Debug)]
pub(crate) struct NewRestream {
    pub(crate) id: RestreamId,
    pub(crate) camera_id: CameraId,
    pub(crate) project_id: ProjectId,
    /// Of its slot, which is there.
    pub(crate) ordinal: i16,
    pub(crate) row: RestreamRow,
}

/// A restream as its camera's owner knows it, with what is not for everybody.
pub(crate) struct Stored {
    pub(crate) restream: Versioned<Restream>,
    pub(crate) ordinal: i16,
    /// All secrets, sealed.
    pub(crate) secrets: Option<Vec<u8>>,
}

/// The restreams of the cameras that the caller may manage, with their status.
///
/// All restreams of the projects in question are gone through from the first one after the last
/// page: there are few beside cameras.
pub(crate) async fn restream_list(
    conn: &mut PgConnection,
    sight: &Sight,
    suspect: Duration,
    filter: &RestreamFilter,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Restream>> {
    let rows = sqlx::query_as!(
        Row,
        r#"WITH rights AS MATERIALIZED (
               SELECT * FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS r (id, allow, deny)
           ), cluster AS (
               SELECT COALESCE(bit_or(allow), 0) AS allow, COALESCE(bit_or(deny), 0) AS deny
               FROM rights WHERE id = '00000000-0000-0000-0000-000000000000'
           ), reached AS MATERIALIZED (
               SELECT g.id, bit_or(r.allow) AS allow, bit_or(r.deny) AS deny
               FROM unnest($5::uuid[], $6::integer[], $7::integer[]) AS r (id, allow, deny)
               JOIN camera_group g ON g.path @> ARRAY[r.id]
               GROUP BY g.id
           )
           SELECT r.id, r.camera_id, r.project_id, r.name, r.external_id, r.labels, r.url,
                  r.transport, r.tls_verify, r.signing, r.has_credentials, r.has_stream_key,
                  r.video, r.audio, r.enabled, r.generation, r.version, r.created_at, r.updated_at
           FROM restream r
           JOIN camera c ON c.id = r.camera_id
           LEFT JOIN reached t ON t.id = c.group_id
           LEFT JOIN rights p ON p.id = c.project_id
           LEFT JOIN rights own ON own.id = c.id
           CROSS JOIN cluster
           WHERE (COALESCE(own.allow, 0) | COALESCE(t.allow, 0) | COALESCE(p.allow, 0)
                      | cluster.allow)
                     & ~(COALESCE(own.deny, 0) | COALESCE(t.deny, 0) | COALESCE(p.deny, 0)
                         | cluster.deny) & $4 <> 0
             AND ($8::uuid IS NULL OR r.camera_id = $8)
             AND ($9::jsonb IS NULL OR r.labels @> $9)
             AND ($10::text IS NULL OR r.external_id = $10)
             AND ($11::uuid IS NULL OR r.id > $11)
           ORDER BY r.id
           LIMIT $12"#,
        sight.objects(),
        sight.allow(),
        sight.deny(),
        sight.mask(),
        sight.groups(),
        sight.group_allow(),
        sight.group_deny(),
        filter.camera.map(CameraId::uuid),
        super::filter_to_json(&filter.labels)?,
        filter.external_id,
        after,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let found = with_status(conn, suspect, rows).await?;
    Ok(found.into_iter().map(|restream| restream.thing).collect())
}

/// Which camera the restream pushes. Whether the caller may know of that is for the caller to ask
/// next.
pub(crate) async fn restream_camera(
    conn: &mut PgConnection,
    id: RestreamId,
) -> sqlx::Result<Option<CameraId>> {
    let camera = sqlx::query_scalar!("SELECT camera_id FROM restream WHERE id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(camera.map(Into::into))
}

/// Those of the restreams that are in the project, in no particular order.
pub(crate) async fn restream_get_many(
    conn: &mut PgConnection,
    project: ProjectId,
    suspect: Duration,
    ids: &[RestreamId],
) -> sqlx::Result<Vec<Versioned<Restream>>> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, camera_id, project_id, name, external_id, labels, url, transport, tls_verify,
                  signing, has_credentials, has_stream_key, video, audio, enabled, generation,
                  version, created_at, updated_at
           FROM restream WHERE id = ANY($1) AND project_id = $2"#,
        &ids,
        project.uuid()
    )
    .fetch_all(&mut *conn)
    .await?;
    with_status(conn, suspect, rows).await
}

/// The restream, if it is in the project.
pub(crate) async fn restream_get(
    conn: &mut PgConnection,
    project: ProjectId,
    suspect: Duration,
    id: RestreamId,
) -> sqlx::Result<Option<Versioned<Restream>>> {
    let mut found = restream_get_many(conn, project, suspect, &[id]).await?;
    Ok(found.pop())
}

/// The restream with its secrets, if it is in the project.
pub(crate) async fn restream_get_stored(
    conn: &mut PgConnection,
    project: ProjectId,
    suspect: Duration,
    id: RestreamId,
) -> sqlx::Result<Option<Stored>> {
    let row = sqlx::query!(
        "SELECT ordinal, secrets FROM restream WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    let restream = restream_get(conn, project, suspect, id).await?;
    Ok(row.zip(restream).map(|(row, restream)| Stored {
        restream,
        ordinal: row.ordinal,
        secrets: row.secrets,
    }))
}

/// Those of the cameras in the project that have `max` restreams or more.
pub(crate) async fn restream_full(
    conn: &mut PgConnection,
    project: ProjectId,
    cameras: &[CameraId],
    max: i64,
) -> sqlx::Result<HashSet<CameraId>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let full = sqlx::query_scalar!(
        "SELECT camera_id FROM restream WHERE project_id = $1 AND camera_id = ANY($2)
         GROUP BY camera_id HAVING count(*) >= $3",
        project.uuid(),
        &cameras,
        max
    )
    .fetch_all(conn)
    .await?;
    Ok(full.into_iter().map(Into::into).collect())
}

/// Those of the cameras in the project that have a restream of this name, with it.
pub(crate) async fn restream_find(
    conn: &mut PgConnection,
    project: ProjectId,
    cameras: &[CameraId],
    name: &str,
) -> sqlx::Result<HashMap<CameraId, RestreamId>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT camera_id, id FROM restream
         WHERE project_id = $1 AND camera_id = ANY($2) AND name = $3",
        project.uuid(),
        &cameras,
        name
    )
    .fetch_all(conn)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| (row.camera_id.into(), row.id.into()))
        .collect())
}

/// Adds the restreams in one statement.
pub(crate) async fn restream_insert(
    conn: &mut PgConnection,
    restreams: &[NewRestream],
) -> sqlx::Result<()> {
    let ids: Vec<_> = restreams.iter().map(|new| new.id.uuid()).collect();
    let cameras: Vec<_> = restreams.iter().map(|new| new.camera_id.uuid()).collect();
    let projects: Vec<_> = restreams.iter().map(|new| new.project_id.uuid()).collect();
    let ordinals: Vec<_> = restreams.iter().map(|new| new.ordinal).collect();
    let rows = || restreams.iter().map(|new| &new.row);
    let names: Vec<_> = rows().map(|row| row.name.clone()).collect();
    let external_ids: Vec<_> = rows().map(|row| row.external_id.clone()).collect();
    let labels = column(rows(), |row| to_json(&row.labels))?;
    let urls: Vec<_> = rows().map(|row| row.url.to_string()).collect();
    let transports = column(rows(), |row| to_text(&row.transport))?;
    let verified: Vec<_> = rows().map(|row| row.tls_verify).collect();
    let signings = column(rows(), |row| to_json(&row.signing))?;
    let secrets: Vec<_> = rows().map(|row| row.secrets.clone()).collect();
    let credentials: Vec<_> = rows().map(|row| row.has_credentials).collect();
    let stream_keys: Vec<_> = rows().map(|row| row.has_stream_key).collect();
    let videos = column(rows(), |row| to_json(&row.video))?;
    let audios = column(rows(), |row| to_text(&row.audio))?;
    let enabled: Vec<_> = rows().map(|row| row.enabled).collect();
    let result = sqlx::query!(
        r#"INSERT INTO restream (id, camera_id, project_id, ordinal, name, external_id, labels, url,
                                 transport, tls_verify, signing, secrets, has_credentials,
                                 has_stream_key, video, audio, enabled)
           SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::text[],
                                $6::text[], $7::jsonb[], $8::text[], $9::text[], $10::boolean[],
                                $11::jsonb[], $12::bytea[], $13::boolean[], $14::boolean[],
                                $15::jsonb[], $16::text[], $17::boolean[])"#,
        &ids,
        &cameras,
        &projects,
        &ordinals,
        &names,
        &external_ids as &[Option<String>],
        &labels,
        &urls,
        &transports,
        &verified,
        &signings,
        &secrets as &[Option<Vec<u8>>],
        &credentials,
        &stream_keys,
        &videos,
        &audios,
        &enabled
    )
    .execute(conn)
    .await?;
    if result.rows_affected() == restreams.len() as u64 {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

fn column<'a, T>(
    rows: impl Iterator<Item = &'a RestreamRow>,
    value: impl Fn(&RestreamRow) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    rows.map(value).collect()
}

/// Writes everything that may change; the version rises.
pub(crate) async fn restream_update(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RestreamId,
    row: &RestreamRow,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        r#"UPDATE restream
           SET name = $3, external_id = $4, labels = $5, url = $6, transport = $7, tls_verify = $8,
               signing = $9, secrets = $10, has_credentials = $11, has_stream_key = $12,
               video = $13, audio = $14, enabled = $15,
               version = version + 1, updated_at = clock_timestamp()
           WHERE id = $1 AND project_id = $2"#,
        id.uuid(),
        project.uuid(),
        row.name,
        row.external_id,
        to_json(&row.labels)?,
        row.url.as_str(),
        to_text(&row.transport)?,
        row.tls_verify,
        to_json(&row.signing)?,
        row.secrets,
        row.has_credentials,
        row.has_stream_key,
        to_json(&row.video)?,
        to_text(&row.audio)?,
        row.enabled
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Starts or stops the restream; the version rises.
pub(crate) async fn restream_enable(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RestreamId,
    enabled: bool,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE restream
         SET enabled = $3, version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid(),
        enabled
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Begins the next generation; the version rises.
pub(crate) async fn restream_restart(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RestreamId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE restream
         SET generation = generation + 1, version = version + 1, updated_at = clock_timestamp()
         WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Deletes the restream; its slot stays.
pub(crate) async fn restream_delete(
    conn: &mut PgConnection,
    project: ProjectId,
    id: RestreamId,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "DELETE FROM restream WHERE id = $1 AND project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// A restream as its node needs it.
pub(crate) struct DesiredRestream {
    pub(crate) id: RestreamId,
    pub(crate) name: String,
    pub(crate) generation: i64,
    pub(crate) version: i64,
    pub(crate) url: Url,
    pub(crate) transport: Transport,
    pub(crate) tls_verify: bool,
    /// Without its secrets.
    pub(crate) signing: RestreamSigning,
    /// All secrets, sealed.
    pub(crate) secrets: Option<Vec<u8>>,
    pub(crate) video: RestreamVideo,
    pub(crate) audio: RestreamAudio,
}

/// The restreams that the node should push, by their slots.
pub(crate) async fn restream_desired(
    conn: &mut PgConnection,
    node: NodeId,
) -> sqlx::Result<HashMap<SlotKey, DesiredRestream>> {
    let rows = sqlx::query!(
        r#"SELECT r.id, r.camera_id, r.ordinal, r.name, r.generation, r.version, r.url, r.transport,
                  r.tls_verify, r.signing, r.secrets, r.video, r.audio
           FROM slot s JOIN restream r ON (r.camera_id, r.ordinal) = (s.camera_id, s.ordinal)
           WHERE s.node_id = $1 AND s.role = $2"#,
        node.uuid(),
        Role::Restream.as_str()
    )
    .fetch_all(conn)
    .await?;
    let restreams = rows.into_iter().map(|row| {
        let restream = DesiredRestream {
            id: row.id.into(),
            name: row.name,
            generation: row.generation,
            version: row.version,
            url: from_json(row.url.into())?,
            transport: from_json(row.transport.into())?,
            tls_verify: row.tls_verify,
            signing: from_json(row.signing)?,
            secrets: row.secrets,
            video: from_json(row.video)?,
            audio: from_json(row.audio.into())?,
        };
        Ok((restream_slot(row.camera_id.into(), row.ordinal)?, restream))
    });
    restreams.collect()
}

/// A restream that is deleted between the two queries has no status, and is left out.
async fn with_status(
    conn: &mut PgConnection,
    suspect: Duration,
    rows: Vec<Row>,
) -> sqlx::Result<Vec<Versioned<Restream>>> {
    let ids: Vec<_> = rows.iter().map(|row| row.id.into()).collect();
    let mut statuses = restream_status_list(conn, &ids, suspect).await?;
    rows.into_iter()
        .filter_map(|row| {
            let status = statuses.remove(&row.id.into())?;
            Some(row.into_restream(status))
        })
        .collect()
}

impl Row {
    fn into_restream(self, status: RestreamStatus) -> sqlx::Result<Versioned<Restream>> {
        let restream = Restream {
            id: self.id.into(),
            camera_id: self.camera_id.into(),
            project_id: self.project_id.into(),
            name: self.name,
            external_id: self.external_id,
            labels: from_json(self.labels)?,
            url: from_json(self.url.into())?,
            transport: from_json(self.transport.into())?,
            tls_verify: self.tls_verify,
            has_credentials: self.has_credentials,
            has_stream_key: self.has_stream_key,
            signing: from_json(self.signing)?,
            video: from_json(self.video)?,
            audio: from_json(self.audio.into())?,
            enabled: self.enabled,
            generation: self.generation,
            status,
            created_at: self.created_at,
            updated_at: self.updated_at,
        };
        Ok(Versioned {
            version: self.version,
            thing: restream,
        })
    }
}

/// The name of an enumeration's value.
fn to_text<T: serde::Serialize>(value: &T) -> sqlx::Result<String> {
    from_json(to_json(value)?)
}
