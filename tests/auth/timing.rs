//! Unknown users and wrong passwords take the same time, as far as a client can measure.
//!
//! By `scripts/test --long`, a thousand tries of each kind; in every run, enough to see a missing step.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use gom_test_support::browser::Browser;
use gom_test_support::place::{Place, Stores};
use gom_test_support::two_shops::{CODE, USERNAME, shops};

const LONG: usize = 1_000;
const SHORT: usize = 60;
const ROUNDS: usize = 5;

/// One more wrong attempt; how long the answer took.
async fn attempt(browser: &Browser, body: Value) -> Duration {
    let mut browser = browser.clone();
    let asked = Instant::now();
    let reply = browser.send(Method::POST, "/auth/login", Some(body)).await;
    let took = asked.elapsed();
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.body);
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The ratio of the medians of both.
async fn ratio(browser: &Browser, what: &str, unknown: &Value, wrong: &Value) -> f64 {
    let tries = if std::env::var_os("PROPTEST_CASES").is_some() {
        LONG
    } else {
        SHORT
    };
    let (mut of_unknown, mut of_wrong) = (Vec::new(), Vec::new());
    // By turns, so that what else the machine does falls on both.
    for n in 0..tries + 5 {
        let pair = (
            attempt(browser, unknown.clone()).await,
            attempt(browser, wrong.clone()).await,
        );
        // The first ones open connections and fill caches.
        if n >= 5 {
            of_unknown.push(pair.0);
            of_wrong.push(pair.1);
        }
    }
    let (unknown, wrong) = (median(of_unknown), median(of_wrong));
    let ratio = unknown.as_secs_f64() / wrong.as_secs_f64();
    println!(
        "{what}: unknown {unknown:?}, wrong {wrong:?}, ratio {ratio:.3} over {tries} tries each"
    );
    ratio
}

/// A step that one of them leaves out shows every time, and by far; what else the machine does, only now and
/// then.
async fn compare(browser: &Browser, what: &str, unknown: Value, wrong: Value) {
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        seen.push(ratio(browser, what, &unknown, &wrong).await);
        if (0.75..1.33).contains(&seen[seen.len() - 1]) {
            return;
        }
    }
    panic!("{what}: {seen:?}");
}

#[actix_web::test]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    for stores in [Stores::Redis, Stores::Postgres] {
        let place = Place::new(stores).await;
        let app = shops(
            &place,
            &[
                ("login_limiter.consecutive_fails.points", "1000000"),
                ("login_limiter.slow_brute.points", "1000000"),
                ("login_limiter.account.points", "1000000"),
                ("auth.accounts.hash_memory", "4096"),
            ],
        )
        .await;
        let mut browser = app.browser();
        browser.ping().await;
        let password = |username: &str| json!({ "grantType": "password", "username": username, "password": "wrong" });
        compare(
            &browser,
            "password",
            password("nobody@example.com"),
            password(USERNAME),
        )
        .await;
        let phone =
            |code: &str| json!({ "grantType": "phone", "username": code, "phone": "0000000000" });
        compare(
            &browser,
            "telephone number",
            phone("NoSuchCode"),
            phone(CODE),
        )
        .await;
    }
}
