//! From which address a request comes: the socket's, or what trusted proxies say. A client that is no trusted
//! proxy may write into `X-Forwarded-For` what it likes; it is not read.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks of the proxies in front of the server.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        TrustedProxies(networks)
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whether the request was handed on by a trusted proxy, so that its forwarding headers can be believed.
    pub(crate) fn sent(&self, request: &HttpRequest) -> bool {
        self.holds(socket(request))
    }

    /// The address that a request is counted against.
    pub fn client_of(&self, request: &HttpRequest) -> ClientAddress {
        self.client(socket(request), request.headers())
    }

    /// From the socket backwards through the proxies, each of which appended whom it was asked by: the first
    /// address that is no trusted proxy. What stands before it may be made up.
    fn client(&self, socket: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = socket;
        let lines: Vec<&str> = headers
            .get_all(FORWARDED_FOR)
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        while self.holds(client) {
            // A proxy that writes something else than addresses is the last that is known.
            let Some(address) = hops.next().and_then(|hop| parse(hop.trim())) else {
                break;
            };
            client = address;
        }
        ClientAddress(client)
    }
}

/// Where a request comes from. Shown as limits are counted: an IPv6 address by its network of 64 bits, which
/// is the least that one client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The networks that an attempt from here is counted against, the narrowest first, each with how many times the
    /// points of an address it has. A subscriber of a provider gets an IPv6 network of 64 to 48 bits, and with it all
    /// that are in it: without the wider counts, one subscriber would have the points of 65,536 addresses.
    pub fn networks(self) -> Vec<(String, u32)> {
        match self.0 {
            IpAddr::V4(_) => vec![(self.to_string(), 1)],
            IpAddr::V6(address) => [(64, 1), (56, 4), (48, 16)]
                .map(|(bits, times)| (network(address, bits), times))
                .into(),
        }
    }
}

fn network(address: Ipv6Addr, bits: u32) -> String {
    let rest = 128 - bits;
    format!(
        "{}/{bits}",
        Ipv6Addr::from_bits(address.to_bits() >> rest << rest)
    )
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => f.write_str(&network(address, 64)),
        }
    }
}

fn socket(request: &HttpRequest) -> IpAddr {
    // Without one, the server listens on a socket of this machine.
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    request
        .peer_addr()
        .map_or(local, |peer| peer.ip())
        .to_canonical()
}

/// An address, or an address with a port, as some proxies write. IPv4 in IPv6 is IPv4.
fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|hop| hop.strip_suffix(']'))
        .unwrap_or(hop);
    let address = bare
        .parse()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies::new(
            trusted
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
        );
        let mut request =
            TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 4000));
        for line in forwarded {
            request = request.append_header((FORWARDED_FOR, *line));
        }
        proxies.client_of(&request.to_http_request()).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = &["10.0.0.0/8", "fd00::/8"][..];
        for (trusted, peer, forwarded, expected) in [
            (&[][..], "203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            (proxies, "203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            (proxies, "10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
            (
                proxies,
                "10.1.2.3",
                &["6.6.6.6, 198.51.100.1, 10.9.9.9"],
                "198.51.100.1",
            ),
            (
                proxies,
                "10.1.2.3",
                &["6.6.6.6", "198.51.100.1", "10.9.9.9"],
                "198.51.100.1",
            ),
            (proxies, "10.1.2.3", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
            (proxies, "10.1.2.3", &[], "10.1.2.3"),
            (proxies, "10.1.2.3", &[""], "10.1.2.3"),
            (proxies, "10.1.2.3", &["6.6.6.6, malformed"], "10.1.2.3"),
            (proxies, "10.1.2.3", &["198.51.100.1:5000"], "198.51.100.1"),
            (
                proxies,
                "::ffff:10.1.2.3",
                &["::ffff:198.51.100.1"],
                "198.51.100.1",
            ),
            (
                proxies,
                "fd00::1",
                &["[2001:db8:1:2:3:4:5:6]:443"],
                "2001:db8:1:2::/64",
            ),
            (
                proxies,
                "fd00::1",
                &["[2001:db8:1:2:3:4:5:6]"],
                "2001:db8:1:2::/64",
            ),
        ] {
            assert_eq!(
                client(trusted, peer, forwarded),
                expected,
                "{peer} {forwarded:?}"
            );
        }
    }

    #[test]
    fn an_ipv6_address_counts_for_every_network_that_a_provider_gives_to_one_subscriber() {
        let networks = |address: &str| ClientAddress(address.parse().unwrap()).networks();
        let owned = |networks: &[(&str, u32)]| -> Vec<(String, u32)> {
            networks
                .iter()
                .map(|(network, times)| ((*network).to_owned(), *times))
                .collect()
        };
        assert_eq!(networks("192.0.2.1"), owned(&[("192.0.2.1", 1)]));
        let expected = owned(&[
            ("2001:db8:1:abcd::/64", 1),
            ("2001:db8:1:ab00::/56", 4),
            ("2001:db8:1::/48", 16),
        ]);
        assert_eq!(networks("2001:db8:1:abcd:2:3:4:5"), expected);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        assert_eq!(
            client(&[], "2001:db8::1", &[]),
            client(&[], "2001:db8::ffff:1", &[])
        );
        assert_ne!(
            client(&[], "2001:db8::1", &[]),
            client(&[], "2001:db8:0:1::1", &[])
        );
    }
}
