//! `GET /edge/v1/watch`: what a node should do, as it changes.
//!
//! One connection remembers what it has sent and sends the difference. It has no queue: the next
//! message is worked out when the edge is ready to take it, from what is desired then. What all
//! edges are told, the bundle and the directory, is read and written once for all watches.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::Response,
};
use futures::stream;
use headworks_types::{
    Credentials, NodeId,
    edge::{DesiredSlot, IngestWork, SlotKey, StreamKeyDigest, ViewPolicy, WatchMessage, Work},
};
use serde::Deserialize;
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::{super::error::Result, extract::Query};
use crate::{
    app::{
        self,
        edge::{DirectoryReader, NodeCaller},
    },
    db::{
        era::era_is_over,
        node::revision_get,
        node_certificate::certificate_stands,
        slot::{Desired, desired_list},
    },
    keys::Row,
    pki::Fingerprint,
    state::State,
};

const BOOKMARK: Duration = Duration::from_secs(15);
/// How long the database may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long to wait after the database could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// What a watch takes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WatchQuery {
    /// The revision that the edge has; if it is the present one, no snapshot is sent.
    #[serde(default)]
    revision: i64,
    /// The cursor of the last `directory` message that the edge has; 0 for none. Without it, nothing
    /// is told of the directory.
    directory: Option<i64>,
}

/// Watch what the node should do
///
/// Newline-delimited JSON: a `bundle`, then a `snapshot` (or a `bookmark`, if `revision` is the
/// present one), then changes as they come. What has changed of the directory since the cursor
/// comes among them, or everything, if that cannot be told any more.
#[utoipa::path(
    get, path = "/edge/v1/watch", operation_id = "watch", tag = "edge",
    params(WatchQuery),
    responses((
        status = 200, description = "One message in each line, without end.",
        content_type = "application/x-ndjson", body = WatchMessage
    ))
)]
pub(crate) async fn watch(
    state: State,
    caller: NodeCaller,
    Query(query): Query<WatchQuery>,
) -> Result<Response> {
    let watch = Watch::begin(state, caller, query).await?;
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.next_line().await?;
        Some((Ok::<_, Infallible>(line), watch))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("application/x-ndjson");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// By what a slot is known to have changed. Stream keys are compared themselves: they change
/// without their camera, whose version is its user's.
#[derive(PartialEq, Eq)]
struct Mark {
    epoch: i64,
    /// The camera's version.
    version: i64,
    view: ViewPolicy,
    stream_keys: Vec<StreamKeyDigest>,
}

struct Watch {
    state: State,
    node: NodeId,
    /// By which it has signed in: the watch ends when that is worth nothing any more.
    certificate: Fingerprint,
    stop: CancellationToken,
    announced: Receiver<i64>,
    /// The last announcement that was looked at.
    heard: i64,
    /// True if another revision than the sent one was announced.
    changed: bool,
    bundle: Receiver<Bytes>,
    /// The bundle's line that was sent.
    sent_bundle: Bytes,
    /// The revision that was sent.
    revision: i64,
    /// What was sent of each slot.
    sent: BTreeMap<SlotKey, Mark>,
    /// What was read at the beginning and is to be sent first, the last of it before.
    first: Vec<Bytes>,
    directory: Option<DirectoryReader>,
    bookmark_at: Instant,
    begun_at: Instant,
}

/// What a watch begins with.
struct Began {
    revision: i64,
    /// What the edge has may come from a database that was lost, whatever its revision.
    era_is_over: bool,
    desired: Vec<Desired>,
    bundle: Bytes,
}

impl Began {
    /// Reads it when there is room. All edges that come at once share a bundle: one that was read
    /// after they came.
    async fn read(state: &State, node: NodeId, came_at: Instant) -> app::Result<Self> {
        let place = state.edges.gate.enter().await;
        let _place = place.ok_or(app::Error::NotNow("too many edges come at once"))?;
        let read = timeout(DEADLINE, Self::read_now(state, node, came_at)).await;
        Ok(read.unwrap_or(Err(sqlx::Error::PoolTimedOut))?)
    }

    async fn read_now(state: &State, node: NodeId, came_at: Instant) -> sqlx::Result<Self> {
        // One snapshot of the database: if the edge has this revision, it has these slots.
        let mut tx = state.pool.snapshot().await?;
        let read_at = state.clock.monotonic();
        let revision = revision_get(&mut tx, node).await?.unwrap_or_default();
        let era_is_over = era_is_over(&mut tx).await?;
        let desired = desired_list(&mut tx, node).await?;
        let bundle = match state.edges.feeds.bundle_since(came_at) {
            Some(bundle) => bundle,
            None => {
                let bundle = app::edge::bundle_line(&mut tx).await?;
                state.edges.feeds.announce_bundle(bundle.clone(), read_at);
                bundle
            }
        };
        tx.commit().await?;
        Ok(Self {
            revision,
            era_is_over,
            desired,
            bundle,
        })
    }
}

/// False if the node is refused now. Who cannot be asked is no reason to end its watch.
async fn may_go_on(state: &State, certificate: &Fingerprint) -> bool {
    let stands = async {
        let mut conn = state.pool.acquire().await?;
        certificate_stands(&mut conn, certificate).await
    };
    !matches!(timeout(DEADLINE, stands).await, Ok(Ok(false)))
}

/// The next line of the directory, if its edge keeps one.
async fn line_of(directory: &mut Option<DirectoryReader>) -> Bytes {
    match directory {
        Some(directory) => directory.line().await,
        None => pending().await,
    }
}

impl Watch {
    async fn begin(state: State, caller: NodeCaller, query: WatchQuery) -> app::Result<Self> {
        let NodeCaller { node, certificate } = caller;
        let announced = state.edges.feeds.revision(node);
        let heard = *announced.borrow();
        let begun_at = state.clock.monotonic();
        let directory = query
            .directory
            .map(|cursor| state.edges.directory.reader(cursor));
        let began = Began::read(&state, node, begun_at).await?;
        let mut watch = Self {
            stop: state.tasks.token(),
            bookmark_at: state.clock.monotonic() + BOOKMARK,
            begun_at,
            bundle: state.edges.feeds.bundle(),
            state,
            node,
            certificate,
            heard,
            announced,
            changed: false,
            sent_bundle: began.bundle.clone(),
            revision: began.revision,
            sent: BTreeMap::new(),
            first: Vec::new(),
            directory,
        };
        let revision = began.revision;
        let (slots, _) = watch.difference(began.desired);
        let second = if revision == query.revision && !began.era_is_over {
            WatchMessage::Bookmark {
                revision,
                bundle_age: 0,
            }
        } else {
            WatchMessage::Snapshot { revision, slots }
        };
        let second =
            app::edge::line(&second).map_err(|error| app::Error::Internal(error.into()))?;
        watch.first = vec![second, began.bundle];
        Ok(watch)
    }

    /// The next line; `None` when the controller stops.
    async fn next_line(&mut self) -> Option<Bytes> {
        let line = self.next().await?;
        self.bookmark_at = self.state.clock.monotonic() + BOOKMARK;
        Some(line)
    }

    fn write(&self, message: &WatchMessage) -> Option<Bytes> {
        let line = app::edge::line(message).inspect_err(|error| {
            tracing::error!(%error, node.id = %self.node, "watch message cannot be written");
        });
        line.ok()
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(line) = self.first.pop() {
            return Some(line);
        }
        loop {
            if let Some(bundle) = self.new_bundle() {
                return Some(bundle);
            }
            if self.has_changed() {
                if !may_go_on(&self.state, &self.certificate).await {
                    return None;
                }
                let delta = timeout(DEADLINE, self.delta()).await;
                match delta.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                    Ok(delta) => return self.write(&delta),
                    Err(error) => {
                        tracing::warn!(%error, node.id = %self.node, "desired state cannot be read");
                        tokio::select! {
                            () = self.stop.cancelled() => return None,
                            () = sleep(PAUSE) => continue,
                        }
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                _ = self.announced.changed() => {}
                _ = self.bundle.changed() => {}
                line = line_of(&mut self.directory) => return Some(line),
                () = sleep_until(self.bookmark_at) => {
                    if !may_go_on(&self.state, &self.certificate).await {
                        return None;
                    }
                    return self.write(&self.bookmark());
                }
            }
        }
    }

    /// Nothing new; says how old that is. What was sent was read at the beginning, if this
    /// replica has not read the bundle since.
    fn bookmark(&self) -> WatchMessage {
        let now = self.state.clock.monotonic();
        let read_at = self.state.edges.feeds.bundle_read_at();
        let age = now - read_at.map_or(self.begun_at, |at| at.max(self.begun_at));
        WatchMessage::Bookmark {
            revision: self.revision,
            bundle_age: age.as_secs(),
        }
    }

    /// Compared with "other", not with "higher": a database that was restored from a backup may
    /// have a lower one.
    fn has_changed(&mut self) -> bool {
        let announced = *self.announced.borrow_and_update();
        if std::mem::replace(&mut self.heard, announced) != announced {
            self.changed |= announced != self.revision;
        }
        self.changed
    }

    fn new_bundle(&mut self) -> Option<Bytes> {
        let announced = self.bundle.borrow_and_update().clone();
        // Before the first announcement there is nothing to compare with.
        let is_new = !announced.is_empty() && self.sent_bundle != announced;
        // What is the same is kept once.
        if !announced.is_empty() {
            self.sent_bundle = announced.clone();
        }
        is_new.then_some(announced)
    }

    async fn delta(&mut self) -> sqlx::Result<WatchMessage> {
        let gate = self.state.edges.gate.clone();
        let _place = gate.enter().await.ok_or(sqlx::Error::PoolTimedOut)?;
        let mut conn = self.state.pool.acquire().await?;
        let revision = revision_get(&mut conn, self.node).await?;
        let desired = desired_list(&mut conn, self.node).await?;
        self.revision = revision.unwrap_or(self.revision);
        self.changed = false;
        let (upsert, remove) = self.difference(desired);
        Ok(WatchMessage::Delta {
            revision: self.revision,
            upsert,
            remove,
        })
    }

    /// What differs from what was sent; from now on it counts as sent.
    fn difference(&mut self, desired: Vec<Desired>) -> (Vec<DesiredSlot>, Vec<SlotKey>) {
        let mut upsert = Vec::new();
        let mut gone: BTreeSet<SlotKey> = self.sent.keys().copied().collect();
        for slot in desired {
            gone.remove(&slot.key);
            let mark = Mark {
                epoch: slot.epoch,
                version: slot.version,
                view: slot.view.clone(),
                stream_keys: slot.stream_keys.clone(),
            };
            if self.sent.get(&slot.key) != Some(&mark) {
                self.sent.insert(slot.key, mark);
                upsert.push(self.open(slot));
            }
        }
        self.sent.retain(|key, _| !gone.contains(key));
        (upsert, gone.into_iter().collect())
    }

    /// Unseals the secrets: the only place that does, and only for the holder of the slot.
    fn open(&self, slot: Desired) -> DesiredSlot {
        if let Some(restream) = slot.restream {
            let work = app::restream::open(&self.state.keys, restream, slot.outbound_allow);
            return DesiredSlot {
                key: slot.key,
                epoch: slot.epoch,
                project_id: slot.project_id,
                camera_name: slot.camera_name,
                view: slot.view,
                work: Work::Restream(Box::new(work)),
            };
        }
        let camera = slot.key.camera_id;
        let credentials = slot.credentials.and_then(|sealed| {
            let row = Row::camera_credentials(camera);
            let plain = self.state.keys.unseal(&row, &sealed);
            let plain = plain.map_err(anyhow::Error::from);
            let opened = plain.and_then(|plain| Ok(serde_json::from_slice::<Credentials>(&plain)?));
            opened
                .inspect_err(|error| {
                    tracing::error!(%error, camera.id = %camera, "credentials cannot be unsealed");
                })
                .ok()
        });
        DesiredSlot {
            key: slot.key,
            epoch: slot.epoch,
            project_id: slot.project_id,
            camera_name: slot.camera_name,
            view: slot.view,
            work: Work::Ingest(IngestWork {
                source: slot.source,
                credentials,
                start: slot.start,
                exclusive: slot.exclusive,
                stream_keys: slot.stream_keys,
                outbound_allow: slot.outbound_allow,
            }),
        }
    }
}
