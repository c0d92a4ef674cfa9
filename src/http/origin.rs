//! From which page a request was sent: what browsers say about it, and no page can change.

use actix_web::HttpRequest;
use actix_web::http::Uri;
use actix_web::http::header;

use super::client_address::TrustedProxies;

const FETCH_SITE: &str = "sec-fetch-site";
const FORWARDED_HOST: &str = "x-forwarded-host";

/// The origins, beside the server's own, whose pages may send requests with cookies.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// `allowed`: as browsers write them, `https://shop.example`, without a slash at the end.
    pub fn new(allowed: impl IntoIterator<Item = String>) -> Self {
        Origins(allowed.into_iter().map(|origin| origin.to_ascii_lowercase()).collect())
    }

    /// Whether a page of ours sent the request, or none did. Browsers that say `Sec-Fetch-Site` know best: a
    /// proxy between may have changed the host. Of others, the origin must be allowed, or name the host that
    /// is asked. Without either header it was no browser of this century's pages, which send `Origin` with
    /// every POST.
    pub fn admit(&self, request: &HttpRequest, proxies: &TrustedProxies) -> bool {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("null"));
        let origin = header(header::ORIGIN.as_str());
        let allowed = origin.is_some_and(|origin| self.0.iter().any(|o| origin.eq_ignore_ascii_case(o)));
        match (header(FETCH_SITE), origin) {
            (Some("same-origin" | "none"), _) | (None, None) => true,
            (Some(_), _) => allowed,
            (None, Some(origin)) => {
                allowed
                    || is_of(origin, header(header::HOST.as_str()))
                    || proxies.sent(request) && is_of(origin, header(FORWARDED_HOST))
            }
        }
    }
}

/// Whether an origin's host and port are those of a `Host` header. The scheme cannot be compared: a proxy in
/// front speaks TLS, and the server does not.
fn is_of(origin: &str, host: Option<&str>) -> bool {
    // Of several proxies, the first wrote down what the browser asked for.
    let host = host.and_then(|hosts| hosts.split(',').next()).map(str::trim).unwrap_or_default();
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return false };
    let default = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let without_default = |text: &str| text.strip_suffix(default).unwrap_or(text).to_ascii_lowercase();
    !host.is_empty() && without_default(authority.as_str()) == without_default(host)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn other_sites_pages_are_refused() {
        let origins = Origins::new(["https://Partner.example".to_owned()]);
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let own = ("host", "shop.example");
        let forwarded = ("x-forwarded-host", "shop.example");
        let inner = ("host", "gom:3000");
        for (peer, headers, expected) in [
            // What is no browser says nothing.
            ("203.0.113.9", &[own][..], true),
            ("203.0.113.9", &[own, ("sec-fetch-site", "same-origin")], true),
            ("203.0.113.9", &[own, ("sec-fetch-site", "none")], true),
            ("203.0.113.9", &[own, ("sec-fetch-site", "same-site")], false),
            ("203.0.113.9", &[own, ("sec-fetch-site", "cross-site")], false),
            ("203.0.113.9", &[own, ("sec-fetch-site", "something new")], false),
            // The proxy changed the host, the browser knows better.
            (
                "203.0.113.9",
                &[inner, ("sec-fetch-site", "same-origin"), ("origin", "https://shop.example")],
                true,
            ),
            (
                "203.0.113.9",
                &[own, ("sec-fetch-site", "cross-site"), ("origin", "https://partner.example")],
                true,
            ),
            (
                "203.0.113.9",
                &[own, ("sec-fetch-site", "cross-site"), ("origin", "https://shop.example")],
                false,
            ),
            // Older browsers.
            ("203.0.113.9", &[own, ("origin", "https://shop.example")], true),
            ("203.0.113.9", &[own, ("origin", "https://SHOP.example:443")], true),
            ("203.0.113.9", &[own, ("origin", "http://shop.example")], true),
            ("203.0.113.9", &[own, ("origin", "https://shop.example:8443")], false),
            ("203.0.113.9", &[own, ("origin", "https://partner.example")], true),
            ("203.0.113.9", &[own, ("origin", "https://partner.example.evil")], false),
            ("203.0.113.9", &[own, ("origin", "https://evil.example")], false),
            ("203.0.113.9", &[own, ("origin", "https://shop.example.evil.example")], false),
            ("203.0.113.9", &[own, ("origin", "null")], false),
            ("203.0.113.9", &[own, ("origin", "")], false),
            ("203.0.113.9", &[own, ("origin", "ftp://shop.example")], false),
            ("203.0.113.9", &[("host", ""), ("origin", "https://")], false),
            ("203.0.113.9", &[("host", "localhost:8080"), ("origin", "http://localhost:8080")], true),
            ("203.0.113.9", &[("host", "[::1]:8080"), ("origin", "http://[::1]:8080")], true),
            // The host that a proxy wrote down counts if the proxy is trusted.
            ("203.0.113.9", &[inner, forwarded, ("origin", "https://shop.example")], false),
            ("10.1.1.1", &[inner, forwarded, ("origin", "https://shop.example")], true),
            (
                "10.1.1.1",
                &[
                    inner,
                    ("x-forwarded-host", "shop.example, inner.example"),
                    ("origin", "https://shop.example"),
                ],
                true,
            ),
            ("10.1.1.1", &[inner, forwarded, ("origin", "https://evil.example")], false),
        ] {
            let mut request = TestRequest::post().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
            for header in headers {
                request = request.insert_header(*header);
            }
            let request = request.to_http_request();
            assert_eq!(origins.admit(&request, &proxies), expected, "{peer} {headers:?}");
        }
    }
}
