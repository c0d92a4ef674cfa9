//! The keys of push.

use super::TIME;
use crate::settings::kind::Kind;
use crate::settings::table::Key;

/// In the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    Key::new(
        "push.lease",
        Kind::Milliseconds { min: 1_000, max: 3_600_000 },
        Some("30000"),
        "How long what a server has taken to send is its own, unless it renews it: after a crash others go on then. At least three times `push.timeout`.",
    ),
    Key::new(
        "push.poll_interval",
        Kind::Milliseconds { min: 10, max: 60_000 },
        Some("500"),
        "How often jobs and deliveries that are due are looked for, beside those of writes of this server's own.",
    ),
    Key::new(
        "push.concurrency",
        Kind::Integer { min: 1, max: 10_000 },
        Some("256"),
        "Messages in flight at a time, in all. An eighth of them is kept for urgent ones, and those to services that have never taken a message get a quarter.",
    ),
    Key::new(
        "push.per_origin",
        Kind::Integer { min: 1, max: 10_000 },
        Some("128"),
        "Messages in flight at a time to one push service. An eighth of them is kept for urgent ones.",
    ),
    Key::new(
        "push.retry",
        TIME,
        Some("5000"),
        "The pause before a second attempt; it grows fourfold with each, up to an hour. A push service's `Retry-After` makes it longer.",
    ),
    Key::new(
        "push.attempts",
        Kind::Integer { min: 1, max: 1_000 },
        Some("10"),
        "A message is given up after so many attempts of which no result is known: the server died while it was sending. With a result it is sent again until it is delivered, refused or too late.",
    ),
    Key::new(
        "push.keep_for",
        Kind::Milliseconds { min: 1_000, max: 31_536_000_000 },
        Some("2592000000"),
        "How long the ledger of who was told what is kept.",
    ),
    Key::new(
        "push.devices_per_user",
        Kind::Integer { min: 1, max: 1_000 },
        Some("20"),
        "Devices that one user may have. One more, and the one that was subscribed the longest time ago is forgotten.",
    ),
    Key::new(
        "push.renewals_per_minute",
        Kind::Integer { min: 1, max: 1_000_000 },
        Some("60"),
        "How often one address may call `/webpush/renew` within a minute; each process counts for itself. Wider IPv6 networks have a multiple.",
    ),
    Key::new(
        "push.vapid.public_key",
        Kind::Text,
        None,
        "Public key of Web Push (VAPID): browsers subscribe with it. `gom vapid generate` makes a pair. Unset: push is off, but with the private database, which keeps a pair of its own.",
    )
    .variables(&["VAPID_PUBLIC_KEY"]),
    Key::new(
        "push.vapid.private_key",
        Kind::Secret,
        None,
        "Private key of Web Push: base64url, or PEM (SEC 1 or PKCS 8).",
    )
    .variables(&["VAPID_PRIVATE_KEY"]),
    Key::new(
        "push.vapid.subject",
        Kind::Contact,
        None,
        "Whom push services write to about this server. Needed with keys of one's own; some services refuse messages without.",
    )
    .variables(&["VAPID_SUBJECT"]),
    Key::new(
        "push.timeout",
        Kind::Milliseconds { min: 100, max: 60_000 },
        Some("10000"),
        "How long sending one message may take.",
    ),
    Key::new(
        "push.ca_file",
        Kind::Path,
        None,
        "A PEM file of certificates that are trusted beside the system's: of a push service of one's own.",
    ),
    Key::new(
        "push.inside",
        Kind::Networks,
        None,
        "Networks that messages may be sent to although their addresses are private, local or reserved. Unset: none.",
    ),
    Key::new(
        "push.allowed_hosts",
        Kind::Hosts,
        None,
        "The only hosts that browsers may subscribe at and messages are sent to. Unset: any that is not inside.",
    ),
    Key::new(
        "push.any_port",
        Kind::Flag,
        Some("false"),
        "Take endpoints with other ports than 443: of a push service of one's own.",
    ),
];
