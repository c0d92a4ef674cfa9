//! Ports for servers whose port is configured.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// A port that is free. None of those that the system hands out by itself: until the server listens, or is started again, nobody
/// who asks for any port gets this one.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u64 = 20_000;
    let random = RandomState::new();
    let port =
        |number: u32| FIRST + u16::try_from(random.hash_one(number) % COUNT).unwrap_or_default();
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (0..1_000)
        .map(port)
        .find(free)
        .expect("there is a free port")
}
