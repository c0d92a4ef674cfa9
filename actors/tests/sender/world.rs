//! A push service, a sender that may reach it, and devices whose private keys are known.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gom_actors::push::{
    Contact, Device, DeviceKeys, Message, PushEndpoint, Sender, SenderOptions, Urgency, VapidKeys,
};
use gom_test_support::{PushService, PushServiceOptions};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub const CONTACT: &str = "mailto:ops@gom.example";

pub struct World {
    pub service: PushService,
    pub keys: VapidKeys,
    pub sender: Sender,
}

impl World {
    pub fn new() -> Self {
        World::with(true, |_| {})
    }

    pub fn with(http2: bool, change: impl FnOnce(&mut SenderOptions)) -> Self {
        let service = PushService::start_with(PushServiceOptions {
            http2,
            ..PushServiceOptions::default()
        });
        let keys = VapidKeys::generate().unwrap();
        let mut options = options(&service);
        change(&mut options);
        let sender = Sender::new(options, keys.clone()).unwrap();
        World {
            service,
            keys,
            sender,
        }
    }

    pub fn device(&self, path: &str) -> Device {
        Receiver::new().device(&self.service.endpoint(path))
    }
}

/// Options with which the service on loopback is reached.
pub fn options(service: &PushService) -> SenderOptions {
    SenderOptions {
        ca_file: Some(service.ca_file().to_owned()),
        inside: vec!["127.0.0.0/8".parse().unwrap()],
        any_port: true,
        timeout: Duration::from_secs(10),
        ..SenderOptions::new(Contact::parse(CONTACT).unwrap())
    }
}

/// A browser's side of a subscription.
pub struct Receiver {
    /// A pair of P-256 is a pair of P-256.
    pub pair: VapidKeys,
    pub auth: &'static str,
}

impl Receiver {
    pub fn new() -> Self {
        Receiver {
            pair: VapidKeys::generate().unwrap(),
            auth: "BTBZMqHH6r4Tts7J_aSIgg",
        }
    }

    pub fn device(&self, endpoint: &str) -> Device {
        Device {
            endpoint: PushEndpoint::parse(endpoint).unwrap(),
            keys: DeviceKeys::parse(self.pair.public_base64url(), self.auth).unwrap(),
            expires: None,
        }
    }
}

pub fn message(payload: impl Into<Vec<u8>>) -> Message {
    Message {
        payload: payload.into(),
        ttl: Duration::from_secs(3_600),
        urgency: Urgency::High,
        topic: Some("order-1".into()),
    }
}

/// Knows one address for every name.
pub struct Everywhere(pub Vec<IpAddr>, pub u16);

impl Everywhere {
    pub fn local(port: u16) -> Arc<Self> {
        Arc::new(Everywhere(vec![Ipv4Addr::LOCALHOST.into()], port))
    }
}

impl Resolve for Everywhere {
    fn resolve(&self, _: Name) -> Resolving {
        let found: Vec<SocketAddr> = self
            .0
            .iter()
            .map(|address| SocketAddr::new(*address, self.1))
            .collect();
        Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}
