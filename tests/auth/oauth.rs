//! An OAuth 2 token endpoint of the test's own: the password grant, refresh tokens that rotate, and its keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::web::{Data, Form};
use actix_web::{App, HttpResponse, HttpServer, web};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub const CLIENT: &str = "the client";
pub const AUDIENCE: &str = "https://gql.example";

/// A running endpoint.
pub struct OAuth {
    pub address: String,
    inner: Arc<Inner>,
}

struct Inner {
    key: EncodingKey,
    jwks: Value,
    issuer: Mutex<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Password and claims.
    users: HashMap<String, (String, Value)>,
    /// Whose refresh token it is. Each works once.
    refresh_tokens: HashMap<String, String>,
    issued: u64,
    refreshed: u64,
    /// Of a token, in seconds; it may have ended already.
    lifetime: i64,
    /// Unavailable: no password can be checked.
    away: bool,
}

impl OAuth {
    pub async fn start() -> OAuth {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public = pair.public_key().as_ref().to_vec();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let coordinate = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&public[range]);
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "the key",
            "x": coordinate(1..33), "y": coordinate(33..65),
        }] });
        let inner = Arc::new(Inner {
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwks,
            issuer: Mutex::default(),
            state: Mutex::new(State {
                lifetime: 3_600,
                ..State::default()
            }),
        });
        let data = Data::from(Arc::clone(&inner));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/oauth/token", web::post().to(token))
                .route("/jwks.json", web::get().to(jwks_of))
        })
        .workers(1)
        .bind("127.0.0.1:0")
        .unwrap();
        let address = format!("http://{}", server.addrs()[0]);
        actix_web::rt::spawn(server.run());
        *inner.issuer.lock().unwrap() = format!("{address}/");
        OAuth { address, inner }
    }

    /// The settings that make a server use this endpoint.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("auth.provider", "oauth2".into()),
            (
                "auth.oauth2.token_url",
                format!("{}/oauth/token", self.address),
            ),
            (
                "auth.oauth2.jwks_endpoint",
                format!("{}/jwks.json", self.address),
            ),
            ("auth.oauth2.issuer", format!("{}/", self.address)),
            ("auth.oauth2.client_id", CLIENT.into()),
            ("auth.oauth2.client_secret", "the client's secret".into()),
            ("auth.oauth2.audience", AUDIENCE.into()),
        ]
    }

    /// `claims` go into the access token.
    pub fn add(&self, username: &str, password: &str, claims: Value) {
        let user = (password.to_owned(), claims);
        self.inner
            .state
            .lock()
            .unwrap()
            .users
            .insert(username.to_owned(), user);
    }

    /// Seconds that the next tokens live; they may have ended already.
    pub fn tokens_live(&self, seconds: i64) {
        self.inner.state.lock().unwrap().lifetime = seconds;
    }

    /// How often a token was refreshed.
    pub fn refreshed(&self) -> u64 {
        self.inner.state.lock().unwrap().refreshed
    }

    /// While `away`, answers every request with 503.
    pub fn be_away(&self, away: bool) {
        self.inner.state.lock().unwrap().away = away;
    }

    /// Refuses every refresh token given out so far.
    pub fn revoke(&self) {
        self.inner.state.lock().unwrap().refresh_tokens.clear();
    }
}

async fn jwks_of(inner: Data<Inner>) -> HttpResponse {
    HttpResponse::Ok().json(&inner.jwks)
}

async fn token(inner: Data<Inner>, form: Form<HashMap<String, String>>) -> HttpResponse {
    let refused = |description: &str| {
        HttpResponse::Forbidden()
            .json(json!({ "error": "invalid_grant", "error_description": description }))
    };
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if field("client_id") != CLIENT || field("client_secret") != "the client's secret" {
        return HttpResponse::Unauthorized().json(json!({ "error": "invalid_client" }));
    }
    let mut state = inner.state.lock().unwrap();
    if state.away {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let username = match field("grant_type") {
        "password" => {
            if field("audience") != AUDIENCE {
                return HttpResponse::BadRequest().json(json!({ "error": "invalid_request" }));
            }
            match state.users.get(field("username")) {
                Some((password, _)) if password == field("password") => {
                    field("username").to_owned()
                }
                _ => return refused("Wrong email or password."),
            }
        }
        "refresh_token" => match state.refresh_tokens.remove(field("refresh_token")) {
            Some(username) => {
                state.refreshed += 1;
                username
            }
            None => return refused("Unknown or invalid refresh token."),
        },
        _ => return HttpResponse::BadRequest().json(json!({ "error": "unsupported_grant_type" })),
    };
    state.issued += 1;
    let refresh_token = format!("refresh token {}", state.issued);
    state
        .refresh_tokens
        .insert(refresh_token.clone(), username.clone());
    let mut claims = state.users[&username].1.clone();
    let now = i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs(),
    )
    .unwrap();
    let issuer = inner.issuer.lock().unwrap().clone();
    for (name, value) in [
        ("iss", json!(issuer)),
        ("aud", json!([AUDIENCE, format!("{issuer}userinfo")])),
        ("iat", json!(now - 60)),
        ("exp", json!(now + state.lifetime)),
        ("azp", json!(CLIENT)),
        ("scope", json!("openid profile email offline_access")),
        ("gty", json!("password")),
        ("jti", json!(state.issued)),
    ] {
        claims[name] = value;
    }
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("the key".into());
    let access_token = jsonwebtoken::encode(&header, &claims, &inner.key).unwrap();
    let id_token = jsonwebtoken::encode(
        &header,
        &json!({
            "iss": issuer, "aud": CLIENT, "sub": claims["sub"], "iat": now, "exp": now + 3_600,
            "nickname": username, "name": username, "picture": "https://example.com/p.png", "email": username,
        }),
        &inner.key,
    );
    HttpResponse::Ok().json(json!({
        "access_token": access_token, "refresh_token": refresh_token, "id_token": id_token.unwrap(),
        "token_type": "Bearer", "expires_in": state.lifetime, "scope": "openid profile email offline_access",
    }))
}
