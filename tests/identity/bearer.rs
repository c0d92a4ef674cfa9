//! Users' bearer tokens, of issuers elsewhere: what is accepted, and what attackers send.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_server::identity::{AccountTable, NewAccount, TokenError, User};
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, Mood, SUBJECT, in_seconds};
use crate::signer::{Signer, unsigned};
use crate::world::{PACE, World, halves};

/// `auth.issuers` with one entry, of the test's issuer unless more says otherwise.
fn entry(issuer: &Issuer, more: &Value) -> Value {
    let mut entry = json!({
        "issuer": ISSUER, "jwks_url": format!("{}/keys", issuer.address), "audiences": [AUDIENCE],
        "default_role": "seller",
    });
    for (name, value) in more.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

async fn world(entries: &[Value]) -> World {
    World::start_with(&[("auth.issuers", &json!(entries).to_string())]).await
}

/// The subject of a token, or why there is none.
async fn verify(world: &World, token: &str) -> Result<String, TokenError> {
    let user = world.identity.bearer(token).await;
    user.map(|user| user.subject.clone())
}

async fn reason(world: &World, token: &str) -> String {
    let error = world.identity.bearer(token).await;
    error
        .map(|user| user.subject.clone())
        .unwrap_err()
        .to_string()
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": SUBJECT, "aud": AUDIENCE, "iat": in_seconds(0), "exp": in_seconds(600),
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    claims
}

fn subject_here(subject: &str) -> String {
    format!("issuer:https%3A//issuer.example/:{subject}")
}

#[actix_web::test]
async fn a_token_names_its_user_once_and_is_remembered() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    for kind in ["JWT", "at+jwt", "application/at+JWT"] {
        let header = json!({ "alg": "RS256", "typ": kind, "kid": "first" });
        let token = Signer::rsa("first").sign_as(&header, &claims(&json!({})));
        assert_eq!(
            verify(&world, &token).await,
            Ok(subject_here(SUBJECT)),
            "{kind}"
        );
    }
    let token = issuer.access_token();
    let first = world.identity.bearer(&token).await.unwrap();
    assert!(first.has_permission("role:seller"));
    let again = world.identity.bearer(&token).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again), "it is remembered");
    assert_eq!(issuer.keys_hits(), 1);
}

#[actix_web::test]
async fn without_issuers_no_users_token_is_accepted() {
    let issuer = Issuer::start();
    let world = World::at(&issuer).await;
    assert_eq!(
        reason(&world, &issuer.access_token()).await,
        "not a service token"
    );
}

#[actix_web::test]
async fn a_token_without_a_signature_or_signed_with_the_public_key_is_refused() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    let signer = Signer::rsa("first");
    assert!(
        verify(&world, &signer.sign(&claims(&json!({}))))
            .await
            .is_ok()
    );
    for alg in [
        "none", "None", "HS256", "RS384", "PS256", "ES256", "rs256", "",
    ] {
        let header = json!({ "alg": alg, "typ": "JWT", "kid": "first" });
        let signed = signer.sign_as(&header, &claims(&json!({})));
        let (head, _) = halves(&signed);
        for token in [&signed, &format!("{head}."), &format!("{head}.AAAA")] {
            assert_eq!(reason(&world, token).await, "invalid algorithm", "{alg}");
        }
    }
    // The public key, which everybody has, as a shared secret.
    let jwk = signer.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let head = unsigned(
        &json!({ "alg": "HS256", "kid": "first" }),
        &claims(&json!({})),
    );
    for secret in [modulus.as_slice(), jwk["n"].as_str().unwrap().as_bytes()] {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, head.as_bytes()));
        let token = format!("{head}.{signature}");
        assert_eq!(reason(&world, &token).await, "invalid algorithm");
    }
    let forged = Signer::other_rsa("first").sign(&claims(&json!({})));
    assert_eq!(reason(&world, &forged).await, "invalid signature");
}

#[actix_web::test]
async fn only_the_algorithms_of_the_settings_are_accepted() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({ "algorithms": ["ES256"] }))]).await;
    assert_eq!(
        reason(&world, &issuer.access_token()).await,
        "invalid algorithm"
    );
    assert_eq!(issuer.keys_hits(), 0, "nothing is fetched for it");
    issuer.rotate(Signer::ec("curve"));
    assert!(verify(&world, &issuer.access_token()).await.is_ok());
}

#[actix_web::test]
async fn each_wrong_claim_is_refused_by_its_name() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    let signer = Signer::rsa("first");
    for (changes, expected) in [
        (
            json!({ "aud": "https://other.example" }),
            "jwt audience invalid",
        ),
        // An id token is for the client.
        (
            json!({ "aud": "the-client", "nonce": "n" }),
            "jwt audience invalid",
        ),
        (json!({ "aud": null }), "jwt audience invalid"),
        (
            json!({ "iss": "https://other.example/" }),
            "jwt issuer invalid",
        ),
        (
            json!({ "iss": "https://issuer.example" }),
            "jwt issuer invalid",
        ),
        (json!({ "iss": [ISSUER] }), "jwt issuer invalid"),
        (json!({ "iss": null }), "jwt issuer invalid"),
        (json!({ "exp": in_seconds(-11) }), "jwt expired"),
        (json!({ "exp": null }), "invalid exp value"),
        (json!({ "nbf": in_seconds(60) }), "jwt not active"),
        (json!({ "iat": in_seconds(60) }), "jwt issued in the future"),
        (json!({ "sub": null }), "jwt subject invalid"),
        (json!({ "typ": "ID" }), "not an access token"),
    ] {
        let token = signer.sign(&claims(&changes));
        assert_eq!(reason(&world, &token).await, expected, "{changes}");
    }
    for malformed in ["", "a", "a.b", "a.b.c", "..", "e30.e30.", "é.é.é"] {
        let token = reason(&world, malformed).await;
        assert!(
            ["jwt malformed", "jwt issuer invalid"].contains(&token.as_str()),
            "{malformed}"
        );
    }
}

#[actix_web::test]
async fn keys_that_a_token_brings_or_points_to_are_not_looked_at() {
    let issuer = Issuer::start();
    let attacker = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    let own = Signer::other_rsa("mine");
    let keys = format!("{}/keys", attacker.address);
    for header in [
        json!({ "alg": "RS256", "kid": "mine", "jwk": own.jwk() }),
        json!({ "alg": "RS256", "kid": "mine", "jku": keys }),
        json!({ "alg": "RS256", "kid": "mine", "x5u": keys }),
        json!({ "alg": "RS256", "kid": keys }),
    ] {
        let token = own.sign_as(&header, &claims(&json!({})));
        assert_eq!(
            reason(&world, &token).await,
            "jwt signed with an unknown key",
            "{header}"
        );
        let mut known = header.clone();
        known["kid"] = "first".into();
        let token = own.sign_as(&known, &claims(&json!({})));
        assert_eq!(reason(&world, &token).await, "invalid signature", "{known}");
    }
    assert_eq!(attacker.keys_hits(), 0);
    let critical = json!({ "alg": "RS256", "kid": "first", "crit": ["b64"], "b64": false });
    let token = Signer::rsa("first").sign_as(&critical, &claims(&json!({})));
    assert_eq!(reason(&world, &token).await, "jwt malformed");
}

/// Two issuers whose keys have the same name.
async fn two_issuers() -> (Issuer, Issuer, World) {
    let (first, second) = (Issuer::start(), Issuer::start());
    second.rotate(Signer::other_rsa("first"));
    let other = entry(&second, &json!({ "issuer": "https://other.example/" }));
    let world = world(&[entry(&first, &json!({})), other]).await;
    (first, second, world)
}

#[actix_web::test]
async fn a_key_of_another_issuer_with_the_same_name_signs_for_its_own_issuer_only() {
    let (_first, _second, world) = two_issuers().await;
    let other = json!({ "iss": "https://other.example/" });
    let (own, foreign) = (Signer::rsa("first"), Signer::other_rsa("first"));
    assert_eq!(
        reason(&world, &foreign.sign(&claims(&json!({})))).await,
        "invalid signature"
    );
    assert_eq!(
        reason(&world, &own.sign(&claims(&other))).await,
        "invalid signature"
    );
    assert!(verify(&world, &foreign.sign(&claims(&other))).await.is_ok());
    assert!(verify(&world, &own.sign(&claims(&json!({})))).await.is_ok());
}

#[actix_web::test]
async fn one_subject_at_two_issuers_is_two_users() {
    let (_first, _second, world) = two_issuers().await;
    let user = async |token: String| -> std::sync::Arc<User> {
        world.identity.bearer(&token).await.unwrap()
    };
    let here = user(Signer::rsa("first").sign(&claims(&json!({})))).await;
    let there = json!({ "iss": "https://other.example/" });
    let there = user(Signer::other_rsa("first").sign(&claims(&there))).await;
    assert_ne!(here.subject, there.subject);
    // What rules compare.
    assert_ne!(here.claims["sub"], there.claims["sub"]);
    assert!(
        here.subject != SUBJECT && there.subject != SUBJECT,
        "nor an account's"
    );
}

#[actix_web::test]
async fn the_users_of_the_issuer_of_logins_are_the_same_with_a_token() {
    let issuer = Issuer::start();
    let issuers = json!([entry(&issuer, &json!({}))]).to_string();
    let world = World::at_with(&issuer, &[("auth.issuers", &issuers)]).await;
    let token = issuer.access_token();
    let (head, signature) = halves(&token);
    let session = world
        .identity
        .verify("auth0", head, signature)
        .await
        .unwrap();
    let bearer = world.identity.bearer(&token).await.unwrap();
    assert_eq!(session.subject, bearer.subject);
    // Neither kind of token takes subjects of another kind.
    for subject in [
        "customer:cdemobp1:auth0|demo",
        "issuer:https%3A//other.example/:ana",
    ] {
        issuer.claims(json!({ "sub": subject }));
        let token = issuer.access_token();
        assert_eq!(reason(&world, &token).await, "jwt subject invalid");
        let (head, signature) = halves(&token);
        let session = world.identity.verify("auth0", head, signature).await;
        assert!(session.is_err(), "{subject}");
    }
}

#[actix_web::test]
async fn a_flood_of_unknown_keys_causes_one_fetch_in_each_pause() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    assert!(verify(&world, &issuer.access_token()).await.is_ok());
    let begun = std::time::Instant::now();
    let tokens: Vec<String> = (0..200)
        .map(|n| Signer::rsa(&format!("made up {n}")).sign(&claims(&json!({}))))
        .collect();
    let reasons = tokens.iter().map(|token| reason(&world, token));
    for reason in futures::future::join_all(reasons).await {
        assert_eq!(reason, "jwt signed with an unknown key");
    }
    let allowed = 2 + begun.elapsed().as_millis() / PACE.after_success.as_millis();
    assert!(
        issuer.keys_hits() as u128 <= allowed,
        "{}",
        issuer.keys_hits()
    );
}

#[actix_web::test]
async fn an_added_key_is_found_and_keys_are_kept_when_a_fetch_fails() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    let first = issuer.access_token();
    assert!(verify(&world, &first).await.is_ok());
    issuer.rotate(Signer::other_rsa("second"));
    actix_web::rt::time::sleep(PACE.after_success + Duration::from_millis(20)).await;
    assert!(verify(&world, &issuer.access_token()).await.is_ok());
    issuer.keys(Mood::Answers(500, "{}"));
    actix_web::rt::time::sleep(PACE.fresh).await;
    issuer.claims(json!({ "sub": "another" }));
    assert_eq!(
        verify(&world, &issuer.access_token()).await,
        Ok(subject_here("another"))
    );
}

#[actix_web::test]
async fn an_issuer_that_withdraws_all_its_keys_has_no_more_tokens() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    assert!(verify(&world, &issuer.access_token()).await.is_ok());
    issuer.keys(Mood::Answers(200, r#"{"keys":[]}"#));
    actix_web::rt::time::sleep(PACE.fresh).await;
    // The first tokens may still find the old key, beside which the keys are fetched.
    let begun = std::time::Instant::now();
    for n in 0.. {
        issuer.claims(json!({ "sub": format!("number {n}") }));
        match verify(&world, &issuer.access_token()).await {
            Ok(_) if begun.elapsed() < Duration::from_secs(30) => {}
            refused => {
                // Not because the old key was too old: it is forgotten with the first answer that lacks it.
                assert_eq!(
                    (refused, issuer.keys_hits()),
                    (Err(TokenError::Unavailable), 2)
                );
                return;
            }
        }
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix_web::test]
async fn while_an_issuer_does_not_answer_its_tokens_are_not_judged_and_others_are() {
    let (first, _second, world) = two_issuers().await;
    first.keys(Mood::Huge);
    let token = first.access_token();
    assert_eq!(verify(&world, &token).await, Err(TokenError::Unavailable));
    let other =
        Signer::other_rsa("first").sign(&claims(&json!({ "iss": "https://other.example/" })));
    assert!(verify(&world, &other).await.is_ok());
}

#[actix_web::test]
async fn a_huge_token_is_refused_before_anything_of_it_is_read() {
    let issuer = Issuer::start();
    let world = world(&[entry(&issuer, &json!({}))]).await;
    let token = Signer::rsa("first").sign(&claims(&json!({ "filler": "x".repeat(6_200) })));
    assert_eq!(reason(&world, &token).await, "jwt too large");
    assert_eq!(
        reason(&world, &"x".repeat(8 * 1024 + 1)).await,
        "jwt too large"
    );
    assert_eq!(issuer.keys_hits(), 0);
    let large = Signer::rsa("first").sign(&claims(&json!({ "filler": "x".repeat(5_000) })));
    assert!(verify(&world, &large).await.is_ok());
}

#[actix_web::test]
async fn a_user_whose_accounts_are_disabled_is_refused() {
    let issuer = Issuer::start();
    let issuers = json!([entry(&issuer, &json!({}))]).to_string();
    let world = World::at_with(&issuer, &[("auth.issuers", &issuers)]).await;
    let client = world.rows.connect().await;
    let accounts = AccountTable::new(&client);
    for username in ["ana", "her assistant"] {
        let account = NewAccount {
            username: username.into(),
            subject: SUBJECT.into(),
            role: "seller".into(),
            password_hash: "none".into(),
            ..NewAccount::default()
        };
        accounts.add(&account).await.unwrap();
    }
    accounts.set_disabled("ana", true).await.unwrap();
    assert!(
        verify(&world, &issuer.access_token()).await.is_ok(),
        "one acts for her"
    );
    accounts.set_disabled("her assistant", true).await.unwrap();
    let elsewhere =
        world.restarted_with(&[("auth.issuers", &issuers), ("auth.oauth2.issuer", ISSUER)]);
    let refused = elsewhere.bearer(&issuer.access_token()).await;
    assert_eq!(refused.unwrap_err().to_string(), "account disabled");
}

#[actix_web::test]
async fn a_role_that_the_policy_lacks_is_an_error_at_start() {
    let issuer = Issuer::start();
    let world = World::start().await;
    let entry = entry(&issuer, &json!({ "default_role": "owner" }));
    let settings = crate::world::settings(&[("auth.issuers", &json!([entry]).to_string())]);
    let keys = gom_server::identity::AppKeys::obtain(&settings).unwrap();
    let error = gom_server::identity::Identity::new(
        &settings,
        &keys,
        crate::world::roles(),
        crate::world::KINDS,
        &world.database,
    );
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("\"owner\"") && error.contains(ISSUER),
        "{error}"
    );
}
