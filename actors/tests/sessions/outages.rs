//! The store goes away. Every call says so in time, nobody is logged out, and all is well when it is back.

use std::time::Duration;

use gom_actors::database::DatabaseOptions;
use gom_actors::migrations::migrate_system;
use gom_actors::redis::{RedisOptions, RedisOptionsError};
use gom_actors::sessions::{SessionError, SessionId, SessionOptions, SessionStoreChoice, Sessions};
use gom_telemetry::health::Condition;
use gom_test_support::{TestCluster, TestRedis, eventually};
use tokio::time::Instant;

use crate::issuer::Issuer;
use crate::{Kind, Place, connected, login, started};

/// What each call is promised is 550 ms; the rest is the time in which a busy machine does not run us.
const PROMISE: Duration = Duration::from_secs(2);

/// Every call is refused as unavailable, in time.
async fn refuses_everything(sessions: &Sessions, id: &SessionId) {
    let refusal = |answer: Result<(), SessionError>, began: Instant, what: &str| {
        assert!(
            matches!(answer, Err(SessionError::Unavailable { .. })),
            "{what}: {answer:?}"
        );
        assert!(
            began.elapsed() < PROMISE,
            "{what}: after {:?}",
            began.elapsed()
        );
    };
    let issuer = Issuer::default();
    let now = Instant::now;
    let began = now();
    refusal(sessions.resume(id).await.map(drop), began, "resume");
    let began = now();
    refusal(
        sessions.open(login("b"), None).await.map(drop),
        began,
        "open",
    );
    let began = now();
    refusal(sessions.close(id).await, began, "close");
    let began = now();
    refusal(sessions.close_all("b").await.map(drop), began, "close all");
    let began = now();
    refusal(sessions.list("a").await.map(drop), began, "list");
    let began = now();
    refusal(
        issuer
            .refresh(sessions, id, "first-signature")
            .await
            .map(drop),
        began,
        "refresh",
    );
    let began = now();
    for answer in futures::future::join_all((0..500).map(|_| sessions.resume(id))).await {
        refusal(answer.map(drop), began, "one of 500");
    }
    assert_eq!(issuer.asked(), 0);
}

async fn serves_again(sessions: &Sessions, id: &SessionId) {
    eventually("sessions are served again", async || {
        let found = sessions.resume(id).await;
        assert!(!matches!(found, Ok(None)), "logged out");
        found.is_ok()
    })
    .await;
}

#[actix::test]
async fn with_redis_killed_requests_are_refused_in_time_and_no_session_ends() {
    let mut place = Place::of(Kind::Redis).await;
    let mut redis = place.redis.take().unwrap();
    let id = place.sessions.open(login("a"), None).await.unwrap();
    for _ in 0..2 {
        redis.kill();
        refuses_everything(&place.sessions, &id).await;
        redis.restart();
        serves_again(&place.sessions, &id).await;
    }
}

#[actix::test]
async fn with_redis_frozen_requests_are_refused_in_time_and_no_session_ends() {
    let place = Place::of(Kind::Redis).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    for _ in 0..2 {
        let redis = place.redis.as_ref().unwrap();
        redis.freeze();
        // The close that the frozen server has been sent must not be carried out on this one.
        let other = SessionId::new();
        refuses_everything(&place.sessions, &other).await;
        redis.thaw();
        serves_again(&place.sessions, &id).await;
    }
}

/// A restart between two requests costs nobody anything: the second is sent again on a new connection.
#[actix::test]
async fn a_restart_between_two_requests_is_not_noticed() {
    let mut place = Place::of(Kind::Redis).await;
    let mut redis = place.redis.take().unwrap();
    let id = place.sessions.open(login("a"), None).await.unwrap();
    for _ in 0..5 {
        assert!(place.sessions.resume(&id).await.unwrap().is_some());
        redis.restart();
        let found = place.sessions.resume(&id).await;
        assert!(found.as_ref().is_ok_and(Option::is_some), "{found:?}");
    }
}

/// The issuer has taken the old refresh token; the store fails just when the new one is to be kept.
#[actix::test]
async fn a_rotated_token_is_kept_as_soon_as_the_store_is_back() {
    let mut place = Place::of(Kind::Redis).await;
    let mut redis = place.redis.take().unwrap();
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let issuer = Issuer::slow(1_000);
    let killing = async {
        issuer.is_asked().await;
        redis.kill();
    };
    let (refused, ()) = futures::join!(
        issuer.refresh(&place.sessions, &id, "first-signature"),
        killing
    );
    assert!(
        matches!(refused, Err(SessionError::Unavailable { .. })),
        "{refused:?}"
    );
    redis.restart();
    eventually("the renewed session is kept", async || {
        match place.sessions.resume(&id).await {
            Ok(Some(session)) if session.signature == "signature-1" => {
                let token = session.refresh_token.as_ref().unwrap();
                assert_eq!(token.expose(), "first-refresh-token+");
                true
            }
            _ => false,
        }
    })
    .await;
    let late = issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await
        .unwrap();
    assert_eq!(late.head, "head-1");
    assert_eq!(issuer.asked(), 1);
}

/// A server that was never there, and one whose packets go nowhere.
#[actix::test]
async fn without_redis_from_the_start_requests_are_refused_in_time() {
    let hour = Duration::from_secs(3600);
    for redis in [
        RedisOptions::new("127.0.0.1", 1),
        RedisOptions::new("192.0.2.254", 6379),
    ] {
        let options = SessionOptions::new(hour, hour, SessionStoreChoice::Redis(redis));
        let sessions = Sessions::start(options, &started(None)).unwrap();
        refuses_everything(&sessions, &SessionId::new()).await;
    }
    let redis = SessionStoreChoice::Redis(RedisOptions::new(" ", 6379));
    let refused = Sessions::start(SessionOptions::new(hour, hour, redis), &started(None));
    assert_eq!(refused.err(), Some(RedisOptionsError::NoHost));
}

#[actix::test]
async fn a_wrong_redis_password_is_reported() {
    let redis = TestRedis::start();
    let mut options = redis.options();
    options.password = Some(gom_actors::secret::SecretText::new("wrong"));
    assert!(!format!("{options:?}").contains("wrong"));
    let hour = Duration::from_secs(3600);
    let options = SessionOptions::new(hour, hour, SessionStoreChoice::Redis(options));
    let sessions = Sessions::start(options, &started(None)).unwrap();
    // Until Redis has been asked the reason is another.
    let refused_as_stranger = async || match sessions.resume(&SessionId::new()).await {
        Err(SessionError::Unavailable { reason }) => reason.to_lowercase().contains("auth"),
        other => panic!("{other:?}"),
    };
    eventually("the password is refused", refused_as_stranger).await;
}

#[actix::test]
async fn with_postgresql_frozen_or_killed_requests_are_refused_in_time_and_no_session_ends() {
    let cluster = TestCluster::own().await;
    let mut client = cluster.connect().await;
    migrate_system(&mut client).await.unwrap();
    drop(client);
    let database =
        gom_actors::database::Database::start(DatabaseOptions::new(cluster.config())).unwrap();
    let hour = Duration::from_secs(3600);
    let options = SessionOptions::new(hour, hour, SessionStoreChoice::Postgres);
    let sessions = connected(Sessions::start(options, &database).unwrap()).await;
    let id = sessions.open(login("a"), None).await.unwrap();
    cluster.freeze();
    refuses_everything(&sessions, &SessionId::new()).await;
    cluster.thaw();
    serves_again(&sessions, &id).await;
    let killed = cluster.kill();
    let answer = sessions.resume(&id).await;
    assert!(!matches!(answer, Ok(None)), "logged out");
    cluster.recovered(killed).await;
    serves_again(&sessions, &id).await;
}

/// A server that takes no writes answers all the same: anyone who looks must write.
#[actix::test]
async fn a_redis_that_is_full_or_read_only_is_not_ready_and_its_sessions_are_still_read() {
    let place = Place::of(Kind::Redis).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let address = format!("redis://127.0.0.1:{}", place.redis.as_ref().unwrap().port());
    let client = ::redis::Client::open(address).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let condition = || place.sessions.status().condition;
    for (broken, mended) in [
        (
            ["CONFIG", "SET", "maxmemory", "1"],
            ["CONFIG", "SET", "maxmemory", "0"],
        ),
        (
            ["REPLICAOF", "127.0.0.1", "1", ""],
            ["REPLICAOF", "NO", "ONE", ""],
        ),
    ] {
        for (words, expected) in [(broken, Condition::Down), (mended, Condition::Ready)] {
            let mut command = ::redis::cmd(words[0]);
            words[1..]
                .iter()
                .filter(|word| !word.is_empty())
                .for_each(|word| {
                    command.arg(*word);
                });
            command.exec_async(&mut connection).await.unwrap();
            eventually("the look has found it", async || condition() == expected).await;
            assert!(
                place.sessions.resume(&id).await.unwrap().is_some(),
                "{words:?}"
            );
        }
    }
    place.sessions.open(login("a"), None).await.unwrap();
}
