//! Guessing passwords is slow, and locks nobody out for ever.

use headworks_types::ProblemCode;
use serde_json::json;
use sqlx::PgPool;

use crate::harness::{Answer, Api, Controller, PASSWORD};

const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];
const THIRD: [u8; 4] = [127, 0, 0, 3];

async fn sign_in(api: &Api, email: &str, password: &str) -> Answer {
    let ask = json!({"email": email, "password": password});
    api.post("/v1/auth:sign_in", ask).await
}

/// As if everything that has failed had done so this often.
async fn failed(pool: &PgPool, times: i32) {
    sqlx::query!("UPDATE sign_in_throttle SET failures = $1", times)
        .execute(pool)
        .await
        .expect("counts");
}

/// As if everything had waited for long enough.
async fn waited(pool: &PgPool) {
    let update = "UPDATE sign_in_throttle SET blocked_until = clock_timestamp()";
    sqlx::raw_sql(update).execute(pool).await.expect("waits");
}

/// How many rows are counted, and their failures, the most first.
async fn counted(pool: &PgPool) -> Vec<i32> {
    sqlx::query_scalar!("SELECT failures FROM sign_in_throttle ORDER BY failures DESC")
        .fetch_all(pool)
        .await
        .expect("lists")
}

#[track_caller]
fn wait_of(answer: &Answer) -> u32 {
    answer.problem(ProblemCode::TooManyRequests);
    let wait = answer.headers["retry-after"].to_str().expect("is text");
    wait.parse().expect("is a number")
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_guesser_waits_longer_each_time(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous();
    controller.person("ann@example.com", &[]).await;
    assert_eq!(counted(&pool).await, [0], "who signs in is not counted");
    for _ in 0..5 {
        let answer = sign_in(&api, "ann@example.com", "wrong password").await;
        answer.problem(ProblemCode::Unauthenticated);
    }
    // Of the account from here, and of here. Not of the account: it has signed in from here.
    assert_eq!(counted(&pool).await, [5, 5]);
    failed(&pool, 14).await;
    let answer = sign_in(&api, "ann@example.com", "wrong password").await;
    answer.problem(ProblemCode::Unauthenticated);
    let wait = wait_of(&sign_in(&api, "ann@example.com", "wrong password").await);
    assert!((400..=512).contains(&wait), "{wait}");
    // The right password does not help, nor does another spelling; and it is not counted.
    wait_of(&sign_in(&api, "ANN@example.com", PASSWORD).await);
    assert_eq!(counted(&pool).await, [15, 15]);
    // Somebody else is not kept waiting, nor is the owner elsewhere.
    sign_in(&api, "bob@example.com", "wrong password")
        .await
        .problem(ProblemCode::Unauthenticated);
    let elsewhere = api.at_address(ELSEWHERE);
    sign_in(&elsewhere, "ann@example.com", PASSWORD)
        .await
        .expect(200);
    // But what failed here is not forgotten by that.
    sign_in(&api, "ann@example.com", PASSWORD)
        .await
        .problem(ProblemCode::TooManyRequests);
    waited(&pool).await;
    sign_in(&api, "ann@example.com", PASSWORD).await.expect(200);
    assert_eq!(
        counted(&pool).await,
        [16, 1, 1, 0],
        "here, and Bob, whoever that is"
    );
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_unknown_account_is_counted_as_a_known_one(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous();
    for email in ["nobody@example.com", "NOBODY@example.com"] {
        sign_in(&api, email, "wrong password")
            .await
            .problem(ProblemCode::Unauthenticated);
    }
    assert_eq!(counted(&pool).await, [2, 2, 2]);
    failed(&pool, 14).await;
    sign_in(&api, "nobody@example.com", "x")
        .await
        .problem(ProblemCode::Unauthenticated);
    wait_of(&sign_in(&api, "nobody@example.com", "x").await);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_password_for_many_accounts_is_stopped_by_address(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous().at_address(ELSEWHERE);
    sign_in(&api, "a@example.com", "wrong password")
        .await
        .problem(ProblemCode::Unauthenticated);
    failed(&pool, 40).await;
    waited(&pool).await;
    sign_in(&api, "b@example.com", "wrong password")
        .await
        .problem(ProblemCode::Unauthenticated);
    let wait = wait_of(&sign_in(&api, "c@example.com", "wrong password").await);
    assert!((800..=900).contains(&wait), "{wait}");
    let ann = controller.person("ann@example.com", &[]).await;
    ann.api.get("/v1/auth").await.expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn guessers_with_many_addresses_do_not_lock_the_owner_out(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let home = controller.anonymous();
    controller.person("ann@example.com", &[]).await;
    let guesser = home.at_address(ELSEWHERE);
    let wrong = sign_in(&guesser, "ann@example.com", "wrong password").await;
    wrong.problem(ProblemCode::Unauthenticated);
    failed(&pool, 1000).await;
    waited(&pool).await;
    let wrong = sign_in(&guesser, "ann@example.com", "wrong password").await;
    wrong.problem(ProblemCode::Unauthenticated);
    // A guesser at an address that has never failed waits too, but never for long.
    let third = home.at_address(THIRD);
    let wait = wait_of(&sign_in(&third, "ann@example.com", "wrong password").await);
    assert!((1..=30).contains(&wait), "{wait}");
    // The owner at home does not.
    sign_in(&home, "ann@example.com", PASSWORD)
        .await
        .expect(200);
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn many_guesses_at_once_are_not_taken_for_one(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let api = controller.anonymous();
    let guesses = (0..12).map(|_| sign_in(&api, "ann@example.com", "wrong password"));
    let answers = futures::future::join_all(guesses).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    let stopped = answers.iter().filter(|answer| answer.status == 429).count();
    assert_eq!(looked_at + stopped, 12);
    // Each one that was looked at is counted, and the sixth stops those behind it for a while.
    let counted = counted(&pool).await;
    assert_eq!(
        counted,
        vec![i32::try_from(looked_at).expect("is small"); 3]
    );
    controller.stop().await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_stolen_access_token_does_not_guess_the_password(pool: PgPool) {
    let controller = Controller::start(&pool).await;
    let ann = controller.person("ann@example.com", &[]).await;
    let guess = async || {
        let ask = json!({"password": "wrong password", "new_password": "another password"});
        ann.api.post("/v1/auth:change_password", ask).await
    };
    guess().await.problem(ProblemCode::Invalid);
    failed(&pool, 14).await;
    guess().await.problem(ProblemCode::Invalid);
    wait_of(&guess().await);
    controller.stop().await;
}
