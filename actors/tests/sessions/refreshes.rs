//! The token of a session is refreshed once, however many requests find it expired, on however many nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, join_all};
use gom_actors::secret::SecretText;
use gom_actors::sessions::{
    NewSession, RefreshFailure, Refreshed, Refresher, Renewed, SessionError, SessionId, Sessions,
};
use gom_test_support::eventually;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, timeout};

use crate::{Kind, Place, everywhere, login};

everywhere!(
    parallel_refreshes_ask_the_issuer_once_and_keep_the_rotated_token,
    the_next_refresh_uses_the_rotated_token,
    an_issuer_without_rotation_keeps_the_old_token,
    a_late_request_with_the_old_token_gets_the_new_one_for_a_while,
    a_browser_that_missed_refreshes_is_recognised_until_it_has_the_new_token,
    a_superseded_token_half_is_not_sent_to_the_browser,
    a_token_half_sent_during_a_refresh_stays_valid,
    a_token_half_whose_issue_cannot_be_stored_is_not_sent,
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

/// An issuer that counts its requests.
#[derive(Clone, Default)]
pub struct Issuer {
    asked: Arc<AtomicUsize>,
    delay: Duration,
    keeps: bool,
    fails: Option<RefreshFailure>,
    panics: bool,
}

impl Issuer {
    pub fn slow(milliseconds: u64) -> Self {
        Issuer {
            delay: Duration::from_millis(milliseconds),
            ..Issuer::default()
        }
    }

    fn failing(failure: RefreshFailure) -> Self {
        Issuer {
            fails: Some(failure),
            ..Issuer::default()
        }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for its first request.
    pub async fn is_asked(&self) {
        eventually("the issuer is asked", async || self.asked() > 0).await;
    }

    pub async fn refresh(
        &self,
        sessions: &Sessions,
        id: &SessionId,
        stale: &str,
    ) -> Result<Refreshed, SessionError> {
        sessions.refresh(id, stale, Box::new(self.clone())).await
    }
}

impl Refresher for Issuer {
    fn refresh(
        self: Box<Self>,
        token: String,
    ) -> BoxFuture<'static, Result<Renewed, RefreshFailure>> {
        async move {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(self.delay).await;
            assert!(!self.panics, "on purpose");
            match self.fails {
                Some(failure) => Err(failure),
                None => Ok(Renewed {
                    head: format!("head-{number}"),
                    signature: format!("signature-{number}"),
                    refresh_token: (!self.keeps).then(|| SecretText::new(format!("{token}+"))),
                }),
            }
        }
        .boxed()
    }
}

async fn token_of(sessions: &Sessions, id: &SessionId) -> String {
    let session = sessions.resume(id).await.unwrap().unwrap();
    session.refresh_token.as_ref().unwrap().expose().to_owned()
}

async fn parallel_refreshes_ask_the_issuer_once_and_keep_the_rotated_token(kind: Kind) {
    let place = Place::of(kind).await;
    let nodes = [place.sessions.clone(), place.another().await];
    let issuer = Issuer::slow(150);
    let id = nodes[0].open(login("a"), None).await.unwrap();
    let asking = (0..200).map(|number| issuer.refresh(&nodes[number % 2], &id, "first-signature"));
    for refreshed in join_all(asking).await {
        let refreshed = refreshed.unwrap();
        assert_eq!(refreshed.head, "head-1");
        assert_eq!(refreshed.session.signature, "signature-1");
    }
    assert_eq!(issuer.asked(), 1);
    for node in &nodes {
        assert_eq!(token_of(node, &id).await, "first-refresh-token+");
    }
}

async fn the_next_refresh_uses_the_rotated_token(kind: Kind) {
    let place = Place::of(kind).await;
    let issuer = Issuer::default();
    let id = place.sessions.open(login("a"), None).await.unwrap();
    issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await
        .unwrap();
    let refreshed = issuer
        .refresh(&place.another().await, &id, "signature-1")
        .await
        .unwrap();
    assert_eq!(refreshed.head, "head-2");
    assert_eq!(
        token_of(&place.sessions, &id).await,
        "first-refresh-token++"
    );
    assert_eq!(issuer.asked(), 2);
}

async fn an_issuer_without_rotation_keeps_the_old_token(kind: Kind) {
    let place = Place::of(kind).await;
    let issuer = Issuer {
        keeps: true,
        ..Issuer::default()
    };
    let id = place.sessions.open(login("a"), None).await.unwrap();
    issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await
        .unwrap();
    assert_eq!(token_of(&place.sessions, &id).await, "first-refresh-token");
}

async fn a_late_request_with_the_old_token_gets_the_new_one_for_a_while(kind: Kind) {
    let place = Place::of(kind).await;
    let issuer = Issuer::default();
    let id = place.sessions.open(login("a"), None).await.unwrap();
    issuer
        .refresh(&place.sessions, &id, "first-signature")
        .await
        .unwrap();
    let another = place.another().await;
    let late = issuer
        .refresh(&another, &id, "first-signature")
        .await
        .unwrap();
    assert_eq!(late.head, "head-1");
    let previous = another
        .resume(&id)
        .await
        .unwrap()
        .unwrap()
        .previous
        .clone()
        .unwrap();
    assert_eq!(
        (previous.signature.as_str(), previous.head.as_str()),
        ("first-signature", "head-1")
    );

    place.time.advance(Duration::from_secs(61));
    assert_eq!(another.resume(&id).await.unwrap().unwrap().previous, None);
    let too_late = issuer.refresh(&another, &id, "first-signature").await;
    assert_eq!(too_late.unwrap_err(), SessionError::Gone);
    assert!(
        another.resume(&id).await.unwrap().is_some(),
        "the session itself lives"
    );
    assert_eq!(issuer.asked(), 1);
}

async fn a_browser_that_missed_refreshes_is_recognised_until_it_has_the_new_token(kind: Kind) {
    let place = Place::of(kind).await;
    let (sessions, issuer) = (&place.sessions, Issuer::default());
    let id = sessions.open(login("a"), None).await.unwrap();
    for stale in ["first-signature", "signature-1", "signature-2"] {
        sessions
            .refresh_for_connection(&id, stale, Box::new(issuer.clone()))
            .await
            .unwrap();
        place.time.advance(Duration::from_secs(300));
    }
    let session = place.another().await.resume(&id).await.unwrap().unwrap();
    let previous = session.previous.clone().unwrap();
    assert_eq!(
        (session.signature.as_str(), previous.head.as_str()),
        ("signature-3", "head-3")
    );
    assert_eq!(
        previous.signature, "first-signature",
        "which the browser still has"
    );
    // Refreshed again by the browser's request, of several that have set out with the same half.
    let refreshed = issuer.refresh(sessions, &id, "signature-3").await.unwrap();
    assert_eq!(
        refreshed.session.previous.as_ref().unwrap().signature,
        "first-signature"
    );
    place.time.advance(Duration::from_secs(61));
    assert_eq!(sessions.resume(&id).await.unwrap().unwrap().previous, None);

    // Given the newer half, the browser has it a minute later.
    sessions
        .refresh_for_connection(&id, "signature-4", Box::new(issuer.clone()))
        .await
        .unwrap();
    let session = sessions.resume(&id).await.unwrap().unwrap();
    assert!(sessions.heard(&id, &session).await);
    place.time.advance(Duration::from_secs(59));
    let previous = sessions
        .resume(&id)
        .await
        .unwrap()
        .unwrap()
        .previous
        .clone()
        .unwrap();
    assert_eq!(
        (previous.signature.as_str(), previous.head.as_str()),
        ("signature-4", "head-5")
    );
    place.time.advance(Duration::from_secs(2));
    assert_eq!(sessions.resume(&id).await.unwrap().unwrap().previous, None);
}

async fn a_superseded_token_half_is_not_sent_to_the_browser(kind: Kind) {
    let place = Place::of(kind).await;
    let (sessions, issuer) = (&place.sessions, Issuer::default());
    let id = sessions.open(login("a"), None).await.unwrap();
    sessions
        .refresh_for_connection(&id, "first-signature", Box::new(issuer.clone()))
        .await
        .unwrap();
    let read = sessions.resume(&id).await.unwrap().unwrap();
    sessions
        .refresh_for_connection(&id, "signature-1", Box::new(issuer.clone()))
        .await
        .unwrap();
    assert!(
        !sessions.heard(&id, &read).await,
        "head-1 is worth nothing any more"
    );
    let now = place.another().await.resume(&id).await.unwrap().unwrap();
    let previous = now.previous.as_ref().unwrap();
    assert_eq!(
        (previous.signature.as_str(), previous.head.as_str()),
        ("first-signature", "head-2")
    );
    // Of two requests that bring the old half, both may have the new one.
    assert!(sessions.heard(&id, &now).await);
    assert!(sessions.heard(&id, &now).await);
}

async fn a_token_half_sent_during_a_refresh_stays_valid(kind: Kind) {
    let place = Place::of(kind).await;
    let sessions = &place.sessions;
    let id = sessions.open(login("a"), None).await.unwrap();
    sessions
        .refresh_for_connection(&id, "first-signature", Box::new(Issuer::default()))
        .await
        .unwrap();
    let read = sessions.resume(&id).await.unwrap().unwrap();
    let slow = Issuer::slow(1_000);
    let hearing = async {
        slow.is_asked().await;
        assert!(sessions.heard(&id, &read).await);
    };
    let renewing = sessions.refresh_for_connection(&id, "signature-1", Box::new(slow.clone()));
    let (renewed, ()) = futures::join!(renewing, hearing);
    renewed.unwrap();
    let previous = sessions
        .resume(&id)
        .await
        .unwrap()
        .unwrap()
        .previous
        .clone()
        .unwrap();
    let halves: Vec<&str> = previous.signatures().collect();
    assert_eq!(
        halves,
        ["signature-1", "first-signature"],
        "the browser has one of these"
    );
}

async fn a_token_half_whose_issue_cannot_be_stored_is_not_sent(kind: Kind) {
    let mut place = Place::of(kind).await;
    let (sessions, issuer) = (place.sessions.clone(), Issuer::default());
    let id = sessions.open(login("a"), None).await.unwrap();
    sessions
        .refresh_for_connection(&id, "first-signature", Box::new(issuer.clone()))
        .await
        .unwrap();
    let read = sessions.resume(&id).await.unwrap().unwrap();
    match (&mut place.redis, &place.postgres) {
        (Some(redis), _) => {
            redis.freeze();
            assert!(!sessions.heard(&id, &read).await);
            redis.thaw();
        }
        (None, Some(postgres)) => {
            let mut client = postgres.connect().await;
            let transaction = client.transaction().await.unwrap();
            let lock = "SELECT FROM gom.session WHERE id = $1 FOR UPDATE";
            transaction.execute(lock, &[&id.as_str()]).await.unwrap();
            assert!(!sessions.heard(&id, &read).await);
            transaction.rollback().await.unwrap();
        }
        (None, None) => unreachable!(),
    }
}

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
