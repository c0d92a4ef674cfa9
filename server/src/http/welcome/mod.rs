//! `GET /`: what this is, how it is doing, and where to go on; a page for browsers, JSON for all others. Says as little as
//! it can where that is wanted: then there is a name and a state.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, VARY};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::State;
use super::built_in::File;
use super::health::HealthChecks;
use super::openapi::{OperationObject, ResponseObject, Tag};
use super::page::{bind, wants_page};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("links.js");
const ABOUT: &str = "<p>A Prisma datamodel, served as a GraphQL API on PostgreSQL: queries, mutations, \
    live subscriptions and web push.</p>\n";
const NAME: &str = "gom";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Style and script are a few lines, stand in the page and are known by their digests. So the page needs no other
/// address, which it could not know behind a proxy that serves it at a path without a slash at its end.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src 'self'; frame-ancestors 'none'; \
         base-uri 'none'; form-action 'none'",
        source(SCRIPT),
        source(STYLE)
    )
});

static ICON: LazyLock<File> =
    LazyLock::new(|| File::plain("favicon.svg", "image/svg+xml", include_str!("../icon.svg")));

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    Full,
    /// The name and the state.
    Brief,
}

/// Whether requests are answered, and if not, what is in the way. Whatever that is called in the log may name hosts, and
/// does not stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ServiceStatus {
    ready: bool,
    reason: &'static str,
}

/// A place to go on to.
struct Link {
    path: &'static str,
    name: &'static str,
    what: &'static str,
}

pub fn describe() -> OperationObject {
    let text = json!({ "type": "string" });
    let body = json!({
        "type": "object",
        "required": ["name", "status"],
        "properties": {
            "name": { "const": NAME },
            "status": { "enum": ["ready", "not ready"] },
            "version": text,
            "reason": text,
            "links": { "type": "object", "additionalProperties": text },
        },
    });
    OperationObject::new(Tag::Server, "welcome", "What this is, how it is doing, and where to go on")
        .text("A page for browsers, JSON for others. Tells the name and the state only where `server.welcome` is off. With `query`, or as the handshake of a websocket, the address is that of `/graphql`.")
        .answer(ResponseObject::new(200, "In each state.").json(body).content("text/html", text))
}

pub fn describe_icon() -> OperationObject {
    OperationObject::new(Tag::Server, "icon", "The icon of the pages")
        .answer(
            ResponseObject::new(200, "It.")
                .content("image/svg+xml", json!({ "type": "string" }))
                .may_be_kept(),
        )
        .answer(ResponseObject::new(304, "The browser has it.").may_be_kept())
}

pub async fn welcome(
    request: HttpRequest,
    state: Data<State>,
    checks: Data<HealthChecks>,
) -> HttpResponse {
    let standing = standing(&checks).await;
    let links = links(&state);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((VARY, "Accept"));
    if !wants_page(request.headers()) {
        return response.json(described(state.welcome, standing, &links));
    }
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    let mut response = response.body(page(state.welcome, standing, &links));
    bind(
        response.headers_mut(),
        HeaderValue::from_str(&POLICY).expect("digests are letters"),
        "Accept",
    );
    response
}

pub async fn icon(request: HttpRequest) -> HttpResponse {
    ICON.answer(&request)
}

/// The same as `/readyz` finds, in words.
async fn standing(checks: &HealthChecks) -> ServiceStatus {
    if checks.stop.is_requested() {
        return ServiceStatus {
            ready: false,
            reason: "The server has been requested to stop.",
        };
    }
    let Some((name, state)) = checks.lacking().await else {
        return ServiceStatus {
            ready: true,
            reason: "Requests are answered.",
        };
    };
    let reason = match (name.as_str(), state.as_str()) {
        ("database", "connecting") => "The database has not been reached yet.",
        ("database", "read_only") => {
            "The database takes no writes at the moment; reads are answered."
        }
        ("database", "out_of_connections") => "The database gives no further connections.",
        ("database", _) => "The database does not answer. The connection is retried all the time.",
        ("datamodel", _) => "The database is being brought to the datamodel.",
        ("sessions", _) => {
            "The store of sessions does not answer: users wait, services are answered."
        }
        _ => "Something that is needed does not answer.",
    };
    ServiceStatus {
        ready: false,
        reason,
    }
}

fn links(state: &State) -> Vec<Link> {
    let console = Link {
        path: "graphql",
        name: "GraphiQL",
        what: "write queries, read the schema, watch subscriptions",
    };
    let api = Link {
        path: "openapi",
        name: "HTTP API",
        what: "each path and what it answers",
    };
    let ready = Link {
        path: "readyz",
        name: "Readiness",
        what: "what is there, and since when",
    };
    let version = Link {
        path: "version",
        name: "Version",
        what: "which program this is",
    };
    let console = state.console.is_some().then_some(console);
    let api = state.description.is_some().then_some(api);
    console
        .into_iter()
        .chain(api)
        .chain([ready, version])
        .collect()
}

fn described(welcome: Welcome, standing: ServiceStatus, links: &[Link]) -> Value {
    let status = if standing.ready { "ready" } else { "not ready" };
    if welcome == Welcome::Brief {
        return json!({ "name": NAME, "status": status });
    }
    // The API's own address is no page, and stands here for programs.
    let api = ("graphql".to_owned(), json!("graphql"));
    let pages = links.iter().filter(|link| link.path != "graphql");
    let links = pages.map(|link| (link.path.to_owned(), json!(link.path)));
    let links = std::iter::once(api).chain(links).collect::<Map<_, _>>();
    json!({ "name": NAME, "version": VERSION, "status": status, "reason": standing.reason, "links": links })
}

fn page(welcome: Welcome, standing: ServiceStatus, links: &[Link]) -> String {
    let full = welcome == Welcome::Full;
    let mut list = String::new();
    if full {
        list.push_str("<ul>\n");
        for Link { path, name, what } in links {
            // Writing into a text does not fail.
            let _ = writeln!(
                list,
                r#"<li><a href="{path}"><b>{name}</b><span>{what}</span></a></li>"#
            );
        }
        list.push_str("</ul>\n");
    }
    let version = if full {
        format!("<small>{VERSION}</small>")
    } else {
        String::new()
    };
    let (class, word) = if standing.ready {
        (" ready", "Ready")
    } else {
        ("", "Not ready")
    };
    PAGE.replace("{style}", STYLE)
        .replace("{script}", SCRIPT)
        .replace("{version}", &version)
        .replace("{about}", if full { ABOUT } else { "" })
        .replace("{class}", class)
        .replace("{state}", word)
        .replace("{reason}", if full { standing.reason } else { "" })
        .replace("{links}", &list)
}

/// How a content security policy names a text that stands in the page.
fn source(text: &str) -> String {
    format!(
        "sha256-{}",
        STANDARD.encode(digest(&SHA256, text.as_bytes()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: ServiceStatus = ServiceStatus {
        ready: true,
        reason: "Requests are answered.",
    };

    #[test]
    fn the_policy_names_what_stands_in_the_page() {
        let page = page(Welcome::Full, READY, &[]);
        for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
            let text = page
                .split(&format!("<{tag}>"))
                .nth(1)
                .and_then(|rest| rest.split("</").next());
            let expected = format!("{directive} '{}'", source(text.expect("it is there")));
            assert!(
                POLICY.contains(&expected),
                "{expected} is not in {}",
                *POLICY
            );
        }
        assert!(HeaderValue::from_str(&POLICY).is_ok());
    }

    #[test]
    fn a_brief_welcome_tells_no_version_and_no_place() {
        let links = [Link {
            path: "graphql",
            name: "GraphiQL",
            what: "",
        }];
        let brief = page(Welcome::Brief, READY, &links);
        assert!(
            brief.contains("Ready") && !brief.contains(READY.reason),
            "{brief}"
        );
        assert!(
            !brief.contains(VERSION) && !brief.contains("<a "),
            "{brief}"
        );
        assert_eq!(
            described(Welcome::Brief, READY, &links),
            json!({ "name": "gom", "status": "ready" })
        );
        let full = page(Welcome::Full, READY, &links);
        assert!(
            full.contains(VERSION) && full.contains(r#"<a href="graphql">"#),
            "{full}"
        );
    }
}
