//! Why a connection is closed: the codes that clients get, of RFC 6455 and of the subprotocols, in one list.

use gom_telemetry::metrics::Closed;

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    Normal,
    BadProtocol,
    /// A message that is no text.
    BadData,
    /// A text that is not UTF-8.
    BadText,
    TooBig,
    /// The earlier subprotocols' code for a client that is not let in.
    Refused,
    /// The server goes away; another takes over.
    Restarting,
    /// The client may connect again at once, and go on from its last cursor.
    TryAgain,
    BadRequest,
    Unauthorized,
    Forbidden,
    /// No subprotocol that the server speaks.
    NotAcceptable,
    InitTimeout,
    SubscriberExists,
    TooManyInits,
    /// The client's own code, sent back.
    Client(u16),
    /// An event stream ends without a code, and its client connects again.
    Stream,
}

impl CloseCode {
    /// As it is sent; nothing for an event stream.
    pub fn number(self) -> Option<u16> {
        Some(match self {
            CloseCode::Normal => 1000,
            CloseCode::BadProtocol => 1002,
            CloseCode::BadData => 1003,
            CloseCode::BadText => 1007,
            CloseCode::TooBig => 1009,
            CloseCode::Refused => 1011,
            CloseCode::Restarting => 1012,
            CloseCode::TryAgain => 1013,
            CloseCode::BadRequest => 4400,
            CloseCode::Unauthorized => 4401,
            CloseCode::Forbidden => 4403,
            CloseCode::NotAcceptable => 4406,
            CloseCode::InitTimeout => 4408,
            CloseCode::SubscriberExists => 4409,
            CloseCode::TooManyInits => 4429,
            CloseCode::Client(number) => number,
            CloseCode::Stream => return None,
        })
    }

    /// What the metrics count.
    pub(super) fn counted(self) -> Closed {
        match self {
            CloseCode::Stream | CloseCode::TryAgain => Closed::Again,
            CloseCode::Restarting => Closed::Stopping,
            CloseCode::Unauthorized | CloseCode::Forbidden => Closed::Forbidden,
            _ => Closed::Protocol,
        }
    }

    /// Whether its client may come back at once: then it is not cut off as long as it reads.
    pub(super) fn may_come_back(self) -> bool {
        matches!(self, CloseCode::Stream | CloseCode::TryAgain)
    }
}
