//! Refreshes that fail, come late, or end a session.

use std::time::Duration;

use futures::future::join_all;
use gom_actors::sessions::{NewSession, RefreshFailure, SessionError, SessionId};
use gom_test_support::eventually;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout};

use crate::issuer::Issuer;
use crate::refreshes::token_of;
use crate::{Kind, Place, everywhere, login};

everywhere!(
    a_stranger_s_token_is_refused_and_closes_nothing,
    a_rejected_refresh_token_closes_the_session,
    a_late_rejection_by_the_issuer_is_reported,
    an_issuer_that_does_not_answer_closes_nothing,
    a_slow_issuer_is_abandoned,
    a_late_answer_of_the_issuer_is_stored,
    a_refresher_that_panics_locks_nothing,
    a_session_without_a_refresh_token_is_not_refreshed,
    a_session_closed_meanwhile_does_not_come_back,
    a_session_s_lifetime_is_not_changed_by_a_refresh,
);

async fn a_stranger_s_token_is_refused_and_closes_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    let issuer = Issuer::default();
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let refused = issuer
        .refresh(&place.sessions, &id, "another-signature")
        .await;
    assert_eq!(refused.unwrap_err(), SessionError::Gone);
    let refused = issuer
        .refresh(&place.sessions, &SessionId::new(), "first-signature")
        .await;
    assert_eq!(refused.unwrap_err(), SessionError::Gone);
    assert!(place.sessions.resume(&id).await.unwrap().is_some());
    assert_eq!(issuer.asked(), 0);
}

async fn a_rejected_refresh_token_closes_the_session(kind: Kind) {
    let place = Place::of(kind).await;
    let issuer = Issuer::failing(RefreshFailure::Rejected);
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let asking = (0..10).map(|_| issuer.refresh(&place.sessions, &id, "first-signature"));
    for refused in join_all(asking).await {
        assert_eq!(refused.unwrap_err(), SessionError::Gone);
    }
    assert_eq!(place.another().await.resume(&id).await.unwrap(), None);
    assert_eq!(issuer.asked(), 1);
}

async fn a_late_rejection_by_the_issuer_is_reported(kind: Kind) {
    let patience = Duration::from_secs(1);
    let place = Place::with(kind, |options| options.refresh_patience = patience).await;
    let (report, mut reported) = unbounded_channel();
    place
        .sessions
        .on_refused(move |refused| drop(report.send(refused)));
    for delay in [0, 1_400] {
        let id = place.sessions.open(login("a"), None).await.unwrap();
        let issuer = Issuer {
            delay: Duration::from_millis(delay),
            ..Issuer::failing(RefreshFailure::Rejected)
        };
        let asking = (0..3).map(|_| issuer.refresh(&place.sessions, &id, "first-signature"));
        assert!(join_all(asking).await.iter().all(Result::is_err));
        let refused = timeout(Duration::from_secs(60), reported.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (&refused.id, refused.subject.as_str()),
            (&id, "a"),
            "{delay}"
        );
        assert_eq!(refused.has_ended().await, Ok(true), "{delay}");
    }
    assert!(reported.is_empty(), "once for each session");
}

async fn an_issuer_that_does_not_answer_closes_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let issuer = Issuer::failing(RefreshFailure::Unavailable);
    let refused = issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await;
    assert!(
        matches!(refused, Err(SessionError::Unavailable { .. })),
        "{refused:?}"
    );
    // At once again, from another node, and this time it answers.
    let began = Instant::now();
    Issuer::default()
        .refresh(&place.another().await, &id, "first-signature")
        .await
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "the lock was given back"
    );
}

async fn a_slow_issuer_is_abandoned(kind: Kind) {
    let patience = Duration::from_millis(300);
    let place = Place::with(kind, |options| options.refresh_patience = patience).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let refused = Issuer::slow(60_000)
        .refresh(&place.sessions, &id, "first-signature")
        .await;
    assert!(
        matches!(refused, Err(SessionError::Unavailable { .. })),
        "{refused:?}"
    );
    let again = async || {
        Issuer::default()
            .refresh(&place.sessions, &id, "first-signature")
            .await
            .is_ok()
    };
    eventually("another attempt is made", again).await;
}

async fn a_late_answer_of_the_issuer_is_stored(kind: Kind) {
    let patience = Duration::from_secs(1);
    let place = Place::with(kind, |options| options.refresh_patience = patience).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let issuer = Issuer::slow(1_400);
    let refused = issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await;
    assert!(
        matches!(refused, Err(SessionError::Unavailable { .. })),
        "{refused:?}"
    );
    let another = place.another().await;
    let refreshed = async || {
        issuer
            .refresh(&another, &id, "first-signature")
            .await
            .is_ok()
    };
    eventually("the late answer is found", refreshed).await;
    assert_eq!(token_of(&another, &id).await, "first-refresh-token+");
    assert_eq!(issuer.asked(), 1, "the refresh token was spent once");
}

/// The store takes no write while the issuer's answer comes: anyone who asks next must not spend the same refresh token.
#[actix::test]
async fn a_renewed_session_that_cannot_be_stored_stays_locked_until_it_is() {
    let place = Place::of(Kind::Postgres).await;
    let (another, issuer) = (place.another().await, Issuer::slow(200));
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let mut client = place.postgres.as_ref().unwrap().connect().await;
    let blocking = async {
        issuer.is_asked().await;
        let transaction = client.transaction().await.unwrap();
        transaction
            .execute(
                "SELECT FROM gom.session WHERE id = $1 FOR UPDATE",
                &[&id.as_str()],
            )
            .await
            .unwrap();
        // The attempt to store it has failed by then, and the next one has not begun or waits.
        tokio::time::sleep(Duration::from_millis(800)).await;
        transaction.rollback().await.unwrap();
    };
    let (refused, ()) = futures::join!(
        issuer.refresh(&place.sessions, &id, "first-signature"),
        blocking
    );
    assert!(
        matches!(refused, Err(SessionError::Unavailable { .. })),
        "{refused:?}"
    );
    let refreshed = async || {
        issuer
            .refresh(&another, &id, "first-signature")
            .await
            .is_ok()
    };
    eventually("another node finds it renewed", refreshed).await;
    assert_eq!(issuer.asked(), 1);
    assert_eq!(token_of(&another, &id).await, "first-refresh-token+");
}

async fn a_refresher_that_panics_locks_nothing(kind: Kind) {
    let place = Place::of(kind).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let issuer = Issuer {
        panics: true,
        ..Issuer::slow(50)
    };
    let asking = (0..5).map(|_| issuer.refresh(&place.sessions, &id, "first-signature"));
    for refused in join_all(asking).await {
        assert!(
            matches!(refused, Err(SessionError::Unavailable { .. })),
            "{refused:?}"
        );
    }
    Issuer::default()
        .refresh(&place.sessions, &id, "first-signature")
        .await
        .unwrap();
}

async fn a_session_without_a_refresh_token_is_not_refreshed(kind: Kind) {
    let place = Place::of(kind).await;
    let customer = NewSession {
        refresh_token: None,
        ..login("bp")
    };
    let id = place.sessions.open(customer, None).await.unwrap();
    let issuer = Issuer::default();
    let refused = issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await;
    assert_eq!(refused.unwrap_err(), SessionError::Gone);
    assert_eq!(issuer.asked(), 0);
}

async fn a_session_closed_meanwhile_does_not_come_back(kind: Kind) {
    let place = Place::of(kind).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let (issuer, another) = (Issuer::slow(1_000), place.another().await);
    let closing = async {
        issuer.is_asked().await;
        another.close(&id).await.unwrap();
    };
    let (refused, ()) = futures::join!(
        issuer.refresh(&place.sessions, &id, "first-signature"),
        closing
    );
    assert_eq!(refused.unwrap_err(), SessionError::Gone);
    assert_eq!(issuer.asked(), 1);
    assert_eq!(place.sessions.resume(&id).await.unwrap(), None);
    assert!(place.sessions.list("a").await.unwrap().is_empty());
}

async fn a_session_s_lifetime_is_not_changed_by_a_refresh(kind: Kind) {
    let minute = Duration::from_secs(60);
    let place = Place::with(kind, |options| options.idle = 20 * minute).await;
    let id = place.sessions.open(login("a"), None).await.unwrap();
    let opened = place.sessions.list("a").await.unwrap()[0].opened;
    place.advance(12 * minute);
    let refreshed = Issuer::default()
        .refresh(&place.sessions, &id, "first-signature")
        .await
        .unwrap();
    assert_eq!(refreshed.session.opened, opened);
    place.advance(13 * minute);
    assert_eq!(place.sessions.resume(&id).await.unwrap(), None);
}
