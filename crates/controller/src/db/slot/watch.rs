//! What one node should do.

use headworks_types::{
    CameraSource, Network, NodeId, ProjectId, StartMode,
    edge::{Role, SlotKey, StreamKeyDigest, ViewPolicy},
};
use sqlx::PgConnection;

use super::slot_key;
use crate::db::{
    from_json, networks,
    restream::{DesiredRestream, restream_desired},
    stream_key::stream_key_digests,
    viewing::view_policy_list,
};

/// A slot of a node, with its camera. Epoch, version and stream keys together tell whether it has
/// changed.
pub(crate) struct Desired {
    pub(crate) key: SlotKey,
    pub(crate) epoch: i64,
    /// The versions of its camera, of the project and of its restream, together.
    pub(crate) version: i64,
    pub(crate) project_id: ProjectId,
    pub(crate) camera_name: String,
    pub(crate) source: CameraSource,
    /// Sealed.
    pub(crate) credentials: Option<Vec<u8>>,
    pub(crate) start: StartMode,
    pub(crate) exclusive: bool,
    pub(crate) view: ViewPolicy,
    /// Closed networks that the project may connect to.
    pub(crate) outbound_allow: Vec<Network>,
    /// Of a published camera.
    pub(crate) stream_keys: Vec<StreamKeyDigest>,
    /// Of a restream.
    pub(crate) restream: Option<DesiredRestream>,
}

/// All slots of the node, in the order of their keys.
///
/// Read the node's revision before: then what is sent is at least as new as its revision, and what
/// is newer comes again with the next one.
pub(crate) async fn desired_list(
    conn: &mut PgConnection,
    node: NodeId,
) -> sqlx::Result<Vec<Desired>> {
    let rows = sqlx::query!(
        r#"SELECT s.camera_id, s.role, s.ordinal, s.epoch,
                  c.version, c.project_id, c.name, c.source, c.credentials, c.start,
                  c.exclusive_source,
                  p.version AS project_version, p.outbound_allow
           FROM slot s JOIN camera c ON c.id = s.camera_id JOIN project p ON p.id = c.project_id
           WHERE s.node_id = $1
           ORDER BY s.camera_id, s.role, s.ordinal"#,
        node.uuid()
    )
    .fetch_all(&mut *conn)
    .await?;
    let slots = rows.into_iter().map(|row| {
        Ok(Desired {
            key: slot_key(row.camera_id, &row.role, row.ordinal)?,
            epoch: row.epoch,
            version: row.version + row.project_version,
            project_id: row.project_id.into(),
            camera_name: row.name,
            source: from_json(row.source)?,
            credentials: row.credentials,
            start: from_json(row.start.into())?,
            exclusive: row.exclusive_source,
            view: ViewPolicy::default(),
            outbound_allow: networks(&row.outbound_allow)?,
            stream_keys: Vec::new(),
            restream: None,
        })
    });
    let mut slots = slots.collect::<sqlx::Result<Vec<_>>>()?;
    let published: Vec<_> = slots
        .iter()
        .filter(|slot| slot.key.role == Role::Ingest && slot.source == CameraSource::Publish)
        .map(|slot| slot.key.camera_id)
        .collect();
    if !published.is_empty() {
        let keys = stream_key_digests(conn, &published).await?;
        for slot in slots
            .iter_mut()
            .filter(|slot| slot.key.role == Role::Ingest)
        {
            if let Some(keys) = keys.get(&slot.key.camera_id) {
                slot.stream_keys.clone_from(keys);
            }
        }
    }
    let mut policies = view_policy_list(conn, node).await?;
    for slot in slots
        .iter_mut()
        .filter(|slot| slot.key.role == Role::Ingest)
    {
        slot.view = policies.remove(&slot.key.camera_id).unwrap_or_default();
    }
    let mut restreams = restream_desired(conn, node).await?;
    for slot in &mut slots {
        slot.restream = restreams.remove(&slot.key);
        slot.version += slot
            .restream
            .as_ref()
            .map_or(0, |restream| restream.version);
    }
    Ok(slots)
}
