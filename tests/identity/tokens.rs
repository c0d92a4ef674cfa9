//! Tokens that the server itself issues.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gom_server::identity::{ACCOUNTS, AUTH0, AccessToken, TokenError};
use gom_shop::{CUSTOMER_TOKEN, CustomerClaims, PHONE};
use serde_json::{Value, json};

use crate::world::{APP_KEY, World};

fn customer() -> CustomerClaims {
    CustomerClaims {
        uid: "cdemobp1".into(),
        ext_uid: "mWnnB0y32b".into(),
        seller: "auth0|5d7109da452e7b0c97ed00a6".into(),
        business: "Paletas Marías ¿sí?".into(),
        permissions: ["create:order", "read:order", "role:customer"]
            .map(str::to_owned)
            .to_vec(),
    }
}

fn issued(world: &World, claims: CustomerClaims) -> AccessToken {
    let issued = world.identity.issue(&CUSTOMER_TOKEN, claims.into_claims());
    issued.unwrap()
}

fn invalid<T>(result: &Result<T, TokenError>) -> bool {
    matches!(result, Err(TokenError::Invalid(_)))
}

#[actix_web::test]
async fn a_customers_token_says_what_the_client_reads() {
    let world = World::start().await;
    let token = issued(&world, customer());
    let (header, payload) = token.head.split_once('.').unwrap();
    let read =
        |part| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(read(header), json!({ "alg": "HS256", "typ": "JWT" }));
    let claims = read(payload);
    let iat = claims["iat"].as_u64().unwrap();
    assert_eq!(
        claims,
        json!({
            "sub": "cdemobp1", "eid": "mWnnB0y32b", "gty": "phone", "seller": "auth0|5d7109da452e7b0c97ed00a6",
            "business": "Paletas Marías ¿sí?", "permissions": ["create:order", "read:order", "role:customer"],
            "token_use": "access", "iat": iat, "exp": iat + 1_800, "aud": "https://gql.gom.com",
            "iss": "https://auth.gom.com",
        })
    );
    let user = world
        .identity
        .verify(PHONE, &token.head, &token.signature)
        .await
        .unwrap();
    assert_eq!(
        (user.subject.as_str(), &user.claims["business"]),
        (
            "customer:cdemobp1:auth0|5d7109da452e7b0c97ed00a6",
            &json!("Paletas Marías ¿sí?")
        )
    );
    assert_eq!(user.claims["sub"], "cdemobp1");
    assert!(user.has_permission("role:customer"));
    assert_eq!(user.expires, UNIX_EPOCH + Duration::from_secs(iat + 1_800));
    let again = world
        .identity
        .verify(PHONE, &token.head, &token.signature)
        .await
        .unwrap();
    assert!(std::sync::Arc::ptr_eq(&user, &again), "it is remembered");
}

#[actix_web::test]
async fn f08_a_customers_token_is_no_sellers_token() {
    let world = World::start().await;
    let token = issued(&world, customer());
    for provider in [ACCOUNTS, AUTH0, "", "PHONE"] {
        let result = world
            .identity
            .verify(provider, &token.head, &token.signature)
            .await;
        assert!(invalid(&result), "{provider}: {result:?}");
    }
    assert!(
        world.identity.refresher(PHONE).is_none(),
        "customers log in again"
    );
    assert!(
        world.identity.refresher(AUTH0).is_none(),
        "there is no issuer elsewhere"
    );
    assert!(world.identity.refresher(ACCOUNTS).is_some());
}

#[actix_web::test]
async fn an_altered_token_is_refused_also_after_it_was_remembered() {
    let world = World::start().await;
    let token = issued(&world, customer());
    let verify =
        async |head: &str, signature: &str| world.identity.verify(PHONE, head, signature).await;
    assert!(verify(&token.head, &token.signature).await.is_ok());
    let other = issued(
        &world,
        CustomerClaims {
            uid: "another".into(),
            ..customer()
        },
    );
    let unsigned = format!(
        "eyJhbGciOiJub25lIn0.{}",
        token.head.split('.').nth(1).unwrap()
    );
    for (head, signature) in [
        (token.head.as_str(), other.signature.as_str()),
        (other.head.as_str(), token.signature.as_str()),
        (&token.head[..token.head.len() - 1], &token.signature),
        (&token.head, ""),
        (&token.head, &token.signature[1..]),
        (&unsigned, ""),
        (&unsigned, &token.signature),
        ("", ""),
        ("a.b", "c"),
        (&"x".repeat(100_000), "c"),
    ] {
        let result = verify(head, signature).await;
        assert!(invalid(&result), "{result:?}");
    }
}

#[actix_web::test]
async fn an_expired_token_is_refused_as_prisma_1_did() {
    let world = World::start_with(&[("auth.local.expiration", "2")]).await;
    let token = issued(&world, customer());
    let user = world
        .identity
        .verify(PHONE, &token.head, &token.signature)
        .await
        .unwrap();
    let left = user
        .expires
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    actix_web::rt::time::sleep(left + Duration::from_millis(5)).await;
    let error = world
        .identity
        .verify(PHONE, &token.head, &token.signature)
        .await
        .unwrap_err();
    assert_eq!(
        (error.clone(), error.to_string().as_str()),
        (TokenError::Expired, "jwt expired")
    );
    // Nor is it valid for one who did not see it before.
    let elsewhere = world.restarted_with(&[]);
    assert_eq!(
        elsewhere.verify(PHONE, &token.head, &token.signature).await,
        Err(TokenError::Expired)
    );
}

#[actix_web::test]
async fn the_app_key_is_replaced_without_logging_anybody_out() {
    const NEWER: &str = "another app key, just as long as the first one was";
    const NEWEST: &str = "a third app key, and again it is as long as it must be";
    let world = World::start().await;
    let token = issued(&world, customer());
    let verified = async |keys: &[(&'static str, &str)]| {
        world
            .restarted_with(keys)
            .verify(PHONE, &token.head, &token.signature)
            .await
    };
    assert!(
        verified(&[("app_key", NEWER), ("app_key_previous", APP_KEY)])
            .await
            .is_ok()
    );
    assert!(invalid(&verified(&[("app_key", NEWER)]).await));
    assert!(invalid(
        &verified(&[("app_key", NEWEST), ("app_key_previous", NEWER)]).await
    ));
}

#[actix_web::test]
async fn issuer_and_audience_are_held_against_the_settings() {
    let world = World::start().await;
    let token = issued(&world, customer());
    for (key, value) in [
        ("auth.local.issuer", "https://other"),
        ("auth.local.audience", "https://other"),
    ] {
        let result = world
            .restarted_with(&[(key, value)])
            .verify(PHONE, &token.head, &token.signature)
            .await;
        assert!(invalid(&result), "{key}: {result:?}");
    }
}
