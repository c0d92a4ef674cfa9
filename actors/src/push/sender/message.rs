//! What is sent, and the headers that say how (RFC 8030, section 5).

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};

use super::super::Urgency;
use super::{TOPIC, TTL, URGENCY};

/// Push services keep nothing for longer than four weeks.
const LONGEST: Duration = Duration::from_secs(28 * 24 * 60 * 60);
/// RFC 8030, section 5.4.
const TOPIC_LENGTH: usize = 32;

/// A message before it is encrypted. `Debug` shows nothing of what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The plaintext.
    pub payload: Vec<u8>,
    /// How long the push service may keep it for a device that is away; whole seconds, four weeks at most.
    pub ttl: Duration,
    /// How soon it is to wake a device that saves its battery.
    pub urgency: Urgency,
    /// A later message of the same topic replaces this one at the push service: at most 32 letters of base64url.
    pub topic: Option<String>,
}

impl Message {
    pub(super) fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(TTL, HeaderValue::from(self.ttl.min(LONGEST).as_secs()));
        headers.insert(URGENCY, HeaderValue::from_static(self.urgency.as_str()));
        if let Some(topic) = &self.topic {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let good = (1..=TOPIC_LENGTH).contains(&topic.len()) && topic.bytes().all(letter);
            let value = HeaderValue::from_str(topic).ok().filter(|_| good);
            headers.insert(
                TOPIC,
                value.ok_or("a topic is 1 to 32 letters of base64url")?,
            );
        }
        Ok(headers)
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.payload.len())
            .field("ttl", &self.ttl)
            .field("urgency", &self.urgency)
            .field("topic", &self.topic)
            .finish()
    }
}
