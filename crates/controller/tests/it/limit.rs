//! How often somebody may ask.

use std::{net::SocketAddr, time::Duration};

use headworks_controller::RateLimitConfig;
use headworks_types::ProblemCode;
use sqlx::PgPool;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
};

use crate::harness::{Controller, config};

/// A controller that takes so little.
async fn limited(pool: &PgPool, rate_limit: RateLimitConfig) -> (Controller, Controller) {
    let first = Controller::start(pool).await;
    let key = first.service.admin_key().expect("has one");
    let mut config = config(pool);
    config.rate_limit = rate_limit;
    let second = Controller::start_with(pool, config, key.expose()).await;
    (first, second)
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_asks_too_often_is_told_when_to_come_back(pool: PgPool) {
    let (first, controller) = limited(
        &pool,
        RateLimitConfig {
            key_per_second: 1,
            key_burst: 3,
            ..RateLimitConfig::default()
        },
    )
    .await;
    for left in (0..3).rev() {
        let answer = controller.admin.get("/v1/cameras").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["ratelimit-policy"], "\"caller\";q=3;w=3");
        let standing = answer.headers["ratelimit"]
            .to_str()
            .expect("is text")
            .to_owned();
        let at_least = standing.starts_with(&format!("\"caller\";r={left};t="))
            || standing.starts_with(&format!("\"caller\";r={};t=", left + 1));
        assert!(at_least, "{standing}");
    }
    let mut refused = controller.admin.get("/v1/cameras").await;
    // A slow machine has given one back.
    while refused.status == 200 {
        refused = controller.admin.get("/v1/cameras").await;
    }
    assert_eq!(refused.headers["retry-after"], "1");
    refused.problem(ProblemCode::TooManyRequests);
    let other = first.key(&[]).await;
    assert_ne!(other.get("/v1/cameras").await.status, 429, "others go on");
    controller.stop().await;
    first.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_guesses_credentials_is_not_listened_to(pool: PgPool) {
    let (first, controller) = limited(
        &pool,
        RateLimitConfig {
            failures_per_minute: 1,
            failures_burst: 3,
            ..RateLimitConfig::default()
        },
    )
    .await;
    let wrong = controller.admin.with_key(Some("hwak_0_0"));
    for _ in 0..3 {
        let refused = wrong.get("/v1/cameras").await;
        refused.problem(ProblemCode::Unauthenticated);
    }
    let refused = wrong.get("/v1/cameras").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(ProblemCode::TooManyRequests);
    let same_address = controller.admin.get("/v1/cameras").await;
    assert_eq!(same_address.status, 200, "a right one is taken");
    let public = controller.anonymous().get("/.well-known/jwks.json").await;
    assert_ne!(public.status, 429, "what needs no credential goes on");
    let edge = controller.edges(Some(&wrong)).get("/edge/v1/watch").await;
    edge.problem(ProblemCode::Unauthenticated);
    controller.stop().await;
    first.stop().await;
}

/// A connection from an address that is nobody else's in the test.
async fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("makes one");
    socket.bind(([127, 0, 0, 9], 0).into()).expect("binds");
    socket.connect(to).await.expect("connects")
}

/// True if the other end closes; false if it waits for what is said.
async fn is_closed(connection: &mut TcpStream, wait: Duration) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(wait, connection.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_address_has_so_many_connections_at_each_listener(pool: PgPool) {
    let mut config = config(&pool);
    config.connections_per_address = 2;
    let controller = Controller::start_with(&pool, config, "hwak_0_0").await;
    let service = &controller.service;
    for listener in [service.local_addr(), service.edge_addr()] {
        let mut first = connect(listener).await;
        let mut second = connect(listener).await;
        let mut third = connect(listener).await;
        assert!(
            is_closed(&mut third, Duration::from_secs(10)).await,
            "{listener}"
        );
        let at_once = Duration::ZERO;
        assert!(!is_closed(&mut first, at_once).await, "{listener}");
        assert!(!is_closed(&mut second, at_once).await, "{listener}");
        // Its place is another's when it is left.
        drop(first);
        let mut later = connect(listener).await;
        while is_closed(&mut later, Duration::from_millis(200)).await {
            later = connect(listener).await;
        }
    }
    controller.stop().await;
}
