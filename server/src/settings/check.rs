//! What no single value shows: settings that are missing, or do not go together.

use gom_actors::database::DatabaseOptions;
use gom_actors::push::{VapidError, VapidKeys};

use super::address::url;
use super::auth::Provider;
use super::cookies::SameSite;
use super::redis::StoreBackend;
use super::strength::MIN_SECRET_CHARACTERS;
use super::{Problem, Purpose, Settings, weakness};

/// Characters of a token that anybody may try to guess.
const TOKEN_CHARACTERS: usize = 16;

/// The problems found so far, and whether a key has one already.
struct Findings<'a>(&'a mut Vec<Problem>);

impl Findings<'_> {
    /// Says nothing of a key whose value was refused: it is neither missing nor what it seems.
    fn add(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        if !self.0.iter().any(|problem| problem.key == key) {
            let (message, remedy) = (message.into(), remedy.into());
            self.0.push(Problem {
                key: key.into(),
                source: None,
                message,
                remedy,
            });
        }
    }
}

/// `environment`: the name in `GOM_ENV`.
pub(super) fn check(
    settings: &Settings,
    purpose: Purpose,
    environment: &str,
    problems: &mut Vec<Problem>,
) {
    let mut found = Findings(problems);
    if purpose == Purpose::Serve {
        secrets(settings, &mut found);
        weak_service_secret(settings, environment, &mut found);
        token_endpoint(settings, &mut found);
    }
    issuers(settings, environment, &mut found);
    database_password(settings, &mut found);
    cookies(settings, &mut found);
    push_keys(settings, &mut found);
    metrics_token(settings, &mut found);
    request_sizes(settings, &mut found);
    stores(settings, &mut found);
}

/// What is to be stored in Redis needs one.
fn stores(settings: &Settings, found: &mut Findings<'_>) {
    let chosen = [
        ("sessions.store", settings.sessions.store),
        ("login_limiter.store", settings.login_limiter.store),
        ("push.devices_store", settings.push.devices_store),
    ];
    for (key, _) in chosen
        .into_iter()
        .filter(|(_, store)| *store == Some(StoreBackend::Redis))
        .filter(|_| !settings.redis.is_configured())
    {
        found.add(
            key,
            "\"redis\" is chosen, and redis.host is not set",
            "set redis.host (REDIS_HOST), or choose \"postgres\"",
        );
    }
}

/// A body that may be sent has to fit into what all requests together may have.
fn request_sizes(settings: &Settings, found: &mut Findings<'_>) {
    let Settings { limits, server, .. } = settings;
    let (everyone, service) = (&limits.everyone, &limits.service);
    for (key, total, body_key, body) in [
        (
            "limits.request_bytes",
            everyone.request_bytes,
            "limits.body_bytes",
            everyone.body_bytes,
        ),
        (
            "limits.service.request_bytes",
            service.request_bytes,
            "limits.service.body_bytes",
            service.body_bytes,
        ),
        (
            "server.request_bytes",
            server.request_bytes,
            "limits.body_bytes",
            everyone.body_bytes,
        ),
        (
            "server.request_bytes",
            server.request_bytes,
            "limits.service.body_bytes",
            service.body_bytes,
        ),
    ] {
        if total < body {
            found.add(
                key,
                format!("{total} bytes are less than one body may have: {body_key} is {body}"),
                format!("set it to {body} or more, or lower {body_key}"),
            );
        }
    }
}

fn metrics_token(settings: &Settings, found: &mut Findings<'_>) {
    let token = settings.metrics.token.as_ref();
    if token.is_some_and(|token| token.expose().chars().count() < TOKEN_CHARACTERS) {
        found.add(
            "metrics.token",
            format!("shorter than {TOKEN_CHARACTERS} characters: it could be guessed"),
            "set METRICS_TOKEN to random bytes: `openssl rand -hex 32`",
        );
    }
}

fn database_password(settings: &Settings, found: &mut Findings<'_>) {
    let database = &settings.database;
    let (Some(_), options) = (
        &database.password,
        database
            .url
            .as_ref()
            .map(|url| DatabaseOptions::from_url(url.expose())),
    ) else {
        return;
    };
    match options {
        None => found.add(
            "database.password",
            "set without database.url: the private database needs no password",
            "set DATABASE_URL to a URL without a password, such as postgres://user@host:5432/database",
        ),
        Some(Ok(options)) if options.server.get_password().is_some() => found.add(
            "database.password",
            "given twice: database.url has a password of its own",
            "leave the password out of the URL, or leave PG_PASSWORD unset",
        ),
        Some(_) => {}
    }
}

fn secrets(settings: &Settings, found: &mut Findings<'_>) {
    if settings.database.url.is_some() && settings.service.secret.is_none() {
        found.add(
            "service.secret",
            "missing: with a database of its own, the server needs a secret for service tokens",
            "set PRISMA_SECRET, or PRISMA_SECRET_FILE to a file that holds it (32 random bytes or more: `openssl rand -hex 32`)",
        );
    }
    for (key, variable, value) in [
        ("app_key", "APP_KEY", &settings.app_key),
        (
            "app_key_previous",
            "APP_KEY_PREVIOUS",
            &settings.app_key_previous,
        ),
    ] {
        if value
            .as_ref()
            .is_some_and(|value| value.expose().chars().count() < MIN_SECRET_CHARACTERS)
        {
            found.add(
                key,
                format!(
                    "shorter than {MIN_SECRET_CHARACTERS} characters: what it signs could be forged"
                ),
                format!("set {variable} to 32 random bytes or more: `openssl rand -hex 32`"),
            );
        }
    }
}

/// Anyone who guesses the service secret may do everything. Outside development a weak one is refused; and wherever the keys of
/// cookies are derived from it, for then each visitor holds a cookie against which guesses can be checked at leisure.
fn weak_service_secret(settings: &Settings, environment: &str, found: &mut Findings<'_>) {
    let Some(weakness) = settings.service.secret.as_ref().and_then(weakness) else {
        return;
    };
    let derived = settings.app_key.is_none() && settings.database.url.is_some();
    if environment != "development" {
        found.add(
            "service.secret",
            format!("weak: {weakness}. What it signs may do everything"),
            "set PRISMA_SECRET to random bytes: `openssl rand -hex 32`",
        );
    } else if derived {
        found.add(
            "service.secret",
            format!(
                "weak: {weakness}. Without app_key the keys of cookies are derived from it, and every visitor could check guesses"
            ),
            "set PRISMA_SECRET, or APP_KEY, to random bytes: `openssl rand -hex 32`",
        );
    }
}

fn token_endpoint(settings: &Settings, found: &mut Findings<'_>) {
    if settings.auth.provider() != Provider::OAuth2 {
        return;
    }
    let oauth2 = &settings.auth.oauth2;
    for (key, value) in [
        ("auth.oauth2.token_url", &oauth2.token_url),
        ("auth.oauth2.issuer", &oauth2.issuer),
        ("auth.oauth2.client_id", &oauth2.client_id),
        ("auth.oauth2.audience", &oauth2.audience),
        ("auth.oauth2.jwks_endpoint", &oauth2.jwks_endpoint),
    ] {
        if value.is_none() {
            found.add(
                key,
                "missing: passwords are checked by a token endpoint (auth.provider is oauth2, or auth.oauth2.client_id is set)",
                "set it, or set auth.provider to \"accounts\"",
            );
        }
    }
    if oauth2.audience.is_some() && oauth2.audience == oauth2.client_id {
        found.add(
            "auth.oauth2.audience",
            "the same as auth.oauth2.client_id: an id token could not be distinguished from an access token",
            "give the API an audience of its own at the issuer, and set it here",
        );
    }
}

/// Whose tokens are accepted has users of its own: no token may be taken for another issuer's, or for one of another use.
fn issuers(settings: &Settings, environment: &str, found: &mut Findings<'_>) {
    let auth = &settings.auth;
    for issuer in &auth.issuers {
        let name = &issuer.issuer;
        let mut problem = |message: &str, remedy: &str| {
            found.add(
                "auth.issuers",
                format!("issuer \"{name}\": {message}"),
                remedy,
            );
        };
        let addresses = [Some(name), issuer.jwks_url.as_ref()];
        let is_plain = |address: &String| url(address).is_some_and(|url| url.scheme() == "http");
        if environment != "development" && addresses.into_iter().flatten().any(is_plain) {
            problem(
                "keys that are fetched over http may be anybody's",
                "give https URLs; http is for development",
            );
        }
        if *name == auth.local.issuer {
            problem(
                "the same as auth.local.issuer, which names the server's own tokens",
                "give one of them another name",
            );
        }
        let oauth2 = &auth.oauth2;
        if oauth2.issuer.as_ref() != Some(name) {
            continue;
        }
        if issuer.subject_claim.0 != ["sub"] {
            problem(
                "its users log in as well (auth.oauth2.issuer), by the claim `sub`: another claim would be another user's name",
                "leave out subject_claim",
            );
        }
        if oauth2
            .client_id
            .as_ref()
            .is_some_and(|client| issuer.audiences.contains(client))
        {
            problem(
                "auth.oauth2.client_id is among its audiences: an id token could not be distinguished from an access token",
                "give the API an audience of its own at the issuer",
            );
        }
    }
}

fn cookies(settings: &Settings, found: &mut Findings<'_>) {
    let (session, access_token, csrf) = (
        &settings.session.options,
        &settings.access_token.options,
        &settings.csrf.options,
    );
    for (key, same_site, secure) in [
        (
            "session.options.same_site",
            session.same_site,
            session.secure,
        ),
        (
            "access_token.options.same_site",
            access_token.same_site,
            access_token.secure,
        ),
        ("csrf.options.same_site", csrf.same_site, csrf.secure),
    ] {
        if same_site == SameSite::None && !secure {
            found.add(
                key,
                "\"none\" for a cookie that is not `Secure`: browsers throw it away",
                "set it to \"lax\", or `secure` beside it to true",
            );
        }
    }
    if settings.sessions.max_lifetime < session.max_age {
        found.add(
            "sessions.max_lifetime",
            "shorter than session.options.max_age, the time that an unused session lives",
            "make it at least as long",
        );
    }
}

fn push_keys(settings: &Settings, found: &mut Findings<'_>) {
    let (push, vapid) = (&settings.push, &settings.push.vapid);
    if push.lease < 3 * push.timeout {
        found.add(
            "push.lease",
            "shorter than three times push.timeout: what is in flight could be taken over and sent twice",
            "make it at least three times as long as push.timeout",
        );
    }
    if vapid.public_key.is_some() && vapid.private_key.is_none() {
        found.add(
            "push.vapid.private_key",
            "missing: push.vapid.public_key is set",
            "set VAPID_PRIVATE_KEY, or VAPID_PRIVATE_KEY_FILE to a file that holds it",
        );
    }
    if vapid.private_key.is_some() && vapid.public_key.is_none() {
        found.add(
            "push.vapid.public_key",
            "missing: push.vapid.private_key is set",
            "set VAPID_PUBLIC_KEY, or VAPID_PUBLIC_KEY_FILE to a file that holds it",
        );
    }
    let (Some(public), Some(private)) = (&vapid.public_key, &vapid.private_key) else {
        return;
    };
    if let Err(error) = VapidKeys::parse(public, private.expose()) {
        let key = match error {
            VapidError::Public => "push.vapid.public_key",
            _ => "push.vapid.private_key",
        };
        found.add(
            key,
            error.to_string(),
            "make a pair with `gom vapid generate`, and give the browsers its public key",
        );
    }
    if vapid.subject.is_none() {
        found.add(
            "push.vapid.subject",
            "missing: push services require a contact address",
            "set VAPID_SUBJECT to a mailto: address or an https: URL",
        );
    }
}
