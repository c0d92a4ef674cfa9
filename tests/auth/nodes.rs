//! Several servers on the same stores, and stores that do not answer.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{
    PASSWORD, USERNAME, assert_in, assert_out, knock, seller, shops,
};

#[actix_web::test]
async fn a_session_is_valid_and_closed_on_every_node() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let first = shops(&place, &[]).await;
        let second = place.serve(&[]).await;
        let mut here = seller(&first).await;
        let mut there = here.at(&second);
        assert_in(&mut there).await;
        assert_eq!(here.log_out().await.status, StatusCode::NO_CONTENT);
        assert_out(&mut there).await;
    }
}

#[actix_web::test]
async fn while_redis_is_unavailable_no_session_ends() {
    let place = Place::new(Stores::Redis).await;
    let app = shops(&place, &[]).await;
    let mut browser = seller(&app).await;
    let redis = place.redis.as_ref().unwrap();
    redis.freeze();
    let asked = Instant::now();
    let reply = knock(&mut browser).await;
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(reply.refusal(), (503, "Service Unavailable"));
    assert_eq!(reply.header("retry-after"), "1");
    assert!(browser.jar.contains_key("session-token"));
    let mut other = app.browser();
    let reply = other.by_password(USERNAME, PASSWORD).await;
    assert_eq!(
        reply.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        reply.body
    );
    assert!(!reply.header("retry-after").is_empty());

    // The browser's cookies are dropped, and the session's id kept, to close it later.
    let mut leaving = browser.clone();
    let reply = leaving.log_out().await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(leaving.cookies_of_sessions(), ["session-id"]);

    redis.thaw();
    let deadline = Instant::now() + Duration::from_secs(10);
    while knock(&mut browser).await.status != StatusCode::OK {
        assert!(Instant::now() < deadline, "sessions come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Look-ups have connections of their own, which may be back before the one that closes.
    while leaving.log_out().await.status != StatusCode::NO_CONTENT {
        assert!(Instant::now() < deadline, "sessions can be closed again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_out(&mut browser).await;
}
