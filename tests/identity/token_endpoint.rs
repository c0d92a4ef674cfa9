//! Logins through a token endpoint elsewhere.

use std::time::{Duration, Instant};

use gom_actors::sessions::RefreshFailure;
use gom_server::identity::{AUTH0, Login, LoginError};
use gom_test_support::eventually;
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, CLIENT, CLIENT_SECRET, Issuer, Mood, PASSWORD, SUBJECT, USER};
use crate::signer::Signer;
use crate::world::{TIMEOUT, World, secret};

async fn login(world: &World) -> Result<Login, LoginError> {
    world.identity.password(USER, &secret(PASSWORD)).await
}

#[actix_web::test]
async fn a_right_password_gives_tokens_and_a_profile() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    let login = login(&world).await.unwrap();
    assert_eq!((login.provider, login.subject.as_str()), (AUTH0, SUBJECT));
    assert_eq!(
        login.refresh_token.as_ref().map(|token| token.expose()),
        Some("refresh-0")
    );
    assert_eq!(
        Value::Object(login.profile.clone()),
        json!({
            "nickname": "ana", "name": "Ana Ñandú", "picture": "https://issuer.example/ana.png", "email": USER,
            "sub": SUBJECT,
        })
    );
    assert!(
        !login.token.head.contains(['-', '_']),
        "a script can read it"
    );
    let user = world
        .identity
        .verify(AUTH0, &login.token.head, &login.token.signature)
        .await
        .unwrap();
    assert_eq!(user.subject, SUBJECT);
    assert_eq!(issuer.keys_hits(), 1);

    let form = issuer.state.forms.lock().unwrap()[0].clone();
    let expected = [
        ("grant_type", "password"),
        ("username", USER),
        ("password", PASSWORD),
        ("client_id", CLIENT),
        ("client_secret", CLIENT_SECRET),
        ("audience", AUDIENCE),
        ("scope", "openid profile email offline_access"),
    ];
    assert_eq!(
        form,
        expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    );
    assert!(!format!("{login:?}").contains("refresh-0"));
}

#[actix_web::test]
async fn an_unknown_user_is_answered_like_a_wrong_password() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    for (user, password) in [(USER, "wrong"), ("nobody@example.com", PASSWORD), ("", "")] {
        let error = world
            .identity
            .password(user, &secret(password))
            .await
            .unwrap_err();
        assert_eq!(error, LoginError::Wrong, "{user}");
    }
    for error in [
        "invalid_grant",
        "too_many_attempts",
        "mfa_required",
        "password_leaked",
        "access_denied",
        "unauthorized",
        "requires_verification",
        "invalid_user_password",
    ] {
        let body: &'static str = Box::leak(json!({ "error": error }).to_string().into_boxed_str());
        issuer.tokens(Mood::Answers(403, body));
        assert_eq!(
            login(&world).await.unwrap_err(),
            LoginError::Wrong,
            "{error}"
        );
    }
    issuer.tokens(Mood::Answers(
        401,
        r#"{"error":"access_denied","error_description":"Unauthorized"}"#,
    ));
    assert!(
        matches!(login(&world).await, Err(LoginError::Misconfigured(_))),
        "of our client"
    );
    issuer.tokens(Mood::Answers(429, r#"{"error":"too_many_attempts"}"#));
    assert_eq!(
        login(&world).await.unwrap_err(),
        LoginError::Wrong,
        "this person's attempts, not our requests"
    );
    issuer.tokens(Mood::Answers(429, r#"{"error":"access_denied"}"#));
    assert!(
        matches!(login(&world).await, Err(LoginError::Unavailable { .. })),
        "all of our requests"
    );
}

#[actix_web::test]
async fn a_failing_token_endpoint_is_reported_as_unavailable_in_time() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    for (name, mood, retry) in [
        ("hangs", Mood::Hangs, 5),
        ("500", Mood::Answers(500, r#"{"error":"invalid_grant"}"#), 5),
        ("503", Mood::Answers(503, ""), 5),
        ("garbage", Mood::Answers(200, "<html>"), 5),
        ("no token", Mood::Answers(200, "{}"), 5),
        (
            "403 of a proxy",
            Mood::Answers(403, "<html>Forbidden</html>"),
            5,
        ),
        ("huge", Mood::Huge, 5),
        ("redirects", Mood::Redirects, 5),
        ("429", Mood::Busy("77"), 77),
        ("429 for years", Mood::Busy("999999999"), 3_600),
        (
            "429 with a date",
            Mood::Busy("Fri, 31 Dec 1999 23:59:59 GMT"),
            5,
        ),
    ] {
        issuer.tokens(mood);
        let begun = Instant::now();
        let error = login(&world).await.unwrap_err();
        assert_eq!(
            error,
            LoginError::Unavailable {
                retry: Duration::from_secs(retry)
            },
            "{name}"
        );
        assert!(
            begun.elapsed() < TIMEOUT * 3,
            "{name}: {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(
        issuer
            .state
            .redirected
            .load(std::sync::atomic::Ordering::SeqCst),
        0,
        "the password stays here"
    );
    issuer.tokens(Mood::Slow(TIMEOUT / 2));
    assert!(login(&world).await.is_ok(), "slow is not dead");
}

#[actix_web::test]
async fn an_unreachable_token_endpoint_is_unavailable() {
    let gone = Issuer::start();
    let world = World::at(&gone).await;
    let address = gone.address.trim_start_matches("http://").to_owned();
    drop(gone);
    eventually("nobody listens", async || {
        std::net::TcpStream::connect(&address).is_err()
    })
    .await;
    assert!(matches!(
        login(&world).await,
        Err(LoginError::Unavailable { .. })
    ));
}

#[actix_web::test]
async fn configuration_errors_of_the_endpoint_are_for_the_operator() {
    let message = |error: LoginError| match error {
        LoginError::Misconfigured(text) => {
            assert!(
                !text.contains(PASSWORD) && !text.contains(CLIENT_SECRET) && !text.contains("eyJ"),
                "{text}"
            );
            text
        }
        other => panic!("{other:?}"),
    };
    let issuer = Issuer::start();
    let wrong_client = World::at_with(&issuer, &[("auth.oauth2.client_secret", "another")]).await;
    assert!(message(login(&wrong_client).await.unwrap_err()).contains("invalid_client"));

    let world = World::at(&issuer).await;
    issuer.tokens(Mood::Answers(
        403,
        r#"{"error":"unauthorized_client","error_description":"Grant type"}"#,
    ));
    assert!(message(login(&world).await.unwrap_err()).contains("unauthorized_client"));
    issuer.tokens(Mood::Well);

    *issuer.state.access_token.lock().unwrap() = Some("opaque".into());
    assert!(message(login(&world).await.unwrap_err()).contains("auth.oauth2.audience"));
    *issuer.state.access_token.lock().unwrap() =
        Some(issuer.state.access_token_for(&Signer::other_rsa("first")));
    assert!(message(login(&world).await.unwrap_err()).contains("invalid signature"));
    *issuer.state.access_token.lock().unwrap() = None;

    for (claims, word) in [
        (json!({ "permissions": null }), "permissions"),
        (json!({ "iss": "https://other" }), "issuer"),
        (json!({ "aud": "other" }), "audience"),
        (json!({ "padding": "x".repeat(4_000) }), "fewer permissions"),
    ] {
        issuer.claims(claims);
        let text = message(login(&world).await.unwrap_err());
        assert!(text.contains(word), "{text}");
    }
}

#[actix_web::test]
async fn without_the_issuers_keys_a_login_is_refused() {
    let issuer = Issuer::start();
    issuer.keys(Mood::Answers(500, ""));
    let world = World::at(&issuer).await;
    assert!(matches!(
        login(&world).await,
        Err(LoginError::Unavailable { .. })
    ));
}

#[actix_web::test]
async fn a_profile_must_be_signed_by_the_issuer_for_the_user() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    // The id token keeps its subject.
    issuer.claims(json!({ "sub": "auth0|somebody-else" }));
    let login = login(&world).await.unwrap();
    assert_eq!(
        Value::Object(login.profile),
        json!({ "nickname": null, "name": null, "picture": null, "email": null, "sub": "auth0|somebody-else" })
    );
}

#[actix_web::test]
async fn many_refreshes_leave_permits_to_logins() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    issuer.tokens(Mood::Hangs);
    let refresher = || {
        world
            .identity
            .refresher(AUTH0)
            .unwrap()
            .refresh("refresh-0".to_owned())
    };
    let before = issuer.token_hits();
    let refreshes: Vec<_> = (0..100)
        .map(|_| actix_web::rt::spawn(refresher()))
        .collect();
    eventually("as many as may are asked", async || {
        issuer.token_hits() - before == 48
    })
    .await;
    issuer.tokens(Mood::Well);
    assert!(login(&world).await.is_ok(), "while they wait");
    for refresh in refreshes {
        assert_eq!(
            refresh.await.unwrap().unwrap_err(),
            RefreshFailure::Unavailable
        );
    }
}
