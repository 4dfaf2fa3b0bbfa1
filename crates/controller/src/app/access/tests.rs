//! The engine, the SQL and a plain reading of the rules give the same answers about random worlds.

mod reference;
mod speed;
mod world;

use std::collections::BTreeSet;

use headworks_types::CameraId;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Actions, Decision, Holding, Place, Question, Rights, Sight, allowed, decide};
use crate::db::{
    access::rule_list,
    camera::{CameraFilter, camera_list, camera_list_access, camera_path},
    fixture::SUSPECT,
};
use world::{ACTIONS, Moment, World};

const WORLDS: u64 = 24;

/// How often the answer was yes, and how often no.
#[derive(Default)]
struct Count {
    yes: usize,
    no: usize,
}

#[sqlx::test(migrations = "../../migrations")]
async fn engine_reference_and_sql_agree(pool: PgPool) -> sqlx::Result<()> {
    let mut count = Count::default();
    for seed in 0..WORLDS {
        let mut random = StdRng::seed_from_u64(seed);
        let mut tx = pool.begin().await?;
        let world = World::make(&mut tx, &mut random).await;
        for _ in 0..3 {
            let moment = Moment::random(&mut random);
            let context = format!("world {seed} at {moment:?}");
            questions(&mut tx, &world, moment, &context, &mut count).await?;
            lists(&mut tx, &world, moment, &context, &mut random).await?;
        }
        tx.rollback().await?;
    }
    assert!(count.yes > 1000, "{} are allowed", count.yes);
    assert!(count.no > 1000, "{} are not", count.no);
    Ok(())
}

/// Everybody asks for everything: in one statement, by the engine, and by the book.
async fn questions(
    conn: &mut PgConnection,
    world: &World,
    moment: Moment,
    context: &str,
    count: &mut Count,
) -> sqlx::Result<()> {
    let mut asked = Vec::new();
    let mut expected = Vec::new();
    for who in &world.people {
        let holding = Holding::At(Some(moment.at), moment.address.map(Into::into));
        let rules = rule_list(conn, who.id, holding).await?;
        for camera in &world.cameras {
            let place = Place {
                camera: camera.id,
                groups: path(conn, camera).await?,
                project: camera.project,
            };
            for action in ACTIONS {
                let answer = reference::may(world, who, camera, action, moment);
                asked.push(Question {
                    principal: who.id,
                    camera: camera.id.uuid(),
                    action,
                    address: moment.address,
                });
                expected.push(answer);
                let capped = who.scopes().include(action);
                let decision = decide(&rules, action, &place);
                let by_engine = matches!(decision, Decision::Allowed(_));
                let by_engine = by_engine && capped && who.works(moment.at);
                assert_eq!(by_engine, answer, "{context}: {who:?} {action} {camera:?}");
            }
        }
    }
    let by_sql = allowed(conn, &asked, Some(moment.at)).await?;
    for ((question, by_sql), expected) in asked.iter().zip(by_sql).zip(&expected) {
        assert_eq!(by_sql, *expected, "{context}: {question:?}");
    }
    count.yes += expected.iter().filter(|answer| **answer).count();
    count.no += expected.iter().filter(|answer| !**answer).count();
    Ok(())
}

async fn path(conn: &mut PgConnection, camera: &world::Camera) -> sqlx::Result<Vec<Uuid>> {
    let path = camera_path(conn, camera.project, camera.id).await?;
    Ok(path.expect("is there"))
}

/// Everybody lists what they may do a random action with, in a random group and in all.
async fn lists(
    conn: &mut PgConnection,
    world: &World,
    moment: Moment,
    context: &str,
    random: &mut StdRng,
) -> sqlx::Result<()> {
    for who in world.people.iter().filter(|who| who.works(moment.at)) {
        let holding = Holding::At(Some(moment.at), moment.address.map(Into::into));
        let rights = Rights::new(&rule_list(conn, who.id, holding).await?, who.scopes());
        let two = [ACTIONS[random.random_range(0..ACTIONS.len())], ACTIONS[0]];
        let sight = rights.sight(two.into_iter().collect());
        let group = world.random_group(random);
        for below in [None, Some(group)] {
            let expected: BTreeSet<CameraId> = world
                .cameras
                .iter()
                .filter(|camera| below.is_none_or(|group| world.is_below(camera, group)))
                .filter(|camera| {
                    let may = |action| reference::may(world, who, camera, action, moment);
                    two.into_iter().any(may)
                })
                .map(|camera| camera.id)
                .collect();
            let listed = pages(conn, &sight, below).await?;
            let context = format!("{context}: {who:?} {two:?} below {below:?}");
            assert!(listed.is_sorted(), "{context}");
            let distinct: BTreeSet<_> = listed.iter().copied().collect();
            assert_eq!(distinct.len(), listed.len(), "{context}");
            assert_eq!(distinct, expected, "{context}");
        }
        let ids: Vec<_> = world.cameras.iter().map(|camera| camera.id).collect();
        for access in camera_list_access(conn, &sight, &ids).await? {
            let camera = world.camera(access.id);
            let may = |action| reference::may(world, who, camera, action, moment);
            let expected: Actions = ACTIONS.into_iter().filter(|action| may(*action)).collect();
            let asked: Actions = ACTIONS.into_iter().collect();
            assert_eq!(access.actions.and(asked), expected, "{context}: {who:?}");
        }
    }
    Ok(())
}

/// All pages of a list, three cameras each.
async fn pages(
    conn: &mut PgConnection,
    sight: &Sight,
    below: Option<Uuid>,
) -> sqlx::Result<Vec<CameraId>> {
    let filter = CameraFilter {
        group: below.map(Into::into),
        ..CameraFilter::default()
    };
    let mut listed: Vec<CameraId> = Vec::new();
    loop {
        let after = listed.last().map(|id| id.uuid());
        let page = camera_list(conn, sight, SUSPECT, &filter, after, 3).await?;
        if page.is_empty() {
            return Ok(listed);
        }
        listed.extend(page.iter().map(|camera| camera.id));
    }
}
