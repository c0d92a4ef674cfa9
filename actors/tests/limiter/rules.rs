//! One suite over all places where attempts can be counted.

use std::time::Duration;

use gom_actors::limiter::{LoginAttempt, Verdict};
use gom_test_support::eventually;

use crate::{Kind, Place, admitted, blocked, limit};

/// So that what is to be over is over.
const MOMENT: Duration = Duration::from_millis(20);

/// Each of the functions, as a test of each store.
macro_rules! everywhere {
    ($($name:ident),+ $(,)?) => {
        mod redis { $(#[actix::test] async fn $name() { super::$name(super::Kind::Redis).await; })+ }
        mod postgres { $(#[actix::test] async fn $name() { super::$name(super::Kind::Postgres).await; })+ }
        mod memory { $(#[actix::test] async fn $name() {
            tokio::time::pause();
            super::$name(super::Kind::Memory).await;
        })+ }
    };
}

everywhere!(
    exactly_the_points_pass_and_the_next_one_is_blocked,
    a_success_resets_the_user_and_refunds_the_address,
    a_blocked_user_costs_the_address_nothing,
    a_blocked_address_costs_the_user_nothing,
    addresses_and_users_are_counted_apart,
    a_window_starts_with_its_first_attempt_and_ends,
    a_block_is_not_made_longer_by_more_attempts,
    without_a_block_duration_the_block_ends_with_the_window,
    a_refund_after_the_end_makes_no_room,
    unusual_keys_are_counted,
    zero_points_admit_nobody,
    concurrent_successful_attempts_block_nobody,
    attempts_that_could_not_be_checked_are_refunded,
    an_account_waits_longer_the_more_networks_guess_at_it,
    a_device_that_has_logged_in_before_has_points_of_its_own,
    a_wider_network_has_a_multiple_of_the_points_and_no_more,
    successful_attempts_are_limited_too,
);

/// Else two servers that settle and reserve attempts of one person would wait for each other.
#[actix::test]
async fn attempts_are_settled_in_the_order_in_which_they_were_reserved() {
    let database = gom_test_support::TestDatabase::with_own_tables().await;
    let (holder, other) = (database.connect().await, database.connect().await);
    let counters = "INSERT INTO gom.login_limit (key, consumed, expires_at)
        VALUES ('person', 1, now() + interval '1 hour'), ('address', 1, now() + interval '1 hour')";
    holder.batch_execute(counters).await.unwrap();
    let last = "BEGIN; SELECT FROM gom.login_limit WHERE key = 'address' FOR UPDATE";
    holder.batch_execute(last).await.unwrap();
    let settler = database.connect().await;
    let settling = tokio::spawn(async move {
        settler
            .execute(
                "SELECT gom.settle_attempt('{person, address}', '{true, false}')",
                &[],
            )
            .await
    });
    // It has the first key when it waits for the second.
    let first = "SELECT FROM gom.login_limit WHERE key = 'person' FOR UPDATE NOWAIT";
    eventually("the first key is locked", async || {
        other.execute(first, &[]).await.is_err()
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    settling.await.unwrap().unwrap();
    let left = other
        .query_one("SELECT key, consumed FROM gom.login_limit", &[])
        .await
        .unwrap();
    assert_eq!(
        (left.get::<_, &str>(0), left.get::<_, i32>(1)),
        ("address", 0)
    );
}

/// As many as come to work at nine; each takes a moment to be checked.
async fn concurrent_successful_attempts_block_nobody(kind: Kind) {
    let place = Place::of(kind).await;
    let names: Vec<String> = (0..40).map(|number| format!("user{number}")).collect();
    let logins = names.iter().map(|name| async {
        let reservation = admitted(place.limiter.reserve(Some(name), "192.0.2.1").await);
        tokio::time::sleep(Duration::from_millis(30)).await;
        place.limiter.refund(reservation).await;
    });
    futures::future::join_all(logins).await;
    // Nothing has remained: all ten points of the address are there.
    for _ in 0..10 {
        admitted(place.limiter.reserve(None, "192.0.2.1").await);
    }
    blocked(place.limiter.reserve(None, "192.0.2.1").await);
    assert_eq!(place.limiter.fallback_attempts(), 0);
}

async fn attempts_that_could_not_be_checked_are_refunded(kind: Kind) {
    let place = Place::of(kind).await;
    drop(admitted(
        place.limiter.reserve(Some("ana"), "192.0.2.1").await,
    ));
    for _ in 0..20 {
        let reservation = admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
        place.limiter.cancel(reservation).await;
    }
    // The one that was wrong is still counted, unlike after a right one.
    for _ in 0..2 {
        admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    }
    blocked(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
}

/// An attempt at an account from a network of its own.
async fn guess(place: &Place, device: Option<&str>, number: u32) -> Verdict {
    let networks = [(format!("192.0.2.{number}"), 1)];
    let attempt = LoginAttempt {
        account: Some("ana"),
        device,
        networks: &networks,
        ..LoginAttempt::default()
    };
    place.limiter.admit(&attempt).await
}

async fn an_account_waits_longer_the_more_networks_guess_at_it(kind: Kind) {
    let place = Place::with(kind, |options| options.account = limit(3, 60_000, 0)).await;
    let (mut passed, mut waits) = (0, Vec::new());
    for number in 0..14 {
        match guess(&place, None, number).await {
            Verdict::Admitted(_) => passed += 1,
            other => {
                let wait = blocked(other);
                waits.push(wait);
                if wait > Duration::from_secs(120) {
                    break;
                }
                place.advance(wait + MOMENT).await;
            }
        }
    }
    // Three in a minute, and six in six of them.
    assert_eq!(passed, 6, "{waits:?}");
    assert!(
        waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits.len() >= 2,
        "{waits:?}"
    );
}

async fn a_device_that_has_logged_in_before_has_points_of_its_own(kind: Kind) {
    let place = Place::of(kind).await;
    for number in 0..10 {
        admitted(guess(&place, None, number).await);
    }
    blocked(guess(&place, None, 10).await);
    for _ in 0..3 {
        admitted(guess(&place, Some("phone"), 0).await);
    }
    blocked(guess(&place, Some("phone"), 0).await);
    let reservation = admitted(guess(&place, Some("tablet"), 0).await);
    place.limiter.refund(reservation).await;
}

async fn a_wider_network_has_a_multiple_of_the_points_and_no_more(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(2, 60_000, 60_000)).await;
    let mut passed = 0;
    for number in 0..20 {
        let networks = [
            (format!("2001:db8:0:{number}::/64"), 1),
            ("2001:db8::/56".to_owned(), 4),
        ];
        let attempt = LoginAttempt {
            networks: &networks,
            ..LoginAttempt::default()
        };
        passed += u32::from(matches!(
            place.limiter.admit(&attempt).await,
            Verdict::Admitted(_)
        ));
    }
    assert_eq!(passed, 8);
}

async fn successful_attempts_are_limited_too(kind: Kind) {
    let place = Place::of(kind).await;
    for _ in 0..5 {
        admitted(place.limiter.count_right("ana").await);
    }
    blocked(place.limiter.count_right("ana").await);
    admitted(place.limiter.count_right("ben").await);
}

async fn exactly_the_points_pass_and_the_next_one_is_blocked(kind: Kind) {
    let place = Place::of(kind).await;
    for _ in 0..3 {
        admitted(
            place
                .limiter
                .reserve(Some("ana_192.0.2.1"), "192.0.2.1")
                .await,
        );
    }
    let wait = blocked(
        place
            .limiter
            .reserve(Some("ana_192.0.2.1"), "192.0.2.1")
            .await,
    );
    assert!(
        wait <= Duration::from_secs(60) && wait > Duration::from_secs(55),
        "{wait:?}"
    );
    assert_eq!(place.limiter.fallback_attempts(), 0);
}

async fn a_success_resets_the_user_and_refunds_the_address(kind: Kind) {
    let place = Place::of(kind).await;
    // More successes than the address has points.
    for _ in 0..6 {
        let first = admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
        drop(first);
        let second = admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
        place.limiter.refund(second).await;
    }
    // Six failures are counted for the address, and none for the user.
    for _ in 0..3 {
        admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    }
    admitted(place.limiter.reserve(None, "192.0.2.1").await);
    blocked(place.limiter.reserve(None, "192.0.2.1").await);
}

async fn a_blocked_user_costs_the_address_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    for _ in 0..3 {
        admitted(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    }
    for _ in 0..20 {
        blocked(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    }
    for _ in 0..7 {
        admitted(place.limiter.reserve(None, "192.0.2.1").await);
    }
    blocked(place.limiter.reserve(None, "192.0.2.1").await);
}

async fn a_blocked_address_costs_the_user_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    for _ in 0..10 {
        admitted(place.limiter.reserve(None, "192.0.2.1").await);
    }
    for _ in 0..20 {
        blocked(place.limiter.reserve(Some("ana"), "192.0.2.1").await);
    }
    for _ in 0..3 {
        admitted(place.limiter.reserve(Some("ana"), "192.0.2.2").await);
    }
}

async fn addresses_and_users_are_counted_apart(kind: Kind) {
    let place = Place::of(kind).await;
    for user in ["ana", "bea", "eva"] {
        for _ in 0..3 {
            admitted(place.limiter.reserve(Some(user), "192.0.2.1").await);
        }
    }
    admitted(place.limiter.reserve(None, "192.0.2.1").await);
    blocked(place.limiter.reserve(None, "192.0.2.1").await);
    admitted(place.limiter.reserve(None, "192.0.2.2").await);
    // A user's name that is an address is no address.
    for _ in 0..3 {
        admitted(place.limiter.reserve(Some("192.0.2.2"), "192.0.2.3").await);
    }
}

async fn a_window_starts_with_its_first_attempt_and_ends(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(2, 20_000, 0)).await;
    admitted(place.limiter.reserve(None, "a").await);
    place.advance(Duration::from_secs(6)).await;
    admitted(place.limiter.reserve(None, "a").await);
    // The second attempt did not move the end.
    let wait = blocked(place.limiter.reserve(None, "a").await);
    assert!(wait <= Duration::from_secs(14), "{wait:?}");
    place.advance(wait + MOMENT).await;
    admitted(place.limiter.reserve(None, "a").await);
    admitted(place.limiter.reserve(None, "a").await);
    blocked(place.limiter.reserve(None, "a").await);
}

async fn a_block_is_not_made_longer_by_more_attempts(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(1, 60_000, 20_000)).await;
    admitted(place.limiter.reserve(None, "a").await);
    let wait = blocked(place.limiter.reserve(None, "a").await);
    assert!(
        wait <= Duration::from_secs(20) && wait > Duration::from_secs(10),
        "{wait:?}"
    );
    place.advance(Duration::from_secs(6)).await;
    let wait = blocked(place.limiter.reserve(None, "a").await);
    assert!(wait <= Duration::from_secs(14), "{wait:?}");
    place.advance(wait + MOMENT).await;
    // The block's end is the window's end.
    admitted(place.limiter.reserve(None, "a").await);
    blocked(place.limiter.reserve(None, "a").await);
}

async fn without_a_block_duration_the_block_ends_with_the_window(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(1, 30_000, 0)).await;
    admitted(place.limiter.reserve(None, "a").await);
    let wait = blocked(place.limiter.reserve(None, "a").await);
    assert!(
        wait <= Duration::from_secs(30) && wait > Duration::from_secs(25),
        "{wait:?}"
    );

    let place = Place::with(kind, |options| options.slow = limit(1, 0, 0)).await;
    admitted(place.limiter.reserve(None, "a").await);
    let wait = blocked(place.limiter.reserve(None, "a").await);
    assert!(
        wait > Duration::from_secs(99 * 365 * 24 * 3600),
        "a window without an end: {wait:?}"
    );
}

async fn a_refund_after_the_end_makes_no_room(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(2, 60_000, 0)).await;
    let early = admitted(place.limiter.reserve(None, "a").await);
    place.advance(Duration::from_secs(60) + MOMENT).await;
    place.limiter.refund(early).await;
    admitted(place.limiter.reserve(None, "a").await);
    admitted(place.limiter.reserve(None, "a").await);
    blocked(place.limiter.reserve(None, "a").await);
}

async fn unusual_keys_are_counted(kind: Kind) {
    let place = Place::of(kind).await;
    let long = "x".repeat(100_000);
    for key in ["", "a\0b", "ñandú 🌮\n", "';--", long.as_str()] {
        for _ in 0..3 {
            admitted(
                place
                    .limiter
                    .reserve(Some(key), &format!("for {key}"))
                    .await,
            );
        }
        blocked(
            place
                .limiter
                .reserve(Some(key), &format!("for {key}"))
                .await,
        );
    }
    assert_eq!(place.limiter.fallback_attempts(), 0);
}

async fn zero_points_admit_nobody(kind: Kind) {
    let place = Place::with(kind, |options| options.slow = limit(0, 60_000, 60_000)).await;
    blocked(place.limiter.reserve(Some("ana"), "a").await);
}

/// What has ended is removed from the table.
#[actix::test]
async fn postgresql_keeps_no_counters_that_have_ended() {
    let place = Place::with(Kind::Postgres, |options| options.slow = limit(1, 20_000, 0)).await;
    let client = place.postgres.as_ref().unwrap().connect().await;
    let many = "INSERT INTO gom.login_limit SELECT 'old:' || i, 1, now() - interval '1 second'
                FROM generate_series(1, 2500) AS i";
    client.execute(many, &[]).await.unwrap();
    admitted(place.limiter.reserve(Some("stays"), "goes").await);
    place.advance(Duration::from_secs(20) + MOMENT).await;
    // Each start sweeps.
    let _sweeping = place.another().await;
    eventually("only the counter whose window lasts is left", async || {
        let rows = client
            .query("SELECT key FROM gom.login_limit", &[])
            .await
            .unwrap();
        let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        keys == ["login_consecutive_fails:stays"]
    })
    .await;
}
