//! The store becomes unavailable. Every call is refused in time, and succeeds when the store is back.

use std::time::Duration;

use gom_actors::database::{Database, DatabaseOptions};
use gom_actors::migrations::migrate_system;
use gom_actors::push::{DeviceStoreChoice, Devices, DevicesError, DevicesOptions, OTHER_KEYS_KEPT};
use gom_actors::redis::{RedisOptions, RedisOptionsError};
use gom_test_support::TestCluster;
use tokio::time::Instant;

use crate::{Kind, Place, by, connected, device, listed, started};

/// What each call is promised is 550 ms; the rest is the time in which a busy machine does not run us.
const PROMISE: Duration = Duration::from_secs(2);

async fn refuses_everything(devices: &Devices) {
    let (one, users) = (device("other"), ["ana".to_owned()]);
    let endpoint = one.endpoint.as_str().to_owned();
    let answers = [
        timed(devices.subscribe(&by("ana"), &one)).await,
        timed(devices.unsubscribe(&one)).await,
        timed(devices.of_users(&users)).await,
        timed(devices.registered(std::slice::from_ref(&endpoint))).await,
        timed(devices.forget(&endpoint)).await,
    ];
    for (error, took) in answers {
        assert!(
            matches!(error, Some(DevicesError::Unavailable { .. })),
            "{error:?}"
        );
        assert!(took < PROMISE, "after {took:?}");
        assert!(
            !error.unwrap().to_string().contains("push.example"),
            "an endpoint is shown"
        );
    }
    // More than may wait are refused at once.
    let began = Instant::now();
    let crowd = futures::future::join_all((0..1_200).map(|_| devices.of_users(&users))).await;
    assert!(began.elapsed() < 2 * PROMISE, "after {:?}", began.elapsed());
    assert!(crowd.iter().all(Result::is_err));
}

async fn timed<T>(
    call: impl Future<Output = Result<T, DevicesError>>,
) -> (Option<DevicesError>, Duration) {
    let began = Instant::now();
    (call.await.err(), began.elapsed())
}

async fn serves_again(devices: &Devices) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = devices.of_users(&["ana".to_owned()]).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(listed(devices, &["ana"]).await, ["ana own"]);
}

#[actix::test]
async fn with_redis_killed_or_frozen_requests_are_refused_in_time_and_nothing_is_lost() {
    let mut place = Place::of(Kind::Redis).await;
    place
        .devices
        .subscribe(&by("ana"), &device("own"))
        .await
        .unwrap();
    let mut redis = place.redis.take().unwrap();
    redis.kill();
    refuses_everything(&place.devices).await;
    redis.restart();
    serves_again(&place.devices).await;
    redis.restart();
    assert_eq!(
        listed(&place.devices, &["ana"]).await,
        ["ana own"],
        "a restart is not noticed"
    );
    redis.freeze();
    let began = Instant::now();
    assert!(place.devices.of_users(&["ana".to_owned()]).await.is_err());
    assert!(began.elapsed() < PROMISE);
    redis.thaw();
    serves_again(&place.devices).await;
}

#[actix::test]
async fn without_redis_from_the_start_requests_are_refused_in_time() {
    let start = |redis| {
        let options = DevicesOptions {
            store: DeviceStoreChoice::Redis(redis),
            per_user: 20,
            vapid_key: None,
            other_keys_kept: OTHER_KEYS_KEPT,
            earlier_name: |_| None,
        };
        Devices::start(options, &started(None))
    };
    refuses_everything(&start(RedisOptions::new("127.0.0.1", 1)).unwrap()).await;
    assert_eq!(
        start(RedisOptions::new(" ", 6_379)).err(),
        Some(RedisOptionsError::NoHost)
    );
}

#[actix::test]
async fn with_postgresql_frozen_or_killed_requests_are_refused_in_time_and_nothing_is_lost() {
    let cluster = TestCluster::own().await;
    let mut client = cluster.connect().await;
    migrate_system(&mut client).await.unwrap();
    drop(client);
    let database = Database::start(DatabaseOptions::new(cluster.config())).unwrap();
    let options = DevicesOptions {
        store: DeviceStoreChoice::Postgres,
        per_user: 20,
        vapid_key: None,
        other_keys_kept: OTHER_KEYS_KEPT,
        earlier_name: |_| None,
    };
    let devices = connected(Devices::start(options, &database).unwrap()).await;
    devices.subscribe(&by("ana"), &device("own")).await.unwrap();
    cluster.freeze();
    let began = Instant::now();
    assert!(devices.of_users(&["ana".to_owned()]).await.is_err());
    assert!(began.elapsed() < PROMISE);
    cluster.thaw();
    serves_again(&devices).await;
    let killed = cluster.kill();
    // It may be back already: then it has what it had.
    let answer = devices.of_users(&["ana".to_owned()]).await;
    assert!(
        answer.as_ref().is_ok_and(|found| found.len() == 1) || answer.is_err(),
        "{answer:?}"
    );
    cluster.recovered(killed).await;
    serves_again(&devices).await;
}
