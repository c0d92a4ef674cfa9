//! `/auth`: logging in and out, and what a browser needs before it can. One file for each endpoint.

mod login;
mod logout;
mod ping;

use actix_web::http::Method;
use gom_telemetry::metrics::Route;
use serde_json::Value;

use super::additions::Additions;
use super::endpoint::Endpoint;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::at("/auth/ping")
            .get(ping::handle, ping::operation())
            .kept_from_caches()
            .labelled(Route::Ping),
        Endpoint::at("/auth/login")
            .post(login::handle, login::operation())
            .kept_from_caches()
            .labelled(Route::Login),
        // Without HEAD, which changes nothing.
        Endpoint::at("/auth/logout")
            .on(Method::GET, logout::handle, logout::by_get())
            .post(logout::handle, logout::by_post())
            .kept_from_caches()
            .labelled(Route::Logout),
    ]
}

/// What the operations' schemas refer to.
pub fn schemas(additions: &Additions) -> Value {
    login::schemas(additions)
}
