//! Sends one message to one device: encrypts, signs, posts, and says what became of it. Keeps nothing but connections and
//! tokens; whether and when to try again is the caller's.

mod authorization;
mod encoder;
mod message;
mod options;
mod outcome;
mod reach;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Response, Url};

use self::authorization::Authorizations;
use self::reach::{Guarded, Reach};
use super::{Device, PushEndpoint, VapidKeys};
use gom_runtime::clock::Clock;
use gom_telemetry::causes::with_causes;
use gom_telemetry::metrics::{PUSH_DURATION, Timer};

pub use self::encoder::{EncodeError, PushEncoder, WebPushEncoder};
pub use self::message::Message;
pub use self::options::{SenderError, SenderOptions, SystemNames};
pub use self::outcome::Outcome;
pub use self::reach::Unreachable;

/// How much of an answer is read: enough for any reason, and for a connection to be used again.
const ANSWER: usize = 8 * 1024;
/// How long the text of an answer may take, whose status is known already.
const REST: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
const USER_AGENT: &str = concat!("gom/", env!("CARGO_PKG_VERSION"));
const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// Cloning is cheap. Its connections live on the runtime that first used them: make it where it is used.
#[derive(Clone)]
pub struct Sender {
    parts: Arc<Parts>,
}

struct Parts {
    client: Client,
    encoder: Box<dyn PushEncoder + Send + Sync>,
    authorizations: Authorizations,
    reach: Arc<Reach>,
    timeout: Duration,
    clock: Clock,
}

impl Sender {
    /// # Errors
    /// If the CA file or the system's certificates cannot be used.
    pub fn new(options: SenderOptions, keys: VapidKeys) -> Result<Self, SenderError> {
        let reach = Arc::new(Reach::new(
            options.inside,
            &options.allowed_hosts,
            options.any_port,
        ));
        let mut builder = Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout)
            // An endpoint was given by a stranger: what it answers must not lead elsewhere (RFC 8030 has no redirects).
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(true)
            .referer(false)
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_keepalive(Duration::from_secs(30))
            // A connection that is dead without saying so is found by this, and not by all the messages on it.
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .user_agent(USER_AGENT)
            .dns_resolver(Arc::new(Guarded {
                names: options.names,
                reach: Arc::clone(&reach),
            }));
        if let Some(path) = &options.ca_file {
            let unusable = |reason: String| SenderError::CaFile {
                path: path.clone(),
                reason,
            };
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let found =
                Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
            if found.is_empty() {
                return Err(unusable("it holds no certificate".to_owned()));
            }
            builder = builder.tls_certs_merge(found);
        }
        let client = builder
            .build()
            .map_err(|error| SenderError::Setup(with_causes(&error)))?;
        let parts = Parts {
            client,
            encoder: Box::new(WebPushEncoder),
            authorizations: Authorizations::new(keys, options.contact),
            reach,
            timeout: options.timeout,
            clock: options.clock,
        };
        Ok(Sender {
            parts: Arc::new(parts),
        })
    }

    /// What browsers subscribe for, in base64url.
    pub fn public_key(&self) -> &str {
        self.parts.authorizations.public_key()
    }

    /// Bytes of plaintext that a message can carry.
    pub fn limit(&self) -> usize {
        self.parts.encoder.limit()
    }

    /// Whether messages would be sent there at all, as far as that is known without asking for the name's address.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, endpoint: &PushEndpoint) -> Result<(), Unreachable> {
        self.target(endpoint).map(drop)
    }

    fn target(&self, endpoint: &PushEndpoint) -> Result<Url, Unreachable> {
        let url = Url::parse(endpoint.as_str()).map_err(|_| Unreachable::NoUrl)?;
        self.parts.reach.check(&url)?;
        Ok(url)
    }

    /// Sends a message to a device, within the time-out and never twice. Answers for everything that can happen.
    pub async fn send(&self, device: &Device, message: &Message) -> Outcome {
        let parts = &self.parts;
        let now = self.parts.clock.now();
        let url = match self.target(&device.endpoint) {
            Ok(url) => url,
            Err(refusal) => return Outcome::refused(None, refusal.to_string()),
        };
        let headers = match message.headers() {
            Ok(headers) => headers,
            Err(reason) => return Outcome::refused(None, reason),
        };
        let body = match parts.encoder.encode(&device.keys, &message.payload) {
            Ok(body) => body,
            Err(EncodeError::TooLong) => return Outcome::TooLarge,
            Err(EncodeError::Keys) => return Outcome::refused(None, EncodeError::Keys.to_string()),
        };
        // The origin of the address itself, so that token and connection go to one place.
        let audience = url.origin().ascii_serialization();
        let authorization = match parts.authorizations.of(&audience, now) {
            Ok(authorization) => authorization,
            Err(error) => return Outcome::later(None, None, error.to_string()),
        };
        let hidden = url.path().to_owned();
        let device_origin = device.endpoint.origin();
        let request = parts
            .client
            .post(url)
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"))
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )
            .headers(headers)
            .body(body);
        let _timer = Timer::new(PUSH_DURATION, ());
        match request.send().await {
            Ok(response) => {
                let (status, headers) = (response.status(), response.headers().clone());
                // The status has been given: an answer that ends badly does not change it.
                let text = tokio::time::timeout(REST, rest(response))
                    .await
                    .unwrap_or_default();
                let outcome =
                    outcome::of_answer(status, &headers, &text, &hidden, self.parts.clock.now());
                if matches!(outcome, Outcome::Unauthorized { .. }) {
                    parts.authorizations.forget(&audience);
                }
                outcome
            }
            Err(error) => {
                let device = device.endpoint.fingerprint();
                let (origin, cause) = (device_origin, outcome::cause_of(&error, parts.timeout));
                tracing::info!(device, origin, cause, "a push service cannot be reached");
                outcome::unreached()
            }
        }
    }
}

/// The answer's text, as much as is kept of it.
async fn rest(mut response: Response) -> Vec<u8> {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER - text.len();
        text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    text
}
