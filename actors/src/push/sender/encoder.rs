//! Encryption for one device (RFC 8291, `aes128gcm`). Behind a trait, so that what does it can be changed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use web_push::{ContentEncoding, SubscriptionInfo, WebPushMessageBuilder};

use super::super::DeviceKeys;

/// Bytes of plaintext that `web-push` takes: what every push service accepts, whatever padding is added.
const LIMIT: usize = 3_052;
/// `web-push` asks for an endpoint, which the encryption does not depend on; we send ourselves.
const NOWHERE: &str = "https://push.invalid/";

/// Why a message cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The plaintext is over [`PushEncoder::limit`].
    #[error("the message is too long")]
    TooLong,
    /// The device's keys are no point of the curve.
    #[error("nothing can be encrypted for the keys of this device")]
    Keys,
}

/// Encrypts messages for devices (RFC 8291).
pub trait PushEncoder {
    /// Bytes of plaintext, at most.
    fn limit(&self) -> usize;

    /// The body of the request: salt, record size, our key of this one message, and the ciphertext.
    ///
    /// # Errors
    /// If the plaintext is over the limit, or the keys are of no use.
    fn encode(&self, keys: &DeviceKeys, plaintext: &[u8]) -> Result<Vec<u8>, EncodeError>;
}

/// Mozilla's `ece`, through `web-push`.
#[derive(Debug, Clone, Copy)]
pub struct WebPushEncoder;

impl PushEncoder for WebPushEncoder {
    fn limit(&self) -> usize {
        LIMIT
    }

    fn encode(&self, keys: &DeviceKeys, plaintext: &[u8]) -> Result<Vec<u8>, EncodeError> {
        if plaintext.len() > LIMIT {
            return Err(EncodeError::TooLong);
        }
        let (p256dh, auth) = (
            URL_SAFE_NO_PAD.encode(keys.p256dh()),
            URL_SAFE_NO_PAD.encode(keys.auth()),
        );
        let subscription = SubscriptionInfo::new(NOWHERE, &p256dh, &auth);
        let mut builder = WebPushMessageBuilder::new(&subscription);
        builder.set_payload(ContentEncoding::Aes128Gcm, plaintext);
        let message = builder.build().map_err(|_| EncodeError::Keys)?;
        message
            .payload
            .map(|payload| payload.content)
            .ok_or(EncodeError::Keys)
    }
}
