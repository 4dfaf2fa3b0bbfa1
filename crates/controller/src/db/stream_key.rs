//! Stream keys: rows of `stream_key`. Their project is the one of their camera.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use headworks_types::{
    CameraId, Network, OnConflict, ProjectId, PublishProtocol, StreamKey, StreamKeyBounds,
    StreamKeyId, StreamKeyUse, edge::StreamKeyDigest,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ensure_one_row, from_json, networks};
use crate::{
    app::Versioned,
    credential::{NewCredential, edge_digest},
};

struct Row {
    id: Uuid,
    camera_id: Uuid,
    name: String,
    lookup: String,
    on_conflict: String,
    networks: Option<Vec<String>>,
    protocols: Option<Vec<String>>,
    max_bitrate_kbit: Option<i32>,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    last_used_address: Option<String>,
    last_used_protocol: Option<String>,
    last_used_node_id: Option<Uuid>,
    version: i64,
    created_at: DateTime<Utc>,
}

/// The keys of a camera of this project, also revoked and expired ones.
pub(crate) async fn stream_key_list(
    conn: &mut PgConnection,
    project: ProjectId,
    camera: CameraId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<StreamKey>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT k.id, k.camera_id, k.name, k.lookup, k.on_conflict, k.networks::text[],
                k.protocols, k.max_bitrate_kbit, k.expires_at, k.revoked_at, k.last_used_at,
                host(k.last_used_address) AS last_used_address, k.last_used_protocol,
                k.last_used_node_id, k.version, k.created_at
         FROM stream_key k JOIN camera c ON c.id = k.camera_id
         WHERE c.project_id = $1 AND k.camera_id = $2 AND ($3::uuid IS NULL OR k.id > $3)
         ORDER BY k.id
         LIMIT $4",
        project.uuid(),
        camera.uuid(),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    let keys = rows.into_iter().map(Row::into_stream_key);
    keys.map(|key| Ok(key?.thing)).collect()
}

/// The key of a camera of this project.
pub(crate) async fn stream_key_get(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
) -> sqlx::Result<Option<Versioned<StreamKey>>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT k.id, k.camera_id, k.name, k.lookup, k.on_conflict, k.networks::text[],
                k.protocols, k.max_bitrate_kbit, k.expires_at, k.revoked_at, k.last_used_at,
                host(k.last_used_address) AS last_used_address, k.last_used_protocol,
                k.last_used_node_id, k.version, k.created_at
         FROM stream_key k JOIN camera c ON c.id = k.camera_id
         WHERE k.id = $1 AND c.project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_stream_key).transpose()
}

/// Which camera the key is for. Whether the caller may know of that is for the caller to ask next.
pub(crate) async fn stream_key_camera(
    conn: &mut PgConnection,
    id: StreamKeyId,
) -> sqlx::Result<Option<CameraId>> {
    let camera = sqlx::query_scalar!("SELECT camera_id FROM stream_key WHERE id = $1", id.uuid())
        .fetch_optional(conn)
        .await?;
    Ok(camera.map(Into::into))
}

/// The key of a camera of this project, locked until the transaction ends.
pub(crate) async fn stream_key_lock(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
) -> sqlx::Result<Option<Versioned<StreamKey>>> {
    sqlx::query!(
        "SELECT k.id
         FROM stream_key k JOIN camera c ON c.id = k.camera_id
         WHERE k.id = $1 AND c.project_id = $2
         FOR UPDATE OF k",
        id.uuid(),
        project.uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    stream_key_get(conn, project, id).await
}

/// What edges need to know of the keys of these cameras that work now or later, by camera and in
/// the order of their ids.
pub(crate) async fn stream_key_digests(
    conn: &mut PgConnection,
    cameras: &[CameraId],
) -> sqlx::Result<HashMap<CameraId, Vec<StreamKeyDigest>>> {
    let cameras: Vec<_> = cameras.iter().map(|camera| camera.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT camera_id, id, lookup, edge_digest, on_conflict, expires_at, networks::text[],
                protocols, max_bitrate_kbit
         FROM stream_key
         WHERE camera_id = ANY($1) AND revoked_at IS NULL
           AND (expires_at IS NULL OR expires_at > clock_timestamp())
         ORDER BY id",
        &cameras
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let keys = found.entry(row.camera_id.into()).or_default();
        keys.push(StreamKeyDigest {
            id: row.id.into(),
            lookup: row.lookup,
            digest: URL_SAFE_NO_PAD.encode(row.edge_digest),
            expires_at: row.expires_at,
            on_conflict: from_json(row.on_conflict.into())?,
            bounds: bounds(row.networks.as_deref(), row.protocols, row.max_bitrate_kbit)?,
        });
    }
    Ok(found)
}

/// How many keys of a camera of this project work now or later.
pub(crate) async fn stream_key_count(
    conn: &mut PgConnection,
    project: ProjectId,
    camera: CameraId,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
           FROM stream_key k JOIN camera c ON c.id = k.camera_id
           WHERE c.project_id = $1 AND k.camera_id = $2 AND k.revoked_at IS NULL
             AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())"#,
        project.uuid(),
        camera.uuid()
    )
    .fetch_one(conn)
    .await
}

/// A key to be.
pub(crate) struct NewStreamKey<'a> {
    pub(crate) id: StreamKeyId,
    pub(crate) camera: CameraId,
    pub(crate) name: &'a str,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) on_conflict: OnConflict,
    pub(crate) bounds: &'a StreamKeyBounds,
    pub(crate) credential: &'a NewCredential,
}

/// Adds the key to a camera of this project.
pub(crate) async fn stream_key_insert(
    conn: &mut PgConnection,
    project: ProjectId,
    new: NewStreamKey<'_>,
) -> sqlx::Result<StreamKey> {
    let (networks, protocols, max_bitrate) = columns(new.bounds);
    let result = sqlx::query!(
        "INSERT INTO stream_key (id, camera_id, name, lookup, digest, edge_digest, on_conflict,
                                 expires_at, networks, protocols, max_bitrate_kbit)
         SELECT $1, c.id, $3, $4, $5, $6, $7, $8, $9::text[]::cidr[], $10, $11
         FROM camera c WHERE c.id = $2 AND c.project_id = $12",
        new.id.uuid(),
        new.camera.uuid(),
        new.name,
        new.credential.lookup,
        new.credential.digest,
        edge_digest(&new.credential.secret),
        new.on_conflict.as_str(),
        new.expires_at,
        networks.as_deref(),
        protocols.as_deref(),
        max_bitrate,
        project.uuid()
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    let key = stream_key_get(conn, project, new.id).await?;
    Ok(key.ok_or(sqlx::Error::RowNotFound)?.thing)
}

/// Writes what may change; the version rises.
pub(crate) async fn stream_key_update(
    conn: &mut PgConnection,
    project: ProjectId,
    key: &StreamKey,
) -> sqlx::Result<Versioned<StreamKey>> {
    let (networks, protocols, max_bitrate) = columns(&key.bounds);
    let result = sqlx::query!(
        "UPDATE stream_key k
         SET name = $3, expires_at = $4, on_conflict = $5, networks = $6::text[]::cidr[],
             protocols = $7, max_bitrate_kbit = $8, version = k.version + 1
         FROM camera c
         WHERE k.id = $1 AND c.id = k.camera_id AND c.project_id = $2",
        key.id.uuid(),
        project.uuid(),
        key.name,
        key.expires_at,
        key.on_conflict.as_str(),
        networks.as_deref(),
        protocols.as_deref(),
        max_bitrate
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    let key = stream_key_get(conn, project, key.id).await?;
    key.ok_or(sqlx::Error::RowNotFound)
}

/// Lets the key end so many seconds from now, unless it ends before.
pub(crate) async fn stream_key_expire(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
    in_seconds: u32,
) -> sqlx::Result<()> {
    let result = sqlx::query!(
        "UPDATE stream_key k
         SET expires_at = LEAST(k.expires_at, clock_timestamp() + make_interval(secs => $3)),
             version = k.version + 1
         FROM camera c
         WHERE k.id = $1 AND c.id = k.camera_id AND c.project_id = $2",
        id.uuid(),
        project.uuid(),
        f64::from(in_seconds)
    )
    .execute(conn)
    .await?;
    ensure_one_row(&result)
}

/// Revokes the key; the time of an earlier revocation stays.
pub(crate) async fn stream_key_revoke(
    conn: &mut PgConnection,
    project: ProjectId,
    id: StreamKeyId,
) -> sqlx::Result<StreamKey> {
    let result = sqlx::query!(
        "UPDATE stream_key k
         SET revoked_at = COALESCE(k.revoked_at, clock_timestamp()), version = k.version + 1
         FROM camera c
         WHERE k.id = $1 AND c.id = k.camera_id AND c.project_id = $2",
        id.uuid(),
        project.uuid()
    )
    .execute(&mut *conn)
    .await?;
    ensure_one_row(&result)?;
    let key = stream_key_get(conn, project, id).await?;
    Ok(key.ok_or(sqlx::Error::RowNotFound)?.thing)
}

/// A key that was used, by the word of the node that holds its camera.
pub(crate) struct Used {
    pub(crate) camera: CameraId,
    pub(crate) epoch: i64,
    pub(crate) key: StreamKeyId,
    pub(crate) by: StreamKeyUse,
}

/// How far the clock of a node may be ahead of the database's before its uses have to wait.
const AHEAD: f64 = 60.0;

/// Notes who used keys last, where that is news. Only the holder of a camera is believed, and no
/// time that is far ahead, which would hide what comes later. It waits for nobody who changes a
/// key: edges say it again with their next reports.
pub(crate) async fn stream_key_note_used(
    conn: &mut PgConnection,
    used: &[Used],
) -> sqlx::Result<()> {
    let cameras: Vec<_> = used.iter().map(|used| used.camera.uuid()).collect();
    let epochs: Vec<_> = used.iter().map(|used| used.epoch).collect();
    let keys: Vec<_> = used.iter().map(|used| used.key.uuid()).collect();
    let times: Vec<_> = used.iter().map(|used| used.by.at).collect();
    let addresses: Vec<_> = used
        .iter()
        .map(|used| used.by.address.to_string())
        .collect();
    let protocol = |used: &Used| used.by.protocol.as_str().to_owned();
    let protocols: Vec<_> = used.iter().map(protocol).collect();
    let nodes: Vec<_> = used.iter().map(|used| used.by.node_id.uuid()).collect();
    sqlx::query!(
        "WITH news AS (
             SELECT DISTINCT ON (k.id) k.id, r.at, r.address, r.protocol, r.node_id
             FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::text[],
                         $6::text[], $7::uuid[])
                  AS r (camera_id, epoch, id, at, address, protocol, node_id)
             JOIN stream_key k ON k.id = r.id AND k.camera_id = r.camera_id
             JOIN slot s ON s.camera_id = r.camera_id AND s.role = 'ingest' AND s.ordinal = 0
                        AND s.node_id = r.node_id AND s.epoch = r.epoch
             WHERE r.at > COALESCE(k.last_used_at, '-infinity')
               AND r.at < clock_timestamp() + make_interval(secs => $8)
             ORDER BY k.id, r.at DESC
         ), free AS (
             SELECT k.id FROM stream_key k JOIN news ON news.id = k.id
             ORDER BY k.id
             FOR NO KEY UPDATE OF k SKIP LOCKED
         )
         UPDATE stream_key k
         SET last_used_at = news.at, last_used_address = news.address::inet,
             last_used_protocol = news.protocol, last_used_node_id = news.node_id
         FROM news JOIN free ON free.id = news.id
         WHERE k.id = news.id",
        &cameras,
        &epochs,
        &keys,
        &times,
        &addresses,
        &protocols,
        &nodes,
        AHEAD
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Bounds as their columns have them.
fn columns(bounds: &StreamKeyBounds) -> (Option<Vec<String>>, Option<Vec<String>>, Option<i32>) {
    let networks = bounds.networks.as_ref();
    let networks = networks.map(|all| all.iter().map(Network::to_string).collect());
    let protocols = bounds.protocols.as_ref();
    let protocols = protocols.map(|all| all.iter().map(|one| one.as_str().to_owned()).collect());
    let max_bitrate = bounds.max_bitrate_kbit;
    let max_bitrate = max_bitrate.map(|kbit| i32::try_from(kbit).unwrap_or(i32::MAX));
    (networks, protocols, max_bitrate)
}

fn bounds(
    texts: Option<&[String]>,
    protocols: Option<Vec<String>>,
    max_bitrate_kbit: Option<i32>,
) -> sqlx::Result<StreamKeyBounds> {
    let protocols = protocols.map(|names| {
        let all = names.iter().map(|name| protocol(name));
        all.collect::<sqlx::Result<BTreeSet<_>>>()
    });
    Ok(StreamKeyBounds {
        networks: texts.map(networks).transpose()?,
        protocols: protocols.transpose()?,
        max_bitrate_kbit: max_bitrate_kbit.map(i32::unsigned_abs),
    })
}

fn protocol(name: &str) -> sqlx::Result<PublishProtocol> {
    let unknown = || sqlx::Error::Decode(format!("no protocol is called `{name}`").into());
    PublishProtocol::from_name(name).ok_or_else(unknown)
}

impl Row {
    fn into_stream_key(self) -> sqlx::Result<Versioned<StreamKey>> {
        let last_used = self.last_used()?;
        Ok(Versioned {
            version: self.version,
            thing: StreamKey {
                id: self.id.into(),
                camera_id: self.camera_id.into(),
                name: self.name,
                lookup: self.lookup,
                on_conflict: from_json(self.on_conflict.into())?,
                bounds: bounds(
                    self.networks.as_deref(),
                    self.protocols,
                    self.max_bitrate_kbit,
                )?,
                expires_at: self.expires_at,
                revoked_at: self.revoked_at,
                last_used,
                created_at: self.created_at,
            },
        })
    }

    fn last_used(&self) -> sqlx::Result<Option<StreamKeyUse>> {
        let (Some(at), Some(address), Some(name), Some(node)) = (
            self.last_used_at,
            &self.last_used_address,
            &self.last_used_protocol,
            self.last_used_node_id,
        ) else {
            return Ok(None);
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| sqlx::Error::Decode(format!("`{address}` is no address").into()))?;
        Ok(Some(StreamKeyUse {
            at,
            address,
            protocol: protocol(name)?,
            node_id: node.into(),
        }))
    }
}
