//! What websockets and event streams may take.

use std::time::Duration;

use super::key::{COUNT, SIZE, TIME, milliseconds, section};

section! {
    /// What websockets and event streams may take.
    pub struct Sockets at "sockets." {
        /// A websocket that has not sent `connection_init` by then is closed, and so is one whose bearer token is not verified
        /// within the same time after it.
        pub init_timeout: Duration = TIME.default("5000"),
        /// Size of a message that a websocket may send, in however many frames.
        pub message_bytes: usize = SIZE.default("262144"),
        /// Operations that one websocket may have at once.
        pub operations: usize = COUNT.default("50"),
        /// Websockets and event streams that one user may have on one node.
        pub per_user: usize = COUNT.default("20"),
        /// Websockets and event streams from one client address (IPv6: one /64) on one node.
        pub per_address: usize = COUNT.default("1000"),
        /// Websockets and event streams on one node.
        pub total: usize = COUNT.default("100000"),
        /// Messages that may wait in a connection for its client to read them. Answers and events beyond them wait
        /// before it; a client that makes the server answer more often than that without reading is closed.
        pub queue_messages: usize = COUNT.default("1000"),
        /// The same in bytes. One message is sent whatever its size.
        pub queue_bytes: usize = SIZE.default("1048576"),
        /// A client that reads nothing for this long of what is sent to it is cut off; one that reads is not,
        /// however slowly.
        pub stall_timeout: Duration = milliseconds(100, 3_600_000).default("30000"),
        /// How often a websocket is pinged, and a comment is sent on an event stream; a websocket from which nothing
        /// has come for two of these is closed.
        pub heartbeat: Duration = milliseconds(100, 3_600_000).default("25000"),
    }
}
