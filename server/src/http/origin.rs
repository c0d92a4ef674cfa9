//! From which page a request was sent: what browsers say about it, and no page can change.

use actix_web::HttpRequest;
use actix_web::http::Uri;
use actix_web::http::header;

use super::client_address::TrustedProxies;
use crate::settings::is_local;

const FETCH_SITE: &str = "sec-fetch-site";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// The origins, beside the server's own, whose pages may send requests with cookies.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    allowed: Vec<Allowed>,
    https_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Exactly(String),
    /// `https://*.shop.example:8443`: the scheme with its slashes, and what follows the star.
    Below {
        scheme: String,
        end: String,
    },
}

impl Allowed {
    fn new(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.split_once("://*.") {
            Some((scheme, end)) => Allowed::Below {
                scheme: format!("{scheme}://"),
                end: format!(".{end}"),
            },
            None => Allowed::Exactly(text),
        }
    }

    fn admits(&self, origin: &str) -> bool {
        match self {
            Allowed::Exactly(allowed) => origin == allowed,
            Allowed::Below { scheme, end } => {
                let below = origin
                    .strip_prefix(scheme.as_str())
                    .and_then(|rest| rest.strip_suffix(end.as_str()));
                below.is_some_and(|names| names.split('.').all(is_label))
            }
        }
    }
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Origins {
    /// `allowed`: as browsers write them, `https://shop.example`, without a slash at the end; `https://*.shop.example` is every
    /// name below it. `https_only`: the server's own
    /// pages come over https; a page of the same name over http may come from anyone who stands in between.
    pub fn new(allowed: impl IntoIterator<Item = String>, https_only: bool) -> Self {
        let allowed = allowed
            .into_iter()
            .map(|origin| Allowed::new(&origin))
            .collect();
        Origins {
            allowed,
            https_only,
        }
    }

    /// Whether any origin beside the server's own is allowed.
    pub fn has_others(&self) -> bool {
        !self.allowed.is_empty()
    }

    /// Whether an origin is one of those beside the server's own.
    pub fn lists(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.allowed.iter().any(|allowed| allowed.admits(&origin))
    }

    /// Whether a page of ours sent the request, or none did. Browsers that say `Sec-Fetch-Site` know best: a
    /// proxy between may have changed the host. Of others, the origin must be allowed, or name the host that
    /// is asked. Without either header it was no browser of this century's pages, which send `Origin` with
    /// every POST.
    pub fn admit(&self, request: &HttpRequest, proxies: &TrustedProxies) -> bool {
        let header = |name: &str| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap_or("null"))
        };
        let origin = header(header::ORIGIN.as_str());
        let allowed = origin.is_some_and(|origin| self.lists(origin));
        match (header(FETCH_SITE), origin) {
            (Some("same-origin" | "none"), _) | (None, None) => true,
            (Some(_), _) => allowed,
            (None, Some(origin)) => {
                allowed
                    || self.is_of(origin, header(header::HOST.as_str()))
                    || proxies.sent(request) && self.is_of(origin, header(FORWARDED_HOST))
            }
        }
    }

    fn is_of(&self, origin: &str, host: Option<&str>) -> bool {
        let is_plain = origin
            .get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        // Browsers send `Secure` cookies to their own machine without TLS, too.
        is_of(origin, host) && !(self.https_only && is_plain && !is_local_origin(origin))
    }
}

fn is_local_origin(origin: &str) -> bool {
    reqwest::Url::parse(origin).is_ok_and(|url| is_local(&url))
}

/// Whether an origin's host and port are those of a `Host` header. The scheme is not in it: a proxy in front speaks TLS, and
/// the server does not.
fn is_of(origin: &str, host: Option<&str>) -> bool {
    // Of several proxies, the first wrote down what the browser asked for.
    let host = host
        .and_then(|hosts| hosts.split(',').next())
        .map(str::trim)
        .unwrap_or_default();
    let Ok(uri) = origin.parse::<Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let without_default = |text: &str| {
        text.strip_suffix(default)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    !host.is_empty() && without_default(authority.as_str()) == without_default(host)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn other_sites_pages_are_refused() {
        let origins = Origins::new(["https://Partner.example".to_owned()], false);
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let own = ("host", "shop.example");
        let forwarded = ("x-forwarded-host", "shop.example");
        let inner = ("host", "gom:3000");
        for (peer, headers, expected) in [
            // What is no browser says nothing.
            ("203.0.113.9", &[own][..], true),
            (
                "203.0.113.9",
                &[own, ("sec-fetch-site", "same-origin")],
                true,
            ),
            ("203.0.113.9", &[own, ("sec-fetch-site", "none")], true),
            (
                "203.0.113.9",
                &[own, ("sec-fetch-site", "same-site")],
                false,
            ),
            (
                "203.0.113.9",
                &[own, ("sec-fetch-site", "cross-site")],
                false,
            ),
            (
                "203.0.113.9",
                &[own, ("sec-fetch-site", "something new")],
                false,
            ),
            // The proxy changed the host, the browser knows better.
            (
                "203.0.113.9",
                &[
                    inner,
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://shop.example"),
                ],
                true,
            ),
            (
                "203.0.113.9",
                &[
                    own,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://partner.example"),
                ],
                true,
            ),
            (
                "203.0.113.9",
                &[
                    own,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://shop.example"),
                ],
                false,
            ),
            // Older browsers.
            (
                "203.0.113.9",
                &[own, ("origin", "https://shop.example")],
                true,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "https://SHOP.example:443")],
                true,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "http://shop.example")],
                true,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "https://shop.example:8443")],
                false,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "https://partner.example")],
                true,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "https://partner.example.evil")],
                false,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "https://evil.example")],
                false,
            ),
            (
                "203.0.113.9",
                &[own, ("origin", "https://shop.example.evil.example")],
                false,
            ),
            ("203.0.113.9", &[own, ("origin", "null")], false),
            ("203.0.113.9", &[own, ("origin", "")], false),
            (
                "203.0.113.9",
                &[own, ("origin", "ftp://shop.example")],
                false,
            ),
            (
                "203.0.113.9",
                &[("host", ""), ("origin", "https://")],
                false,
            ),
            (
                "203.0.113.9",
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://localhost:8080"),
                ],
                true,
            ),
            (
                "203.0.113.9",
                &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")],
                true,
            ),
            // The host that a proxy wrote down counts if the proxy is trusted.
            (
                "203.0.113.9",
                &[inner, forwarded, ("origin", "https://shop.example")],
                false,
            ),
            (
                "10.1.1.1",
                &[inner, forwarded, ("origin", "https://shop.example")],
                true,
            ),
            (
                "10.1.1.1",
                &[
                    inner,
                    ("x-forwarded-host", "shop.example, inner.example"),
                    ("origin", "https://shop.example"),
                ],
                true,
            ),
            (
                "10.1.1.1",
                &[inner, forwarded, ("origin", "https://evil.example")],
                false,
            ),
        ] {
            let mut request =
                TestRequest::post().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
            for header in headers {
                request = request.insert_header(*header);
            }
            let request = request.to_http_request();
            assert_eq!(
                origins.admit(&request, &proxies),
                expected,
                "{peer} {headers:?}"
            );
        }
    }

    #[test]
    fn a_star_is_every_name_below_and_nothing_else() {
        let origins = Origins::new(
            [
                "https://*.Shop.example".to_owned(),
                "http://*.lan.example:8080".to_owned(),
            ],
            true,
        );
        for (origin, expected) in [
            ("https://a.shop.example", true),
            ("https://A.b.SHOP.example", true),
            ("http://x.lan.example:8080", true),
            ("https://shop.example", false),
            ("https://.shop.example", false),
            ("https://a..shop.example", false),
            ("https://ashop.example", false),
            ("http://a.shop.example", false),
            ("https://a.shop.example:8443", false),
            ("https://a.shop.example.evil", false),
            ("https://evil.example/.shop.example", false),
            ("https://evil.example:1.shop.example", false),
            ("https://user@a.shop.example", false),
            ("https://*.shop.example", false),
            ("http://x.lan.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(origins.lists(origin), expected, "{origin}");
        }
        assert!(!Origins::default().lists("null") && !Origins::default().lists(""));
    }

    #[test]
    fn a_page_over_http_is_not_the_https_hosts() {
        let origins = Origins::new(["http://partner.example".to_owned()], true);
        for (host, origin, expected) in [
            ("shop.example", "https://shop.example", true),
            ("shop.example", "http://shop.example", false),
            ("shop.example", "HTTP://shop.example", false),
            ("shop.example:80", "http://shop.example", false),
            ("shop.example", "http://partner.example", true),
            ("localhost:3000", "http://localhost:3000", true),
            ("127.0.0.1:3000", "http://127.0.0.1:3000", true),
        ] {
            let request = TestRequest::post()
                .insert_header(("host", host))
                .insert_header(("origin", origin))
                .to_http_request();
            assert_eq!(
                origins.admit(&request, &TrustedProxies::default()),
                expected,
                "{host} {origin}"
            );
        }
    }
}
