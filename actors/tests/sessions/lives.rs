//! How sessions are opened, found, shown, closed and forgotten: one suite over both stores.

use std::time::Duration;

use gom_actors::sessions::{NewSession, SessionId, SessionOptions, Sessions};
use gom_runtime::clock::ManualClock;
use gom_test_support::eventually;

use crate::{Kind, Place, connected, everywhere, login};

everywhere!(
    what_was_opened_is_found_as_it_was,
    an_unknown_id_has_no_session,
    a_new_login_gets_a_new_id_and_the_old_one_is_invalid,
    what_one_node_closes_is_closed_on_another_at_once,
    whether_each_of_many_sessions_lives_is_answered_in_order,
    all_sessions_of_a_subject_are_listed_and_closed,
    one_of_them_is_closed_by_its_handle,
    an_unused_session_ends_and_a_used_one_stays,
    no_session_outlives_its_absolute_lifetime,
    a_session_is_listed_with_when_it_was_seen,
    strange_values_are_kept,
    many_at_once,
    a_subject_keeps_its_newest_sessions,
    a_session_in_use_outlives_those_that_nobody_has_used_for_minutes,
    a_clock_that_is_ahead_ends_no_sessions_of_other_nodes,
);

async fn what_was_opened_is_found_as_it_was(kind: Kind) {
    let place = Place::of(kind).await;
    let id = place.sessions.open(login("auth0|1"), None).await.unwrap();
    assert_eq!(id.as_str().len(), 32, "192 bits");
    let found = place.sessions.resume(&id).await.unwrap().unwrap();
    assert_eq!(found.subject, "auth0|1");
    assert_eq!(found.provider, "accounts");
    assert_eq!(found.signature, "first-signature");
    assert_eq!(
        found.refresh_token.as_ref().unwrap().expose(),
        "first-refresh-token"
    );
    assert_eq!(found.previous, None);
    assert!(found.opened.elapsed().unwrap() < Duration::from_secs(10));
    assert_eq!(
        found,
        place.another().await.resume(&id).await.unwrap().unwrap()
    );
    assert!(!format!("{found:?}").contains("first-refresh-token"));
    assert!(!format!("{id:?}").contains(&id.as_str()[7..]));

    let customer = NewSession {
        refresh_token: None,
        ..login("bp")
    };
    let id = place.sessions.open(customer, None).await.unwrap();
    assert_eq!(
        place
            .sessions
            .resume(&id)
            .await
            .unwrap()
            .unwrap()
            .refresh_token,
        None
    );
}

async fn an_unknown_id_has_no_session(kind: Kind) {
    let place = Place::of(kind).await;
    place.sessions.open(login("a"), None).await.unwrap();
    assert_eq!(
        place.sessions.resume(&SessionId::new()).await.unwrap(),
        None
    );
    place.sessions.close(&SessionId::new()).await.unwrap();
    assert_eq!(SessionId::parse("too-short"), None);
    assert_eq!(SessionId::parse(&"x".repeat(129)), None);
    assert_eq!(SessionId::parse("0123456789abcdef:"), None);
    assert!(SessionId::parse("0123456789abcdef").is_some());
}

async fn a_new_login_gets_a_new_id_and_the_old_one_is_invalid(kind: Kind) {
    let place = Place::of(kind).await;
    let old = place.sessions.open(login("a"), None).await.unwrap();
    let new = place
        .sessions
        .open(login("a"), Some(old.clone()))
        .await
        .unwrap();
    assert_ne!(old, new);
    assert_eq!(place.sessions.resume(&old).await.unwrap(), None);
    assert!(place.sessions.resume(&new).await.unwrap().is_some());
    assert_eq!(place.sessions.list("a").await.unwrap().len(), 1);
    // An id that somebody planted in a browser is not taken over, and an unknown one does not matter.
    let planted = SessionId::parse("planted-by-somebody-else").unwrap();
    let new = place
        .sessions
        .open(login("b"), Some(planted.clone()))
        .await
        .unwrap();
    assert_ne!(new, planted);
    assert_eq!(place.sessions.resume(&planted).await.unwrap(), None);
}

async fn what_one_node_closes_is_closed_on_another_at_once(kind: Kind) {
    let place = Place::of(kind).await;
    let another = place.another().await;
    for _ in 0..20 {
        let id = place.sessions.open(login("a"), None).await.unwrap();
        assert!(another.resume(&id).await.unwrap().is_some());
        place.sessions.close(&id).await.unwrap();
        assert_eq!(another.resume(&id).await.unwrap(), None);
        assert_eq!(place.sessions.resume(&id).await.unwrap(), None);
    }
    assert!(another.list("a").await.unwrap().is_empty());
}

async fn whether_each_of_many_sessions_lives_is_answered_in_order(kind: Kind) {
    let place = Place::with(kind, |options| options.per_subject = 1_000).await;
    let mut ids = Vec::new();
    // More than are asked for in one go.
    for _ in 0..600 {
        ids.push(place.sessions.open(login("a"), None).await.unwrap());
    }
    for id in ids.iter().step_by(3) {
        place.sessions.close(id).await.unwrap();
    }
    ids.push(SessionId::parse("nobody-has-opened-this").unwrap());
    let living = place.sessions.living(&ids).await.unwrap();
    let expected: Vec<bool> = (0..=600).map(|i| i % 3 != 0).collect();
    assert_eq!(living, expected);
    assert_eq!(place.sessions.living(&[]).await, Ok(Vec::new()));
}

async fn all_sessions_of_a_subject_are_listed_and_closed(kind: Kind) {
    let place = Place::of(kind).await;
    let another = place.another().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(place.sessions.open(login("a"), None).await.unwrap());
    }
    let other = place.sessions.open(login("b"), None).await.unwrap();
    place.sessions.close(&ids[0]).await.unwrap();
    let listed = another.list("a").await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(
        listed
            .iter()
            .all(|summary| summary.handle.len() == 16 && summary.provider == "accounts")
    );
    assert!(!format!("{listed:?}").contains(ids[1].as_str()));
    assert_eq!(another.close_all("a").await.unwrap(), 2);
    assert_eq!(another.close_all("a").await.unwrap(), 0);
    for id in &ids {
        assert_eq!(place.sessions.resume(id).await.unwrap(), None);
    }
    assert!(place.sessions.resume(&other).await.unwrap().is_some());
    assert!(place.sessions.list("nobody").await.unwrap().is_empty());
}

async fn one_of_them_is_closed_by_its_handle(kind: Kind) {
    let place = Place::of(kind).await;
    let first = place.sessions.open(login("a"), None).await.unwrap();
    let handle = place.sessions.list("a").await.unwrap()[0].handle.clone();
    let second = place.sessions.open(login("a"), None).await.unwrap();
    assert!(
        !place.sessions.close_by_handle("b", &handle).await.unwrap(),
        "not that subject's"
    );
    assert!(place.sessions.close_by_handle("a", &handle).await.unwrap());
    assert!(
        !place.sessions.close_by_handle("a", &handle).await.unwrap(),
        "closed already"
    );
    assert_eq!(place.sessions.resume(&first).await.unwrap(), None);
    assert!(place.sessions.resume(&second).await.unwrap().is_some());
}

async fn an_unused_session_ends_and_a_used_one_stays(kind: Kind) {
    let minute = Duration::from_secs(60);
    let place = Place::with(kind, |options| options.idle = 10 * minute).await;
    let unused = place.sessions.open(login("a"), None).await.unwrap();
    let used = place.sessions.open(login("a"), None).await.unwrap();
    for _ in 0..3 {
        place.advance(4 * minute);
        let before = place.sessions.list("a").await.unwrap();
        assert!(place.sessions.resume(&used).await.unwrap().is_some());
        eventually("its use is recorded", async || {
            place.sessions.list("a").await.unwrap() != before
        })
        .await;
    }
    assert_eq!(place.sessions.resume(&unused).await.unwrap(), None);
    assert_eq!(place.sessions.list("a").await.unwrap().len(), 1);
}

async fn no_session_outlives_its_absolute_lifetime(kind: Kind) {
    let place = Place::with(kind, |options| {
        options.idle = Duration::from_secs(7 * 24 * 3600)
    })
    .await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    place.time.advance(Duration::from_secs(23 * 3600));
    assert!(place.sessions.resume(&id).await.unwrap().is_some());
    place.time.advance(Duration::from_secs(3600));
    assert_eq!(place.sessions.resume(&id).await.unwrap(), None);
    assert!(place.sessions.list("a").await.unwrap().is_empty());
}

async fn a_session_is_listed_with_when_it_was_seen(kind: Kind) {
    let place = Place::of(kind).await;
    let first = place.sessions.open(login("a"), None).await.unwrap();
    place.time.advance(Duration::from_secs(60));
    place.sessions.open(login("a"), None).await.unwrap();
    let handles = async || -> Vec<String> {
        place
            .sessions
            .list("a")
            .await
            .unwrap()
            .into_iter()
            .map(|summary| summary.handle)
            .collect()
    };
    let before = handles().await;
    place.time.advance(Duration::from_secs(60));
    place.sessions.resume(&first).await.unwrap().unwrap();
    eventually("its use is recorded", async || handles().await != before).await;
    let listed = place.sessions.list("a").await.unwrap();
    assert_eq!(listed[0].handle, before[1], "seen last comes first");
    assert!(
        listed[0]
            .last_seen
            .duration_since(listed[0].opened)
            .unwrap()
            >= Duration::from_secs(119)
    );
    assert_eq!(listed[1].last_seen, listed[1].opened);
}

async fn strange_values_are_kept(kind: Kind) {
    let place = Place::of(kind).await;
    let subject = "auth0|\"ñ🌮\\'; -- %";
    let session = NewSession {
        provider: "phone\u{1}".to_owned(),
        signature: String::new(),
        ..login(subject)
    };
    let id = place.sessions.open(session, None).await.unwrap();
    let found = place.sessions.resume(&id).await.unwrap().unwrap();
    assert_eq!(
        (found.subject.as_str(), found.signature.as_str()),
        (subject, "")
    );
    assert_eq!(found.provider, "phone\u{1}");
    assert_eq!(place.sessions.close_all(subject).await.unwrap(), 1);
}

async fn many_at_once(kind: Kind) {
    let place = Place::of(kind).await;
    let opened = (0..500).map(|number| {
        place
            .sessions
            .open(login(&format!("user {}", number % 50)), None)
    });
    let ids = futures::future::join_all(opened).await;
    let found = futures::future::join_all(ids.iter().map(|id| async {
        place
            .sessions
            .resume(id.as_ref().unwrap())
            .await
            .unwrap()
            .unwrap()
    }));
    for (number, found) in found.await.into_iter().enumerate() {
        assert_eq!(found.subject, format!("user {}", number % 50));
    }
    assert_eq!(place.sessions.list("user 7").await.unwrap().len(), 10);
}

async fn a_subject_keeps_its_newest_sessions(kind: Kind) {
    let place = Place::with(kind, |options| options.per_subject = 3).await;
    let other = place.sessions.open(login("other"), None).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(place.sessions.open(login("a"), None).await.unwrap());
        place.time.advance(Duration::from_secs(60));
    }
    // The oldest is the one in use.
    let seen = async || {
        place
            .sessions
            .list("a")
            .await
            .unwrap()
            .last()
            .unwrap()
            .handle
            .clone()
    };
    let oldest = seen().await;
    place.sessions.resume(&ids[0]).await.unwrap().unwrap();
    eventually("its use is noted", async || seen().await != oldest).await;
    ids.push(place.sessions.open(login("a"), None).await.unwrap());
    let living = place.sessions.living(&ids).await.unwrap();
    assert_eq!(living, [true, false, true, true]);
    assert_eq!(place.sessions.list("a").await.unwrap().len(), 3);
    // One that takes the place of another costs none.
    let replacing = place
        .sessions
        .open(login("a"), Some(ids[3].clone()))
        .await
        .unwrap();
    assert_eq!(
        place.sessions.living(&ids).await.unwrap(),
        [true, false, true, false]
    );
    assert!(place.sessions.resume(&replacing).await.unwrap().is_some());
    assert!(
        place.sessions.resume(&other).await.unwrap().is_some(),
        "others are not concerned"
    );
}

async fn a_session_in_use_outlives_those_that_nobody_has_used_for_minutes(kind: Kind) {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let change = |options: &mut SessionOptions| {
        (options.per_subject, options.idle) = (3, minutes(60 * 24 * 30))
    };
    let place = Place::with(kind, change).await;
    let first_seen_last = async || {
        let listed = place.sessions.list("a").await.unwrap();
        listed
            .into_iter()
            .min_by_key(|one| one.opened)
            .map(|one| one.last_seen)
    };
    let in_use = place.sessions.open(login("a"), None).await.unwrap();
    place.sessions.resume(&in_use).await.unwrap().unwrap();
    let mut ids = vec![in_use.clone()];
    for _ in 0..2 {
        place.time.advance(minutes(10));
        ids.push(place.sessions.open(login("a"), None).await.unwrap());
    }
    place.time.advance(minutes(10));
    let before = first_seen_last().await;
    place.sessions.resume(&in_use).await.unwrap().unwrap();
    eventually("its use is noted", async || {
        first_seen_last().await > before
    })
    .await;
    place.sessions.open(login("a"), None).await.unwrap();
    assert_eq!(
        place.sessions.living(&ids).await.unwrap(),
        [true, false, true]
    );
}

async fn a_clock_that_is_ahead_ends_no_sessions_of_other_nodes(kind: Kind) {
    let place = Place::of(kind).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let ahead = ManualClock::new(place.options.clock.now() + Duration::from_secs(2 * 24 * 3600));
    let mut options = place.options.clone();
    options.clock = ahead.clock();
    // Starting sweeps, and a login looks through the subject's other sessions.
    let fast = connected(Sessions::start(options, &place.database).unwrap()).await;
    fast.open(login("a"), None).await.unwrap();
    // Not by using it, which would put it back among the subject's sessions.
    let ids = [id.clone()];
    assert_eq!(
        place.sessions.living(&ids).await.unwrap(),
        [true],
        "it lives for everybody else"
    );
    assert_eq!(
        place.sessions.close_all("a").await.unwrap(),
        2,
        "and is found where all are closed"
    );
    assert_eq!(place.sessions.resume(&id).await.unwrap(), None);
}

/// In the layout of connect-redis, for operators who read Redis.
#[actix::test]
async fn in_redis_a_session_is_a_json_text_that_ends_by_itself() {
    let place = Place::of(Kind::Redis).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let address = format!(
        "redis://127.0.0.1:{}/2",
        place.redis.as_ref().unwrap().port()
    );
    let client = ::redis::Client::open(address).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = format!("sess:{}", id.as_str());
    let text: String = ::redis::cmd("GET")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["subject"], "a");
    let left: i64 = ::redis::cmd("TTL")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert!(left > 3590 && left <= 3600, "{left}");

    // The original's sessions are nobody's here.
    let theirs = r#"{"cookie":{"originalMaxAge":3600000},"user":{"sub":"a"}}"#;
    ::redis::cmd("SET")
        .arg("sess:theirs-0123456789")
        .arg(theirs)
        .exec_async(&mut connection)
        .await
        .unwrap();
    let id = SessionId::parse("theirs-0123456789").unwrap();
    assert_eq!(place.sessions.resume(&id).await.unwrap(), None);
}

/// What has expired is removed from the table.
#[actix::test]
async fn postgresql_keeps_no_expired_sessions() {
    let place = Place::of(Kind::Postgres).await;
    let client = place.postgres.as_ref().unwrap().connect().await;
    let many = "INSERT INTO gom.session (id, subject, provider, signature, opened_at, seen_at, expires_at)
                SELECT 'expired-session-' || i, 's', 'p', '', now(), now(), now() - interval '1 second'
                FROM generate_series(1, 2500) AS i";
    client.execute(many, &[]).await.unwrap();
    let live = place.sessions.open(login("a"), None).await.unwrap();
    assert!(place.sessions.list("s").await.unwrap().is_empty());
    // Each start sweeps, what has expired by both clocks.
    place.time.advance(Duration::from_secs(60));
    let _sweeping = place.another().await;
    eventually("only the live session is left", async || {
        let rows = client
            .query("SELECT id FROM gom.session", &[])
            .await
            .unwrap();
        let ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        ids == [live.as_str()]
    })
    .await;
}
