//! Signing keys take turns, and what edges say decides when.

use futures::StreamExt as _;
use headworks_types::{
    SigningKey, SigningKeyState,
    edge::{RevocationKind, WatchMessage},
};
use serde_json::json;
use sqlx::PgPool;

use crate::{
    edge_cluster::{Cluster, eventually, new_node},
    harness::{Controller, camera, text},
};

async fn keys(cluster: &Cluster) -> Vec<SigningKey> {
    cluster.admin.signing_key_list().await.expect("lists").items
}

fn states(keys: &[SigningKey]) -> Vec<SigningKeyState> {
    keys.iter().map(|key| key.state).collect()
}

/// The pending key is old enough.
async fn age(pool: &PgPool) {
    sqlx::query!(
        "UPDATE signing_key SET created_at = created_at - interval '1 minute'
         WHERE state = 'pending'"
    )
    .execute(pool)
    .await
    .expect("time passes");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_new_key_signs_when_every_living_edge_knows_it(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let kids: Vec<_> = keys(&cluster)
        .await
        .into_iter()
        .map(|key| key.kid)
        .collect();
    let mut renewal = edge.renewal(false);
    renewal.signing_keys.clone_from(&kids);
    edge.client.lease_renew(&renewal).await.expect("renews");

    let pending = cluster.admin.signing_key_rotate().await.expect("rotates");
    assert_eq!(pending.state, SigningKeyState::Pending);
    assert!(pending.message.contains("edge-1"), "{}", pending.message);
    let again = cluster
        .admin
        .signing_key_rotate()
        .await
        .expect("is the same");
    assert_eq!(again.kid, pending.kid);
    age(&pool).await;
    let before = keys(&cluster).await;
    renewal.signing_keys.push(pending.kid.clone());
    edge.client.lease_renew(&renewal).await.expect("renews");
    eventually("the new key signs", async || {
        let now = keys(&cluster).await;
        let signs = now
            .iter()
            .find(|key| key.state == SigningKeyState::Active)?;
        (signs.kid == pending.kid).then_some(())
    })
    .await;
    let mut now = states(&keys(&cluster).await);
    now.sort_by_key(|state| state.as_str());
    assert_eq!(now, [SigningKeyState::Active, SigningKeyState::Retiring]);
    assert!(states(&before).contains(&SigningKeyState::Pending));
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_revoked_key_is_out_at_once_and_another_signs(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = &controller.admin;
    let camera = text(&api.post("/v1/cameras", camera("gate")).await.expect(201)["id"]);
    let jwks = async || {
        let jwks = api.get("/.well-known/jwks.json").await.expect(200);
        let keys = jwks["keys"].as_array().expect("is a list").clone();
        keys.iter().map(|key| text(&key["kid"])).collect::<Vec<_>>()
    };
    let first = jwks().await;
    let path = format!("/v1/signing_keys/{}:revoke", first[0]);
    let revoked = api.post(&path, json!({})).await.expect(200);
    assert_eq!(revoked["state"], "revoked");
    let second = jwks().await;
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    let again = api.post(&path, json!({})).await.expect(200);
    assert_eq!(again["revoked_at"], revoked["revoked_at"]);
    let (_, edge) = new_node(&controller, "edge-1").await;
    let mut told = edge.watch(0, None).await.expect("watches").boxed();
    let Some(Ok(WatchMessage::Bundle(bundle))) = told.next().await else {
        panic!("it begins with the bundle");
    };
    let ended = bundle.revocations.iter().any(|revocation| {
        revocation.kind == RevocationKind::Key
            && revocation.value == first[0]
            && revocation.ends_sessions
    });
    assert!(ended, "who watches by it is thrown out: {bundle:?}");
    drop(told);
    let body = json!({"camera_ids": [camera]});
    api.post("/v1/playback_tokens", body).await.expect(201);
    let unknown = api.post("/v1/signing_keys/AAAAAAAAAAAAAAAA:revoke", json!({}));
    assert_eq!(unknown.await.status, 404);
    let kept = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM signing_key
           WHERE state = 'revoked' AND private IS NOT NULL"#
    );
    assert_eq!(kept.fetch_one(&pool).await.expect("counts"), 0);
    controller.stop().await;
}
