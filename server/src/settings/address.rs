//! Values that say where something is: URLs, origins, networks, time zones.

use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;

/// An absolute `https` URL, or an `http` one on this machine, without user and fragment.
pub fn url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let safe = url.scheme() == "https" || (url.scheme() == "http" && is_local(&url));
    (plain && safe && url.has_host()).then_some(url)
}

/// An origin as browsers write it in `Origin`: scheme, host, and the port unless it is the scheme's own.
pub fn origin(text: &str) -> Option<String> {
    // A star stands for the first labels of a name with two more, and nowhere else.
    if let Some((scheme, name)) = text.split_once("://*.") {
        if name.contains('*') {
            return None;
        }
        let below = origin(&format!("{scheme}://{name}"))?;
        let (scheme, name) = below.split_once("://")?;
        let host = name.split(':').next()?;
        let named = host.trim_end_matches('.').contains('.') && host.parse::<IpAddr>().is_err()
            || host == "localhost";
        return named.then(|| format!("{scheme}://*.{name}"));
    }
    if text.contains('*') {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let only_origin = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (only_origin && matches!(url.scheme(), "http" | "https"))
        .then(|| url.origin().ascii_serialization())
}

/// A network, or an address as the network of itself alone.
pub fn network(text: &str) -> Option<IpNet> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.ok().map(|network| network.trunc())
}

/// A host's name in lower case, or `*.` and what names end with.
pub fn host_pattern(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let good = name.split('.').all(label) || text.parse::<IpAddr>().is_ok();
    good.then_some(text)
}

/// Whether there is a time zone of this name.
pub fn time_zone(text: &str) -> bool {
    text.parse::<chrono_tz::Tz>().is_ok()
}

/// Whether a URL leads nowhere but to this machine.
pub fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_https_or_stay_on_this_machine() {
        for good in [
            "https://a.example/oauth/token",
            "http://127.0.0.1:1/t",
            "http://localhost/t",
            "http://[::1]/t",
        ] {
            assert!(url(good).is_some(), "{good}");
        }
        for bad in [
            "http://a.example/",
            "ftp://localhost/",
            "https://",
            "a.example",
            "https://u:p@a.example/",
            "/t",
            "",
        ] {
            assert!(url(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_origin_has_no_path() {
        assert_eq!(
            origin("https://shop.example:8443").as_deref(),
            Some("https://shop.example:8443")
        );
        for bad in [
            "https://shop.example/api",
            "shop.example",
            "https://shop.example?x",
            "*",
            "null",
            "file:///x",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_network_is_cut_to_its_length() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert_eq!(network("10.0.0.0/33"), None);
        assert_eq!(network("everyone"), None);
    }

    #[test]
    fn a_time_zone_is_a_plain_name() {
        assert!(time_zone("America/Mexico_City") && time_zone("Etc/GMT+6") && time_zone("UTC"));
        assert!(
            !time_zone("UTC'; DROP")
                && !time_zone("")
                && !time_zone("+06")
                && !time_zone("America/Gotham")
        );
    }
}
