//! Who is a node: certificates at join and after, and everybody who would like to be one.

use headworks_client::{Client, NodeCredentials};
use headworks_types::{JoinTokenCreate, ProblemCode, Secret, edge::node_name};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sqlx::PgPool;

use crate::edge_cluster::{
    Cluster, Edge, certificate_request, credentials, gate, join_request, new_key, spec,
};

const REFUSED: Option<ProblemCode> = Some(ProblemCode::Unauthenticated);

/// What the cluster says to everything that a node may ask; all the same.
async fn asks(client: &Client, edge: &Edge) -> Result<(), headworks_client::Error> {
    let announced = client.node_announce(&spec("edge-1")).await;
    let renewed = client.lease_renew(&edge.renewal(false)).await.map(drop);
    let watched = client.watch(0, None).await.map(drop);
    assert_eq!(announced.is_ok(), renewed.is_ok());
    assert_eq!(announced.is_ok(), watched.is_ok());
    announced
}

/// Somebody else's authority, and a certificate of it for the same node.
fn forged(edge: &Edge) -> NodeCredentials {
    let key = new_key();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(params, new_key());
    let params = CertificateParams::new(vec![node_name(edge.id)]).expect("is a name");
    let certificate = params.signed_by(&key, &issuer).expect("signs");
    NodeCredentials {
        certificate: certificate.pem(),
        key: Secret::new(key.serialize_pem()),
        // It trusts the real controllers.
        authority: edge.credentials.authority.clone(),
    }
}

async fn events(pool: &PgPool, kind: &str) -> i64 {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM event WHERE kind = $1"#,
        kind
    );
    count.fetch_one(pool).await.expect("counts")
}

#[sqlx::test(migrations = "../../migrations")]
async fn only_a_certificate_of_ours_is_a_node(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let nobody = cluster.joining(&cluster.join_token().await);
    let refused = asks(&nobody, &edge).await.expect_err("shows nothing");
    assert_eq!(refused.code(), REFUSED, "{refused}");
    let forged = cluster.as_node(&forged(&edge));
    let refused = asks(&forged, &edge).await.expect_err("is a stranger's");
    assert_eq!(refused.code(), None, "not even a handshake: {refused}");
    // The certificate without its key.
    let stolen = NodeCredentials {
        key: Secret::new(new_key().serialize_pem()),
        ..edge.credentials.clone()
    };
    assert!(Client::for_node(cluster.edge_base.clone(), &stolen).is_err());
    asks(&edge.client, &edge).await.expect("is the node");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn everybodys_api_asks_for_no_certificate_and_edges_api_takes_no_key(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let refused = edge.client.node_list().await.expect_err("is not there");
    assert_eq!(refused.code(), Some(ProblemCode::NotFound), "{refused}");
    let there = cluster.admin.lease_renew(&edge.renewal(false)).await;
    let refused = there.expect_err("is not there");
    assert_eq!(refused.code(), Some(ProblemCode::NotFound), "{refused}");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_join_token_is_used_once_also_when_the_answer_is_lost(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let token = cluster.join_token().await;
    let (client, key) = (cluster.joining(&token), new_key());
    let first = client
        .node_join(&join_request(&token, "edge-1", &key))
        .await;
    let first = first.expect("joins");
    let again = client
        .node_join(&join_request(&token, "edge-1", &key))
        .await;
    let again = again.expect("is the same edge");
    assert_eq!(again.node_id, first.node_id);
    // The first answer was lost: its certificate is worth nothing.
    let lost = cluster.as_node(&credentials(&key, first.certificate));
    assert_eq!(
        lost.node_announce(&spec("edge-1"))
            .await
            .expect_err("is old")
            .code(),
        REFUSED
    );
    let node = cluster.as_node(&credentials(&key, again.certificate));
    node.node_announce(&spec("edge-1"))
        .await
        .expect("is the node");

    for (name, key) in [("edge-2", &new_key()), ("edge-1", &key)] {
        let thief = client.node_join(&join_request(&token, name, key)).await;
        let refused = thief.expect_err("was used");
        assert_eq!(refused.code(), REFUSED, "{refused}");
        assert!(refused.to_string().contains("used already"), "{refused}");
    }
    assert_eq!(events(&pool, "node.joined").await, 1);
    let nodes = cluster.admin.node_list().await.expect("lists").items;
    assert_eq!(nodes.len(), 1);
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_join_token_may_be_for_many(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let body = JoinTokenCreate {
        name: "rack".to_owned(),
        expires_in_seconds: 60,
        max_uses: 2,
    };
    let token = cluster
        .admin
        .join_token_create(&body)
        .await
        .expect("creates");
    let token = token.secret;
    let client = cluster.joining(&token);
    let join = async |name| {
        client
            .node_join(&join_request(&token, name, &new_key()))
            .await
    };
    let joined = futures::join!(join("a"), join("b"), join("c"));
    let joined = [joined.0, joined.1, joined.2];
    assert_eq!(joined.iter().filter(|joined| joined.is_ok()).count(), 2);
    let tokens = cluster.admin.join_token_list().await.expect("lists").items;
    assert_eq!((tokens[0].uses, tokens[0].max_uses), (2, 2));
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_edge_joins_only_the_cluster_of_its_token(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let token = cluster.join_token().await;
    let (secret, _) = token.expose().split_once('.').expect("has a fingerprint");
    // The token of another cluster: as if somebody stood between.
    let other = Secret::new(format!("{secret}.{}", "A".repeat(43)));
    let refused = cluster
        .joining(&other)
        .node_join(&join_request(&token, "edge-1", &new_key()))
        .await
        .expect_err("is another authority");
    assert_eq!(refused.code(), None, "{refused}");
    let uses = cluster.admin.join_token_list().await.expect("lists").items;
    assert_eq!(uses[0].uses, 0, "the token was not even sent");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_certificate_is_renewed_and_a_copy_of_the_node_is_noticed(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let renew = async |client: &Client, key: &KeyPair| {
        let given = client.certificate_renew(&certificate_request(key)).await;
        given.map(|given| cluster.as_node(&credentials(key, given)))
    };
    let key = new_key();
    let lost = renew(&edge.client, &key).await.expect("renews");
    let newest = renew(&edge.client, &key).await.expect("asks again");
    let refused = lost.node_announce(&spec("edge-1")).await;
    assert_eq!(refused.expect_err("was replaced").code(), REFUSED);
    edge.client
        .node_announce(&spec("edge-1"))
        .await
        .expect("still counts");
    let copy = renew(&edge.client, &new_key()).await;
    let refused = copy.expect_err("has another key");
    assert!(refused.to_string().contains("copy"), "{refused}");
    assert_eq!(events(&pool, "node.cloned").await, 1);

    newest
        .node_announce(&spec("edge-1"))
        .await
        .expect("is used");
    let twice = renew(&newest, &new_key()).await.expect("renews");
    twice.node_announce(&spec("edge-1")).await.expect("is used");
    newest
        .node_announce(&spec("edge-1"))
        .await
        .expect("is under way");
    sqlx::query!("UPDATE node SET certificate_used_at = clock_timestamp() - interval '61 s'")
        .execute(&pool)
        .await
        .expect("time passes");
    let replica = cluster.replica(&pool).await;
    let refused = renew(&newest, &new_key()).await.expect_err("is a copy");
    assert!(refused.to_string().contains("copy"), "{refused}");
    assert_eq!(events(&pool, "node.cloned").await, 2);
    replica.stop().await;
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_expired_certificate_can_only_be_renewed_and_not_for_ever(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let edge = cluster.join("edge-1").await;
    let expire = async |days: i32| {
        sqlx::query!(
            "UPDATE node
             SET certificate_expires_at = clock_timestamp() - make_interval(days => $1)",
            days
        )
        .execute(&pool)
        .await
        .expect("time passes");
    };
    expire(31).await;
    let refused = asks(&edge.client, &edge).await.expect_err("has expired");
    assert_eq!(refused.code(), REFUSED, "{refused}");
    let key = new_key();
    let request = certificate_request(&key);
    let refused = edge.client.certificate_renew(&request).await;
    assert_eq!(refused.expect_err("is too old").code(), REFUSED);
    expire(29).await;
    let refused = asks(&edge.client, &edge).await.expect_err("has expired");
    assert_eq!(refused.code(), Some(ProblemCode::Forbidden), "{refused}");
    let given = edge
        .client
        .certificate_renew(&request)
        .await
        .expect("renews");
    let renewed = cluster.as_node(&credentials(&key, given));
    asks(&renewed, &edge).await.expect("is the node again");
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_revoked_node_is_out_at_once_and_its_watch_ends(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let (edge, _alive) = cluster.living_edge("edge-1").await;
    cluster.camera(gate()).await;
    let watch = edge.watch(0).await;
    let node = cluster.admin.node_revoke(edge.id).await.expect("revokes");
    assert!(node.revoked_at.is_some());
    let again = cluster.admin.node_revoke(edge.id).await.expect("is done");
    assert_eq!(again.revoked_at, node.revoked_at);
    watch.rest().await;
    let refused = asks(&edge.client, &edge).await.expect_err("is revoked");
    assert_eq!(refused.code(), REFUSED, "{refused}");
    let request = certificate_request(&new_key());
    let refused = edge.client.certificate_renew(&request).await;
    assert_eq!(refused.expect_err("is revoked").code(), REFUSED);
    assert_eq!(events(&pool, "node.revoked").await, 1);
    cluster.stop().await;
}
