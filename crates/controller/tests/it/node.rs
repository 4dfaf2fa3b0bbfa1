//! Nodes and join tokens as operators see them.

use headworks_types::{ApiKeyCreate, JoinTokenCreate, NodeId, NodeState, ProblemCode};
use sqlx::PgPool;
use uuid::Uuid;

use crate::edge_cluster::{Cluster, age_leases};

#[sqlx::test(migrations = "../../migrations")]
async fn nodes_are_listed_in_pages_and_viewed(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    for number in 0..3 {
        cluster.join(&format!("edge-{number}")).await;
    }
    let page = cluster.admin.node_list().limit(2).await.expect("lists");
    let names: Vec<_> = page.items.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["edge-0", "edge-1"]);
    let token = page.next_page_token.expect("there is more");
    let page = cluster
        .admin
        .node_list()
        .limit(2)
        .page_token(&token)
        .await
        .expect("lists");
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.next_page_token, None);
    let node = &page.items[0];
    let viewed = cluster.admin.node_view(node.id).await.expect("views");
    assert_eq!(viewed.name, "edge-2");
    assert_eq!(viewed.advertise.http.as_str(), "http://edge-2:8081/");

    let nobody = NodeId::from(Uuid::now_v7());
    let refused = cluster
        .admin
        .node_view(nobody)
        .await
        .expect_err("is not there");
    assert_eq!(refused.code(), Some(ProblemCode::NotFound));
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_silent_node_says_why_the_brake_keeps_it(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let mut nodes = Vec::new();
    for number in 0..4 {
        let edge = cluster.join(&format!("edge-{number}")).await;
        edge.renew(false).await;
        nodes.push(edge.id);
    }
    age_leases(&pool).await;
    let node = cluster.admin.node_view(nodes[0]).await.expect("views");
    assert_eq!(node.state, NodeState::Suspect);
    assert_eq!(
        node.message,
        "has not reported for 3 min; not declared dead, because 4 of 4 nodes went silent within a \
         minute and at most 3 may be declared dead in that time"
    );
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn nodes_and_join_tokens_need_the_right(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let node = cluster.join("edge-1").await;
    let body = ApiKeyCreate {
        name: "powerless".to_owned(),
        scopes: None,
        project_id: None,
        expires_at: None,
    };
    let key = cluster.admin.api_key_create(&body).await.expect("creates");
    let powerless = cluster.anonymous().with_credential(key.secret);
    let body = JoinTokenCreate {
        name: "mine".to_owned(),
        expires_in_seconds: 60,
        max_uses: 1,
    };
    let tokens = cluster.admin.join_token_list().await.expect("lists");
    let token = tokens.items[0].id;
    let refused = [
        powerless.node_list().await.err(),
        powerless.node_view(node.id).await.err(),
        powerless.join_token_list().await.err(),
        powerless.join_token_create(&body).await.err(),
        powerless.join_token_revoke(token).await.err(),
    ];
    for refused in refused {
        let code = refused.and_then(|error| error.code());
        assert_eq!(code, Some(ProblemCode::Forbidden));
    }
    cluster.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn join_tokens_are_listed_without_their_secrets_and_revoked_once(pool: PgPool) {
    let cluster = Cluster::start(&pool).await;
    let body = JoinTokenCreate {
        name: "rack 7".to_owned(),
        expires_in_seconds: 60,
        max_uses: 1,
    };
    let created = cluster
        .admin
        .join_token_create(&body)
        .idempotency_key("once")
        .await
        .expect("creates");
    let again = cluster
        .admin
        .join_token_create(&body)
        .idempotency_key("once")
        .await
        .expect("is the same");
    assert_eq!(again, created);
    let lifetime = created.join_token.expires_at - created.join_token.created_at;
    assert_eq!(lifetime, chrono::TimeDelta::seconds(60));
    let listed = cluster.admin.join_token_list().await.expect("lists").items;
    assert_eq!(listed, std::slice::from_ref(&created.join_token));

    let id = created.join_token.id;
    let revoked = cluster.admin.join_token_revoke(id).await.expect("revokes");
    let twice = cluster
        .admin
        .join_token_revoke(id)
        .await
        .expect("is revoked");
    assert_eq!(twice, revoked);

    for seconds in [59, 2_592_001] {
        let body = JoinTokenCreate {
            name: "bad".to_owned(),
            expires_in_seconds: seconds,
            max_uses: 1,
        };
        let refused = cluster
            .admin
            .join_token_create(&body)
            .await
            .expect_err("is refused");
        assert_eq!(refused.code(), Some(ProblemCode::Invalid));
    }
    cluster.stop().await;
}
