//! What browsers and proxies have to do with it: whose word on addresses is taken, and whether cookies are safe.

use super::report::Report;
use super::{Patient, is_loopback};

pub(super) fn examine(patient: &Patient, report: &mut Report) {
    let settings = &patient.settings;
    let mut found = report.of("proxy");
    match (settings.server.trusted_proxies.as_slice(), patient.is_public()) {
        ([], true) if !is_loopback(&settings.server.host) => found.warning(
            "server.trusted_proxies",
            "nobody's X-Forwarded-For is believed: behind a proxy all clients share its address, and its login limit",
            "set GOM__SERVER__TRUSTED_PROXIES to the proxy's network, such as 10.0.0.0/8",
        ),
        ([], _) => found.ok("server.trusted_proxies", "none, and none is needed"),
        (networks, _) if networks.iter().any(|network| network.prefix_len() == 0) => found.problem(
            "server.trusted_proxies",
            "everybody's X-Forwarded-For is believed: a client that guesses passwords has a new address each time",
            "list only the networks of your own proxies",
        ),
        (networks, _) => found.ok("server.trusted_proxies", format!("{} networks", networks.len())),
    }
    let cookies = [
        ("session.options.secure", settings.session.options.secure),
        (
            "access_token.options.secure",
            settings.access_token.options.secure,
        ),
        ("csrf.options.secure", settings.csrf.options.secure),
    ];
    let bare: Vec<&str> = cookies
        .iter()
        .filter(|(_, secure)| !secure)
        .map(|(key, _)| *key)
        .collect();
    match (bare.as_slice(), patient.is_public()) {
        ([], _) => found.ok("cookies", "only over https"),
        (_, false) => found.ok("cookies", "also over http, as suits development"),
        (keys, true) => found.problem(
            "cookies",
            format!("they are sent over http too: {}", keys.join(", ")),
            "set these to true",
        ),
    }
    if patient.is_public() && !settings.session.options.http_only {
        found.problem(
            "session.options.http_only",
            "scripts of the page can read the session's cookie",
            "set it to true",
        );
    }
    let plain: Vec<&str> = settings
        .server
        .origins
        .iter()
        .filter(|origin| origin.starts_with("http:"))
        .map(String::as_str)
        .collect();
    if patient.is_public() && !plain.is_empty() {
        found.warning(
            "server.origins",
            format!("pages over http may use the cookies: {}", plain.join(", ")),
            "serve these pages over https",
        );
    }
}
