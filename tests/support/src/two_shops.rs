//! Two shops with a customer each, and who may log in.

use gom_actors::secret::SecretText;
use gom_server::identity::{AccountTable, Hasher, NewAccount};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::browser::{Browser, Reply};
use crate::place::Place;

pub const SELLER: &str = "auth0|seller";
/// What it is called has all that breaks a token in a browser.
pub const BUSINESS: &str = "¿Paletas \"Más\"? > ~ 🌮";
pub const USERNAME: &str = "ana@example.com";
pub const PASSWORD: &str = "correct horse";
pub const CODE: &str = "mWnnB0y32b";
pub const PHONE: &str = "5512345684";

pub const OTHER_SELLER: &str = "auth0|other";
pub const OTHER_USERNAME: &str = "eva@example.com";
pub const OTHER_CODE: &str = "AbCdEf1234";

/// The sellers' rows and their customers'.
pub async fn open_shops(app: &TestApp) {
    let create = "mutation($data: UserCreateInput!) { createUser(data: $data) { uid } }";
    for (seller, business, code, name, phone) in [
        (SELLER, BUSINESS, CODE, "María", "55 1234-5684"),
        (OTHER_SELLER, "Tacos", OTHER_CODE, "Luz", "5598765432"),
    ] {
        let customer =
            json!({ "extUid": code, "name1": name, "lastName1": "Núñez", "phone": phone });
        let data = json!({ "extUid": seller, "business": business, "customers": { "create": [customer] } });
        app.data(create, json!({ "data": data })).await;
    }
}

/// The sellers' accounts, for the provider `accounts`.
pub async fn add_accounts(place: &Place, app: &TestApp) {
    let client = place.database.connect().await;
    let hasher = Hasher::new(&app.settings.auth.accounts);
    for (username, subject) in [(USERNAME, SELLER), (OTHER_USERNAME, OTHER_SELLER)] {
        let profile = json!({ "nickname": username, "name": "Ana", "email": username });
        let Value::Object(profile) = profile else {
            unreachable!()
        };
        let account = NewAccount {
            username: username.to_owned(),
            subject: subject.to_owned(),
            role: "seller".to_owned(),
            password_hash: hasher.hash(&SecretText::new(PASSWORD)).await.unwrap(),
            profile,
        };
        AccountTable::new(&client).add(&account).await.unwrap();
    }
}

/// A server with both shops, whose sellers have accounts.
pub async fn shops(place: &Place, settings: &[(&'static str, &str)]) -> TestApp {
    let app = place.serve(settings).await;
    open_shops(&app).await;
    add_accounts(place, &app).await;
    app
}

/// A seller who has logged in.
pub async fn seller(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    let reply = browser.by_password(USERNAME, PASSWORD).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    browser
}

/// A customer who has logged in.
pub async fn customer(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    let reply = browser.by_phone(CODE, PHONE).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
    browser
}

/// Asks for what needs no rows.
pub async fn knock(browser: &mut Browser) -> Reply {
    browser.graphql("{ __typename }", json!({})).await
}

/// The browser is taken for a user.
pub async fn assert_in(browser: &mut Browser) {
    let reply = knock(browser).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.body);
}

/// The answer logs the browser out.
pub async fn assert_out(browser: &mut Browser) {
    let reply = knock(browser).await;
    assert_eq!(reply.refusal(), (403, "jwt_error"), "{}", reply.body);
}
