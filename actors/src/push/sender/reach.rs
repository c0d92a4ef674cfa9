//! Where messages may go. Endpoints come from strangers: without a look at each address, a subscription would make the
//! server knock at doors of the network that it stands in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// Why nothing is sent there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It is no `https` URL with a host.
    #[error("the endpoint is no https URL with a host")]
    NoUrl,
    /// Its host is not among those that `push.allowed_hosts` lists.
    #[error("the endpoint's host is not among push.allowed_hosts")]
    NotAllowed,
    /// Its address is private, local or reserved.
    #[error("the endpoint's address is inside: private, local or reserved")]
    Inside,
    /// Its port is another than 443.
    #[error("the endpoint's port is not 443 (push.any_port)")]
    Port,
}

/// Addresses and hosts that messages may go to.
#[derive(Debug)]
pub(super) struct Reach {
    inside: Vec<IpNet>,
    hosts: Vec<String>,
    any_port: bool,
}

impl Reach {
    pub fn new(inside: Vec<IpNet>, hosts: &[String], any_port: bool) -> Self {
        Reach {
            inside,
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            any_port,
        }
    }

    /// Everything that can be checked without resolving a name. `Url` has brought the many spellings of an address
    /// (decimal, octal, hexadecimal, with parts left out) to one.
    pub fn check(&self, url: &Url) -> Result<(), Unreachable> {
        if url.scheme() != "https" {
            return Err(Unreachable::NoUrl);
        }
        // Push services are at 443; at others, a subscription would find out what listens there.
        if !self.any_port && url.port_or_known_default() != Some(443) {
            return Err(Unreachable::Port);
        }
        match url.host().ok_or(Unreachable::NoUrl)? {
            Host::Ipv4(address) => {
                self.host(&address.to_string())?;
                self.address(address.into())
            }
            Host::Ipv6(address) => {
                self.host(&address.to_string())?;
                self.address(address.into())
            }
            Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                self.host(&name)?;
                if name == "localhost" || name.ends_with(".localhost") {
                    return self.address(Ipv4Addr::LOCALHOST.into());
                }
                if name.is_empty() {
                    Err(Unreachable::NoUrl)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn host(&self, name: &str) -> Result<(), Unreachable> {
        let is = |allowed: &String| match allowed.strip_prefix('*') {
            Some(end) => name.len() > end.len() && name.ends_with(end),
            None => name == allowed,
        };
        if self.hosts.is_empty() || self.hosts.iter().any(is) {
            Ok(())
        } else {
            Err(Unreachable::NotAllowed)
        }
    }

    fn address(&self, address: IpAddr) -> Result<(), Unreachable> {
        let real = carried(address);
        let granted = |network: &IpNet| network.contains(&address) || network.contains(&real);
        if is_outside(real) || self.inside.iter().any(granted) {
            Ok(())
        } else {
            Err(Unreachable::Inside)
        }
    }
}

/// The IPv4 address that an IPv6 address stands for (IPv4-mapped, NAT64, 6to4), or the address itself.
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            last(high, low)
        }
        [0x2002, high, low, ..] => last(high, low),
        _ => address,
    }
}

/// Whether an address is on the public Internet, by IANA's registries of special addresses.
fn is_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_outside_v4(address),
        IpAddr::V6(address) => is_outside_v6(address),
    }
}

fn is_outside_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // "This network", private, shared (100.64/10), loopback, link-local with the clouds' metadata.
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            // Protocol assignments, documentation, 6to4 relays, benchmarks.
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            // Multicast, reserved, broadcast.
            | [224..=255, ..]
    )
}

fn is_outside_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    // Only 2000::/3 is handed out; loopback, unique local, link-local, multicast are elsewhere.
    segments[0] & 0xe000 == 0x2000
        && !matches!(
            segments,
            // Protocol assignments with Teredo (2001::/23), documentation (2001:db8::/32, 3fff::/20).
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..]
        )
}

/// Resolves names, and passes on only addresses that messages may go to: what was checked is what is connected to.
pub(super) struct Guarded {
    pub names: Arc<dyn Resolve>,
    pub reach: Arc<Reach>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, reach) = (self.names.resolve(name), Arc::clone(&self.reach));
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            let none = found.is_empty();
            let good: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| reach.address(address.ip()).is_ok())
                .collect();
            if good.is_empty() && !none {
                return Err(Unreachable::Inside.into());
            }
            Ok(Box::new(good.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reach: &Reach, url: &str) -> Result<(), Unreachable> {
        reach.check(&Url::parse(url).unwrap())
    }

    #[test]
    fn f10_addresses_inside_are_refused_however_they_are_spelt() {
        let reach = Reach::new(Vec::new(), &[], false);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "127.0.0.1.",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "0.0.0.0",
            "0",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b:1::a00:1]",
            "[2002:7f00:1::]",
            "[2002:c0a8:101::1]",
            "[2001:0:1::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[100::1]",
            "①②⑦.0.0.1",
        ] {
            assert_eq!(
                check(&reach, &format!("https://{host}/push")),
                Err(Unreachable::Inside),
                "{host}"
            );
        }
        for host in [
            "fcm.googleapis.com",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "[2606:4700::1111]",
            "[64:ff9b::8.8.8.8]",
            "[::ffff:8.8.8.8]",
            "[2002:808:808::1]",
            "localhost.example",
        ] {
            assert_eq!(
                check(&reach, &format!("https://{host}/push")),
                Ok(()),
                "{host}"
            );
        }
        assert_eq!(
            check(&reach, "http://fcm.googleapis.com/"),
            Err(Unreachable::NoUrl)
        );
    }

    #[test]
    fn endpoints_are_at_443_unless_others_are_granted() {
        let (strict, lax) = (
            Reach::new(Vec::new(), &[], false),
            Reach::new(Vec::new(), &[], true),
        );
        for (url, expected) in [
            ("https://push.example/a", Ok(())),
            ("https://push.example:443/a", Ok(())),
            ("https://push.example:22/a", Err(Unreachable::Port)),
            ("https://push.example:8443/a", Err(Unreachable::Port)),
            ("https://8.8.8.8:6379/a", Err(Unreachable::Port)),
        ] {
            assert_eq!(check(&strict, url), expected, "{url}");
            assert_eq!(check(&lax, url), Ok(()), "{url}");
        }
    }

    #[test]
    fn networks_inside_can_be_granted() {
        let reach = Reach::new(
            vec!["127.0.0.0/8".parse().unwrap(), "fd00::/16".parse().unwrap()],
            &[],
            false,
        );
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[fd00::5]"] {
            assert_eq!(check(&reach, &format!("https://{host}/")), Ok(()), "{host}");
        }
        for host in ["10.0.0.1", "[::1]", "[fd01::5]"] {
            assert_eq!(
                check(&reach, &format!("https://{host}/")),
                Err(Unreachable::Inside),
                "{host}"
            );
        }
    }

    #[test]
    fn hosts_can_be_limited() {
        let hosts = [
            "FCM.googleapis.com".to_owned(),
            "*.push.services.mozilla.com".to_owned(),
        ];
        let reach = Reach::new(Vec::new(), &hosts, false);
        for host in [
            "fcm.googleapis.com",
            "fcm.googleapis.com.",
            "updates.push.services.mozilla.com",
        ] {
            assert_eq!(check(&reach, &format!("https://{host}/")), Ok(()), "{host}");
        }
        for host in [
            "push.services.mozilla.com",
            "evilpush.services.mozilla.com",
            "x.fcm.googleapis.com",
            "8.8.8.8",
        ] {
            assert_eq!(
                check(&reach, &format!("https://{host}/")),
                Err(Unreachable::NotAllowed),
                "{host}"
            );
        }
    }
}
