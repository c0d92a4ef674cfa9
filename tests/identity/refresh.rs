//! Renewing access tokens, by itself and through a session.

use gom_actors::sessions::{
    NewSession, RefreshFailure, Renewed, Session, SessionError, SessionId, Sessions,
};
use gom_server::identity::{ACCOUNTS, AUTH0, Identity};
use serde_json::json;

use crate::issuer::{Issuer, Mood, PASSWORD, SUBJECT, USER, in_seconds};
use crate::world::{TIMEOUT, World, secret};

async fn refresh(identity: &Identity, token: &str) -> Result<Renewed, RefreshFailure> {
    identity
        .refresher(AUTH0)
        .unwrap()
        .refresh(token.to_owned())
        .await
}

#[actix_web::test]
async fn f05_the_rotated_refresh_token_is_passed_on() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    let first = refresh(&world.identity, "refresh-0").await.unwrap();
    assert_eq!(
        first.refresh_token.as_ref().map(|token| token.expose()),
        Some("refresh-1")
    );
    assert!(
        world
            .identity
            .verify(AUTH0, &first.head, &first.signature)
            .await
            .is_ok()
    );
    assert_eq!(
        refresh(&world.identity, "refresh-0").await.unwrap_err(),
        RefreshFailure::Rejected
    );
    assert!(refresh(&world.identity, "refresh-1").await.is_ok());
}

#[actix_web::test]
async fn only_a_rejected_refresh_token_ends_a_session() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    for (name, mood) in [
        ("hangs", Mood::Hangs),
        ("500", Mood::Answers(500, r#"{"error":"invalid_grant"}"#)),
        ("garbage", Mood::Answers(200, "<html>")),
        ("403 of a proxy", Mood::Answers(403, "<html>")),
        ("huge", Mood::Huge),
        ("redirects", Mood::Redirects),
        ("busy", Mood::Busy("9")),
        (
            "the client is refused",
            Mood::Answers(401, r#"{"error":"invalid_client"}"#),
        ),
        (
            "a wrong client secret",
            Mood::Answers(401, r#"{"error":"access_denied"}"#),
        ),
        (
            "a rule refuses",
            Mood::Answers(403, r#"{"error":"access_denied"}"#),
        ),
    ] {
        issuer.tokens(mood);
        let failure = refresh(&world.identity, "refresh-0").await.unwrap_err();
        assert_eq!(failure, RefreshFailure::Unavailable, "{name}");
    }
    issuer.tokens(Mood::Well);
    issuer.claims(json!({ "permissions": null }));
    assert_eq!(
        refresh(&world.identity, "refresh-0").await.unwrap_err(),
        RefreshFailure::Unavailable
    );
    assert_eq!(
        refresh(&world.identity, "another").await.unwrap_err(),
        RefreshFailure::Rejected
    );
}

struct Opened {
    sessions: Sessions,
    id: SessionId,
    session: std::sync::Arc<Session>,
}

/// A session whose token has expired.
async fn open_expired(issuer: &Issuer, world: &World) -> Opened {
    let login = world
        .identity
        .password(USER, &secret(PASSWORD))
        .await
        .unwrap();
    let sessions = Sessions::start(world.settings.session_options(), &world.database).unwrap();
    let session = NewSession {
        subject: login.subject,
        provider: login.provider.to_owned(),
        signature: login.token.signature,
        refresh_token: login.refresh_token,
    };
    let id = sessions.open(session, None).await.unwrap();
    let session = sessions.resume(&id).await.unwrap().unwrap();
    issuer.claims(json!({ "exp": in_seconds(900) }));
    Opened {
        sessions,
        id,
        session,
    }
}

#[actix_web::test]
async fn f05_many_requests_with_an_expired_token_cause_one_refresh() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    let Opened {
        sessions,
        id,
        session,
    } = open_expired(&issuer, &world).await;
    let asked_before = issuer.token_hits();
    issuer.tokens(Mood::Slow(TIMEOUT / 3));
    let all = (0..40).map(|_| {
        let refresher = world.identity.refresher(&session.provider).unwrap();
        sessions.refresh(&id, &session.signature, refresher)
    });
    let answers: Vec<_> = futures::future::join_all(all)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(issuer.token_hits() - asked_before, 1);
    for answer in &answers {
        let user = world
            .identity
            .verify(AUTH0, &answer.head, &answer.session.signature)
            .await
            .unwrap();
        assert_eq!(user.subject, SUBJECT);
        assert_eq!(answer.head, answers[0].head);
    }
    let kept = sessions.resume(&id).await.unwrap().unwrap();
    assert_eq!(
        kept.refresh_token.as_ref().map(|token| token.expose()),
        Some("refresh-1")
    );

    // And the next time, with what was kept.
    issuer.tokens(Mood::Well);
    issuer.claims(json!({ "exp": in_seconds(1_200) }));
    let refresher = world.identity.refresher(&kept.provider).unwrap();
    sessions
        .refresh(&id, &kept.signature, refresher)
        .await
        .unwrap();
    let kept = sessions.resume(&id).await.unwrap().unwrap();
    assert_eq!(
        kept.refresh_token.as_ref().map(|token| token.expose()),
        Some("refresh-2")
    );
}

#[actix_web::test]
async fn a_failing_endpoint_logs_nobody_out_and_a_rejection_does() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    let Opened {
        sessions,
        id,
        session,
    } = open_expired(&issuer, &world).await;
    let refresh = async || {
        let refresher = world.identity.refresher(&session.provider).unwrap();
        sessions.refresh(&id, &session.signature, refresher).await
    };
    issuer.tokens(Mood::Answers(500, ""));
    assert!(matches!(
        refresh().await,
        Err(SessionError::Unavailable { .. })
    ));
    assert!(sessions.resume(&id).await.unwrap().is_some());
    issuer.tokens(Mood::Answers(403, r#"{"error":"invalid_grant"}"#));
    assert_eq!(refresh().await.unwrap_err(), SessionError::Gone);
    assert!(sessions.resume(&id).await.unwrap().is_none());
}

#[actix_web::test]
async fn an_unknown_provider_has_no_refresher() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    assert!(world.identity.refresher("phone").is_none());
    assert!(world.identity.refresher("").is_none());
    assert!(
        world.identity.refresher(ACCOUNTS).is_some(),
        "sessions from before the provider was changed go on"
    );
}
