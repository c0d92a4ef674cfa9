//! The options of sending.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::super::Contact;
use gom_runtime::clock::Clock;

/// How messages are sent, and where they may go.
#[derive(Clone)]
pub struct SenderOptions {
    /// Whom push services write to.
    pub contact: Contact,
    /// A PEM file of certificates that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Networks that messages may be sent to although they are inside: of one's own push service.
    pub inside: Vec<IpNet>,
    /// If not empty, the only hosts that messages are sent to: names, or `*.` and what a name ends with.
    pub allowed_hosts: Vec<String>,
    /// Whether messages are sent to other ports than 443.
    pub any_port: bool,
    /// Of one message, from the look for the address to the answer.
    pub timeout: Duration,
    /// The resolver of names. Its addresses are checked before anything connects.
    pub names: Arc<dyn Resolve>,
    /// The time that authorizations are signed for, and that `Retry-After` is compared with.
    pub clock: Clock,
}

impl SenderOptions {
    /// The defaults, with no exceptions from what is refused.
    pub fn new(contact: Contact) -> Self {
        SenderOptions {
            contact,
            ca_file: None,
            inside: Vec::new(),
            allowed_hosts: Vec::new(),
            any_port: false,
            timeout: Duration::from_secs(10),
            names: Arc::new(SystemNames),
            clock: Clock::system(),
        }
    }
}

/// Why a sender could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The file of certificates cannot be read, or has none.
    #[error("the certificates in {path} cannot be used: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refuses the configuration.
    #[error("TLS could not be set up: {0}")]
    Setup(String),
}

/// The system's resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
