//! The token of a session is refreshed once, however many requests find it expired, on however many nodes.

use std::time::Duration;

use futures::future::join_all;
use gom_actors::sessions::{SessionError, SessionId, Sessions};

use crate::issuer::Issuer;
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
);

pub async fn token_of(sessions: &Sessions, id: &SessionId) -> String {
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
