//! Where a camera is watched best: for programs with a token, and for players that come to the
//! controller first and are sent on.

use std::{collections::HashSet, net::IpAddr, sync::Arc, time::Duration};

use headworks_planner::{Candidate, Ranked, Viewer, rank};
use headworks_types::{
    CameraId, CameraPlayback, CameraPlaybackRequest, CameraState, CameraStatus, LiveFile,
    MAX_PLAYBACK_EDGES, NodeId, PlaybackEdge, PlaybackUrls, Secret,
};
use sqlx::PgConnection;
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::{
    Begun, Caller, Error, Once, Result,
    playback_token::{Issued, check_viewer, issue},
    visitor::visit,
};
use crate::{
    db::{
        playback::{Place, place_list, watched_list},
        slot::status_list,
    },
    state::State,
};

/// For how long what is known of nodes is taken for fresh: the database's load must not grow with
/// those who come to watch. They report every two seconds.
const FRESH: Duration = Duration::from_millis(500);
/// So many nodes are named with what they lack.
const NAMED: usize = 10;

/// What a replica knows of the nodes that viewers can be sent to. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Option<Known>>>);

struct Known {
    places: Arc<[Place]>,
    read_at: Instant,
}

/// Where to send a viewer.
struct Found {
    status: CameraStatus,
    edges: Vec<Place>,
    reasons: Vec<String>,
}

/// Issues a token for the camera, as `playback_token_issue` does, and says where to watch with it.
pub(crate) async fn camera_playback(
    state: &State,
    caller: &Caller,
    once: Once,
    camera: CameraId,
    ask: CameraPlaybackRequest,
) -> Result<CameraPlayback> {
    let wanted = ask.token(camera);
    check_viewer(caller, &wanted)?;
    let mut write = match once.begin(state, caller).await? {
        Begun::Fresh(write) => write,
        Begun::Again(playback) => return Ok(playback),
    };
    let conn = write.conn();
    let issued = issue(state, conn, caller, wanted).await?;
    let address = ask.address().or(caller.origin.address);
    let zone = ask.zone.or_else(|| zone_of(state, address));
    let found = find(state, conn, camera, zone.as_deref()).await?;
    let answer = answer(camera, zone, issued, found);
    write.commit(&answer).await?;
    Ok(answer)
}

fn answer(
    camera_id: CameraId,
    zone: Option<String>,
    issued: Issued,
    found: Found,
) -> CameraPlayback {
    let edges = found.edges.into_iter().zip(found.reasons);
    let edges = edges.map(|(place, reason)| PlaybackEdge {
        urls: PlaybackUrls::new(&place.advertise, camera_id, &issued.token),
        node_id: place.id,
        name: place.name,
        zone: place.zone,
        reason,
    });
    CameraPlayback {
        camera_id,
        state: found.status.state,
        message: found.status.message,
        token_id: issued.token_id,
        expires_at: issued.expires_at,
        watch_until: issued.watch_until,
        zone,
        edges: edges.collect(),
        token: issued.token,
    }
}

/// Who comes with a token to watch.
pub(crate) struct Visit {
    pub(crate) camera: CameraId,
    pub(crate) file: LiveFile,
    pub(crate) token: Option<Secret>,
    /// The zone that it says it is in.
    pub(crate) zone: Option<String>,
    pub(crate) address: Option<IpAddr>,
}

/// Where the best edge has what is asked for, if the token opens it.
pub(crate) async fn camera_live(state: &State, who: Visit) -> Result<Url> {
    let token = who.token.unwrap_or_else(|| Secret::new(""));
    visit(state, token.expose(), who.camera).await?;
    let zone = who.zone.or_else(|| zone_of(state, who.address));
    let mut conn = state.pool.acquire().await?;
    let found = find(state, &mut conn, who.camera, zone.as_deref()).await?;
    let best = found.edges.first().ok_or_else(|| crowded(&[], &[]))?;
    let urls = PlaybackUrls::new(&best.advertise, who.camera, &token);
    Ok(who.file.url(urls))
}

fn zone_of(state: &State, address: Option<IpAddr>) -> Option<String> {
    let zone = state.config.zones.zone(address?)?;
    Some(zone.to_owned())
}

/// The edges for a viewer in this zone, the best first; at least one.
async fn find(
    state: &State,
    conn: &mut PgConnection,
    camera: CameraId,
    zone: Option<&str>,
) -> Result<Found> {
    let statuses = status_list(conn, &[camera], state.config.lease_suspect).await?;
    let status = statuses.into_values().next();
    let status = status.ok_or_else(|| Error::not_found(camera))?;
    match status.state {
        CameraState::Disabled => return Err(Error::Conflict(status.message)),
        // An edge would have it from nobody.
        CameraState::Unplaced => return Err(Error::NoPicture(status.message)),
        _ => {}
    }
    let places = state.edges.places.get(state, conn).await?;
    let watched = watched_list(conn, camera).await?;
    let viewer = Viewer {
        camera,
        zone: zone.map(str::to_owned),
    };
    let ranked = rank(&candidates(&places, status.node_id, &watched), &viewer);
    let serving = ranked.iter().filter(|ranked| ranked.serves);
    let serving = serving.filter_map(|ranked| Some((place(&places, ranked.node)?, ranked)));
    let (edges, reasons): (Vec<_>, Vec<_>) = serving
        .take(MAX_PLAYBACK_EDGES)
        .map(|(place, ranked)| (place.clone(), ranked.reason.clone()))
        .unzip();
    if edges.is_empty() {
        return Err(crowded(&ranked, &places));
    }
    Ok(Found {
        status,
        edges,
        reasons,
    })
}

fn candidates(
    places: &[Place],
    origin: Option<NodeId>,
    watched: &HashSet<NodeId>,
) -> Vec<Candidate> {
    let candidate = |place: &Place| Candidate {
        id: place.id,
        name: place.name.clone(),
        zone: place.zone.clone(),
        state: place.state,
        intake: place.intake,
        is_origin: origin == Some(place.id),
        is_watched: watched.contains(&place.id),
        relays: place.relays,
        limits: place.limits,
        load: place.load.clone(),
        is_full: place.is_full,
    };
    places.iter().map(candidate).collect()
}

/// They are in the order of their ids.
fn place(places: &[Place], id: NodeId) -> Option<&Place> {
    let index = places.binary_search_by_key(&id, |place| place.id).ok()?;
    places.get(index)
}

/// Says of each node what it lacks, as far as there are not too many.
fn crowded(ranked: &[Ranked], places: &[Place]) -> Error {
    let lacks = ranked.iter().take(NAMED).filter_map(|ranked| {
        let place = place(places, ranked.node)?;
        Some(format!("{} {}", place.name, ranked.reason))
    });
    let mut lacks: Vec<_> = lacks.collect();
    if let Some(more) = ranked.len().checked_sub(NAMED).filter(|more| *more > 0) {
        lacks.push(format!("and {more} more"));
    }
    if lacks.is_empty() {
        lacks.push("there is none".to_owned());
    }
    let lacks = lacks.join(", ");
    Error::NoRoom(format!("no edge has room for another viewer: {lacks}"))
}

impl Places {
    /// What is known, read again if it is not fresh. Whoever comes meanwhile waits for the same.
    async fn get(&self, state: &State, conn: &mut PgConnection) -> Result<Arc<[Place]>> {
        let mut known = self.0.lock().await;
        let now = state.clock.monotonic();
        if let Some(known) = &*known
            && now - known.read_at < FRESH
        {
            return Ok(Arc::clone(&known.places));
        }
        let places: Arc<[Place]> = place_list(conn, state.config.lease_suspect).await?.into();
        *known = Some(Known {
            places: Arc::clone(&places),
            read_at: now,
        });
        Ok(places)
    }
}
