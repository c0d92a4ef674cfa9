//! An identity endpoint of the test's own, in any mood.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Form};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::{Value, json};

use crate::signer::Signer;

pub const ISSUER: &str = "https://issuer.example/";
pub const AUDIENCE: &str = "https://api.example";
pub const CLIENT: &str = "the-client";
pub const CLIENT_SECRET: &str = "the client's secret";
pub const USER: &str = "ana@example.com";
pub const PASSWORD: &str = "right password";
pub const SUBJECT: &str = "auth0|ana";

/// How an endpoint answers.
#[derive(Clone)]
pub enum Mood {
    Well,
    Slow(Duration),
    /// Takes the request and never answers.
    Hangs,
    Answers(u16, &'static str),
    /// With another's rejection, and `Retry-After`.
    Busy(&'static str),
    Huge,
    /// To a place that answers well.
    Redirects,
}

pub struct State {
    pub token_mood: Mutex<Mood>,
    pub keys_mood: Mutex<Mood>,
    pub published: Mutex<Vec<Value>>,
    pub signer: Mutex<Signer>,
    /// Over the usual claims of access tokens; null takes one away.
    pub claims: Mutex<Value>,
    /// Instead of a signed access token.
    pub access_token: Mutex<Option<String>>,
    pub refresh_token: Mutex<String>,
    pub token_hits: AtomicUsize,
    pub keys_hits: AtomicUsize,
    pub redirected: AtomicUsize,
    pub forms: Mutex<Vec<HashMap<String, String>>>,
}

/// A running endpoint.
pub struct Issuer {
    pub address: String,
    pub state: Data<State>,
    server: ServerHandle,
}

impl Issuer {
    /// Signs with an RSA key that it publishes as `first`.
    pub fn start() -> Issuer {
        let signer = Signer::rsa("first");
        let state = Data::new(State {
            token_mood: Mutex::new(Mood::Well),
            keys_mood: Mutex::new(Mood::Well),
            published: Mutex::new(vec![signer.jwk()]),
            signer: Mutex::new(signer),
            claims: Mutex::new(json!({})),
            access_token: Mutex::default(),
            refresh_token: Mutex::new("refresh-0".into()),
            token_hits: AtomicUsize::new(0),
            keys_hits: AtomicUsize::new(0),
            redirected: AtomicUsize::new(0),
            forms: Mutex::default(),
        });
        let of_workers = state.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(of_workers.clone())
                .route("/token", web::post().to(token))
                .route("/keys", web::get().to(keys))
                .route("/elsewhere/token", web::route().to(redirected))
                .route("/elsewhere/keys", web::route().to(redirected))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let address = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Issuer {
            address,
            state,
            server: handle,
        }
    }

    /// An access token as the endpoint would give it.
    pub fn access_token(&self) -> String {
        self.state
            .access_token_for(&self.state.signer.lock().unwrap())
    }

    pub fn keys_hits(&self) -> usize {
        self.state.keys_hits.load(Ordering::SeqCst)
    }

    pub fn token_hits(&self) -> usize {
        self.state.token_hits.load(Ordering::SeqCst)
    }

    /// Signs with another key from now on, and publishes it alone.
    pub fn rotate(&self, signer: Signer) {
        *self.state.published.lock().unwrap() = vec![signer.jwk()];
        *self.state.signer.lock().unwrap() = signer;
    }

    pub fn keys(&self, mood: Mood) {
        *self.state.keys_mood.lock().unwrap() = mood;
    }

    pub fn tokens(&self, mood: Mood) {
        *self.state.token_mood.lock().unwrap() = mood;
    }

    pub fn claims(&self, claims: Value) {
        *self.state.claims.lock().unwrap() = claims;
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // Hanging requests are not waited for.
        actix_web::rt::spawn(self.server.stop(false));
    }
}

/// Seconds since 1970, that many from now.
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    i64::try_from(now).unwrap() + seconds
}

impl State {
    pub fn access_token_for(&self, signer: &Signer) -> String {
        let mut claims = json!({
            "iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE, "https://issuer.example/userinfo"],
            "iat": in_seconds(0), "exp": in_seconds(600), "scope": "openid profile email offline_access",
            "permissions": ["role:seller", "read:orders"],
        });
        for (name, value) in self.claims.lock().unwrap().as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        signer.sign(&claims)
    }

    fn grant(&self, refresh_token: &str) -> HttpResponse {
        let signer = self.signer.lock().unwrap().clone();
        let access_token = self.access_token.lock().unwrap().clone();
        let id_token = json!({
            "iss": ISSUER, "sub": SUBJECT, "aud": CLIENT, "iat": in_seconds(0), "exp": in_seconds(600),
            "nickname": "ana", "name": "Ana Ñandú", "picture": "https://issuer.example/ana.png", "email": USER,
            "email_verified": true,
        });
        HttpResponse::Ok().json(json!({
            "access_token": access_token.unwrap_or_else(|| self.access_token_for(&signer)),
            "id_token": signer.sign(&id_token), "refresh_token": refresh_token,
            "token_type": "Bearer", "expires_in": 600,
        }))
    }
}

async fn mooded(mood: Mood, elsewhere: &str, well: impl FnOnce() -> HttpResponse) -> HttpResponse {
    match mood {
        Mood::Well => well(),
        Mood::Slow(time) => {
            actix_web::rt::time::sleep(time).await;
            well()
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Answers(status, body) => HttpResponse::build(StatusCode::from_u16(status).unwrap())
            .content_type("application/json")
            .body(body),
        Mood::Busy(seconds) => HttpResponse::TooManyRequests()
            .insert_header(("Retry-After", seconds))
            .json(json!({ "error": "too_many_requests" })),
        Mood::Huge => HttpResponse::Ok()
            .content_type("application/json")
            .body("[".repeat(8 * 1024 * 1024)),
        Mood::Redirects => HttpResponse::TemporaryRedirect()
            .insert_header(("Location", elsewhere))
            .finish(),
    }
}

async fn keys(state: Data<State>) -> HttpResponse {
    state.keys_hits.fetch_add(1, Ordering::SeqCst);
    let mood = state.keys_mood.lock().unwrap().clone();
    mooded(mood, "/elsewhere/keys", || {
        HttpResponse::Ok().json(json!({ "keys": *state.published.lock().unwrap() }))
    })
    .await
}

async fn token(state: Data<State>, form: Form<HashMap<String, String>>) -> HttpResponse {
    state.token_hits.fetch_add(1, Ordering::SeqCst);
    let form = form.into_inner();
    state.forms.lock().unwrap().push(form.clone());
    let mood = state.token_mood.lock().unwrap().clone();
    mooded(mood, "/elsewhere/token", || {
        let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
        let refuse = |status: StatusCode, error: &str| {
            let description = "Wrong email or password.";
            HttpResponse::build(status)
                .json(json!({ "error": error, "error_description": description }))
        };
        if !is("client_id", CLIENT) || !is("client_secret", CLIENT_SECRET) {
            return refuse(StatusCode::UNAUTHORIZED, "invalid_client");
        }
        let mut current = state.refresh_token.lock().unwrap();
        let by_password =
            is("grant_type", "password") && is("username", USER) && is("password", PASSWORD);
        let by_refresh = is("grant_type", "refresh_token") && is("refresh_token", &current);
        if by_refresh {
            let number: u32 = current.rsplit('-').next().unwrap().parse().unwrap();
            *current = format!("refresh-{}", number + 1);
        }
        if by_password || by_refresh {
            state.grant(&current)
        } else {
            refuse(StatusCode::FORBIDDEN, "invalid_grant")
        }
    })
    .await
}

async fn redirected(state: Data<State>) -> HttpResponse {
    state.redirected.fetch_add(1, Ordering::SeqCst);
    HttpResponse::Ok().json(json!({ "keys": *state.published.lock().unwrap() }))
}
