//! The keys of an issuer elsewhere, and what becomes of tokens when they cannot be had.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_server::identity::{AUTH0, TokenError};
use serde_json::json;

use crate::issuer::{AUDIENCE, CLIENT, Issuer, Mood, SUBJECT, in_seconds};
use crate::signer::{Signer, unsigned};
use crate::world::{PACE, TIMEOUT, World, halves};

/// The subject of a token, or why there is none.
async fn verify(world: &World, token: &str) -> Result<String, TokenError> {
    let (head, signature) = halves(token);
    world
        .identity
        .verify(AUTH0, head, signature)
        .await
        .map(|user| user.subject.clone())
}

fn good(subject: &str) -> Result<String, TokenError> {
    Ok(subject.to_owned())
}

fn invalid(result: &Result<String, TokenError>) -> bool {
    matches!(result, Err(TokenError::Invalid(_)))
}

async fn pause(time: Duration) {
    actix_web::rt::time::sleep(time + Duration::from_millis(20)).await;
}

#[actix_web::test]
async fn tokens_signed_with_rs256_and_es256_are_accepted() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
    issuer.rotate(Signer::ec("curve"));
    pause(PACE.after_success).await;
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
}

#[actix_web::test]
async fn f09_concurrent_requests_for_the_keys_fetch_them_once() {
    let issuer = Issuer::start();
    issuer.keys(Mood::Slow(TIMEOUT / 4));
    let world = World::at(&issuer).await;
    let tokens: Vec<String> = (0..50)
        .map(|n| {
            issuer.claims(json!({ "sub": format!("auth0|{n}") }));
            issuer.access_token()
        })
        .collect();
    let outcomes =
        futures::future::join_all(tokens.iter().map(|token| verify(&world, token))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(issuer.keys_hits(), 1);
}

#[actix_web::test]
async fn f09_the_algorithm_is_the_keys_and_never_the_tokens_choice() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    let signer = Signer::rsa("first");
    let claims = json!({
        "iss": "https://issuer.example/", "sub": SUBJECT, "aud": AUDIENCE, "exp": in_seconds(600), "permissions": [],
    });
    assert_eq!(verify(&world, &signer.sign(&claims)).await, good(SUBJECT));
    for alg in ["none", "HS256", "RS384", "PS256", "ES256", "rs256", ""] {
        let token = signer.sign_as(
            &json!({ "alg": alg, "typ": "JWT", "kid": "first" }),
            &claims,
        );
        assert!(invalid(&verify(&world, &token).await), "{alg}");
        let (head, _) = halves(&token);
        assert!(
            invalid(&verify(&world, &format!("{head}.")).await),
            "{alg}, not signed"
        );
    }
    // The public key, which everybody has, as a shared secret.
    let jwk = signer.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let head = unsigned(&json!({ "alg": "HS256", "kid": "first" }), &claims);
    for secret in [modulus.as_slice(), jwk["n"].as_str().unwrap().as_bytes()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, head.as_bytes()));
        assert!(invalid(
            &verify(&world, &format!("{head}.{signature}")).await
        ));
    }
    let no_alg = signer.sign_as(&json!({ "kid": "first" }), &claims);
    assert!(invalid(&verify(&world, &no_alg).await));
    let critical = signer.sign_as(
        &json!({ "alg": "RS256", "kid": "first", "crit": ["x"], "x": 1 }),
        &claims,
    );
    assert!(invalid(&verify(&world, &critical).await));
}

#[actix_web::test]
async fn f09_unknown_key_ids_do_not_each_cause_a_fetch() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
    let begun = Instant::now();
    for n in 0..200 {
        let token = issuer
            .state
            .access_token_for(&Signer::rsa(&format!("made up {n}")));
        let result = verify(&world, &token).await;
        assert_eq!(
            result,
            Err(TokenError::Invalid("jwt signed with an unknown key".into()))
        );
    }
    let allowed =
        2 + usize::try_from(begun.elapsed().as_millis() / PACE.after_success.as_millis()).unwrap();
    assert!(
        issuer.keys_hits() <= allowed,
        "{} fetches, {allowed} allowed",
        issuer.keys_hits()
    );
    let nameless = Signer::rsa("first").sign_as(&json!({ "alg": "RS256" }), &json!({}));
    assert_eq!(
        verify(&world, &nameless).await,
        Err(TokenError::Invalid("jwt issuer invalid".into()))
    );
    issuer
        .state
        .published
        .lock()
        .unwrap()
        .push(Signer::other_rsa("second").jwk());
    pause(PACE.fresh).await;
    let _ = verify(&world, &issuer.state.access_token_for(&Signer::rsa("a"))).await;
    assert_eq!(
        verify(&world, &nameless).await,
        Err(TokenError::Invalid("jwt signed with an unknown key".into())),
        "one of two"
    );
}

#[actix_web::test]
async fn an_added_key_is_found_and_a_withdrawn_one_is_dropped() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    let (before, later) = (Signer::rsa("first"), Signer::other_rsa("second"));
    let begun = Instant::now();
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
    issuer.claims(json!({ "sub": "auth0|later" }));
    issuer.rotate(later);
    let result = verify(&world, &issuer.access_token()).await;
    // On a machine with much to do, the pause may be over.
    let paced = begun.elapsed() < PACE.after_success;
    assert!(
        invalid(&result) || !paced,
        "the keys were fetched just now: {result:?}"
    );
    pause(PACE.after_success).await;
    assert_eq!(
        verify(&world, &issuer.access_token()).await,
        good("auth0|later")
    );
    assert!(
        invalid(&verify(&world, &issuer.state.access_token_for(&before)).await),
        "it is not published any more"
    );
}

#[actix_web::test]
async fn an_issuers_subject_cannot_look_like_a_customers() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    issuer.claims(json!({ "sub": "customer:cdemobp1:auth0|demo" }));
    let refused = Err(TokenError::Invalid("jwt subject invalid".into()));
    assert_eq!(verify(&world, &issuer.access_token()).await, refused);
}

#[actix_web::test]
async fn another_key_under_a_known_id_verifies_nothing() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    issuer.claims(json!({ "sub": "auth0|forged" }));
    let forged = issuer.state.access_token_for(&Signer::other_rsa("first"));
    issuer.claims(json!({}));
    assert_eq!(
        verify(&world, &forged).await,
        Err(TokenError::Invalid("invalid signature".into()))
    );
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
    let mixed = format!("{}.{}", halves(&forged).0, halves(&issuer.access_token()).1);
    assert!(invalid(&verify(&world, &mixed).await));
}

#[actix_web::test]
async fn f09_while_the_keys_are_unavailable_no_token_is_judged() {
    let elsewhere = Mood::Redirects;
    for (name, mood) in [
        ("hangs", Mood::Hangs),
        ("500", Mood::Answers(500, "{}")),
        ("404", Mood::Answers(404, "{}")),
        ("garbage", Mood::Answers(200, "<html>Welcome</html>")),
        ("null", Mood::Answers(200, "null")),
        ("no keys", Mood::Answers(200, r#"{"keys":[]}"#)),
        (
            "keys that cannot be used",
            Mood::Answers(200, r#"{"keys":[{"kty":"oct","k":"AQAB"},{"kty":"RSA"}]}"#),
        ),
        ("huge", Mood::Huge),
        ("redirects", elsewhere),
    ] {
        let issuer = Issuer::start();
        issuer.keys(mood);
        let world = World::at(&issuer).await;
        let token = issuer.access_token();
        let begun = Instant::now();
        let asked = (0..20).map(|_| verify(&world, &token));
        for result in futures::future::join_all(asked).await {
            assert_eq!(result, Err(TokenError::Unavailable), "{name}");
        }
        assert!(
            begun.elapsed() < TIMEOUT * 3,
            "{name}: {:?}",
            begun.elapsed()
        );
        assert_eq!(issuer.keys_hits(), 1, "{name}: it is given a rest");
        assert_eq!(
            issuer
                .state
                .redirected
                .load(std::sync::atomic::Ordering::SeqCst),
            0,
            "{name}"
        );
        issuer.keys(Mood::Well);
        pause(PACE.after_failure).await;
        assert_eq!(
            verify(&world, &token).await,
            good(SUBJECT),
            "{name}: it recovers by itself"
        );
    }
}

#[actix_web::test]
async fn a_slow_key_response_is_accepted() {
    let issuer = Issuer::start();
    issuer.keys(Mood::Slow(TIMEOUT / 2));
    let world = World::at(&issuer).await;
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
}

#[actix_web::test]
async fn cached_keys_verify_for_a_while_when_the_issuer_fails() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    assert_eq!(verify(&world, &issuer.access_token()).await, good(SUBJECT));
    issuer.keys(Mood::Hangs);
    pause(PACE.fresh).await;
    issuer.claims(json!({ "sub": "auth0|other" }));
    let begun = Instant::now();
    assert_eq!(
        verify(&world, &issuer.access_token()).await,
        good("auth0|other")
    );
    assert!(
        begun.elapsed() < TIMEOUT / 2,
        "requests do not wait while the keys are fetched again: {:?}",
        begun.elapsed()
    );
    let unknown = issuer.state.access_token_for(&Signer::other_rsa("second"));
    assert_eq!(
        verify(&world, &unknown).await,
        Err(TokenError::Unavailable),
        "it may be there by now"
    );
    pause(PACE.usable).await;
    issuer.claims(json!({ "sub": "auth0|third" }));
    assert_eq!(
        verify(&world, &issuer.access_token()).await,
        Err(TokenError::Unavailable),
        "cached keys expire"
    );
}

#[actix_web::test]
async fn a_cancelled_request_does_not_stop_the_key_fetch_of_others() {
    let issuer = Issuer::start();
    issuer.keys(Mood::Slow(TIMEOUT / 2));
    let world = World::at(&issuer).await;
    let token = issuer.access_token();
    let given_up = tokio::time::timeout(TIMEOUT / 8, verify(&world, &token)).await;
    assert!(given_up.is_err());
    assert_eq!(verify(&world, &token).await, good(SUBJECT));
    assert_eq!(issuer.keys_hits(), 1);
}

#[actix_web::test]
async fn f08_an_id_token_is_no_access_token() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    for changes in [
        json!({ "aud": CLIENT }),
        json!({ "aud": CLIENT, "permissions": ["all:manage"] }),
        json!({ "token_use": "id" }),
        json!({ "iss": "https://other.example/" }),
        json!({ "permissions": null }),
        json!({ "exp": null }),
        json!({ "nbf": in_seconds(60) }),
    ] {
        issuer.claims(changes.clone());
        assert!(
            invalid(&verify(&world, &issuer.access_token()).await),
            "{changes}"
        );
    }
    issuer.claims(json!({ "exp": in_seconds(-20) }));
    assert_eq!(
        verify(&world, &issuer.access_token()).await,
        Err(TokenError::Expired)
    );
}
