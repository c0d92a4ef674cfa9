//! The labels of metrics and all values that each may have.

use super::application_routes;

/// A label's name and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// As Prometheus has it.
    pub name: &'static str,
    /// All values, in the order of their enum. The last ones of routes are `REGISTERED`: an application gives their texts.
    pub values: &'static [&'static str],
}

/// Stands for a text that is registered at start.
pub(super) const REGISTERED: &str = "";

impl Label {
    /// The text of a value, by its place.
    pub fn text(&self, place: usize) -> &'static str {
        match self.values[place] {
            REGISTERED => application_routes::text(self.values.len() - 1 - place),
            text => text,
        }
    }
}

/// What distinguishes the series of one metric: the value of one label, of several, or of none.
pub trait Labels: Copy {
    /// The labels, the outermost first.
    const LABELS: &'static [Label];

    /// The series' place among all.
    fn place(self) -> usize;
}

impl Labels for () {
    const LABELS: &'static [Label] = &[];

    fn place(self) -> usize {
        0
    }
}

/// One label, whose values are an enum.
pub trait OneLabel: Copy {
    /// Its name and values.
    const LABEL: Label;

    /// The value's place among all.
    fn place(self) -> usize;
}

impl<A: OneLabel> Labels for A {
    const LABELS: &'static [Label] = &[A::LABEL];

    #[inline]
    fn place(self) -> usize {
        OneLabel::place(self)
    }
}

impl<A: OneLabel, B: OneLabel> Labels for (A, B) {
    const LABELS: &'static [Label] = &[A::LABEL, B::LABEL];

    #[inline]
    fn place(self) -> usize {
        self.0.place() * B::LABEL.values.len() + self.1.place()
    }
}

impl<A: OneLabel, B: OneLabel, C: OneLabel> Labels for (A, B, C) {
    const LABELS: &'static [Label] = &[A::LABEL, B::LABEL, C::LABEL];

    #[inline]
    fn place(self) -> usize {
        (self.0, self.1).place() * C::LABEL.values.len() + self.2.place()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $type:ident($name:literal) { $($value:ident = $text:literal,)+ })+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $(#[doc = concat!("`", $text, "`")] $value,)+ }

        impl $type {
            /// All values, in order.
            pub const ALL: &'static [$type] = &[$($type::$value,)+];

            /// The value's text.
            pub fn as_str(self) -> &'static str {
                Self::LABEL.text(self as usize)
            }
        }

        impl OneLabel for $type {
            const LABEL: Label = Label { name: $name, values: &[$($text,)+] };

            #[inline]
            fn place(self) -> usize {
                self as usize
            }
        }
    )+ };
}

labels! {
    /// What was asked for. Paths that nothing is served at are `other`.
    Route("route") {
        Graphql = "/graphql",
        Root = "/",
        Socket = "/graphql (websocket)",
        Stream = "/graphql (event stream)",
        Ping = "/auth/ping",
        Login = "/auth/login",
        Logout = "/auth/logout",
        Webpush = "/webpush",
        Ledger = "/webpush/ledger",
        Healthz = "/healthz",
        Readyz = "/readyz",
        Version = "/version",
        Metrics = "/metrics",
        Pages = "pages and documents",
        Other = "other",
        // Of an application, the first one last.
        Application8 = "",
        Application7 = "",
        Application6 = "",
        Application5 = "",
        Application4 = "",
        Application3 = "",
        Application2 = "",
        Application1 = "",
    }

    /// The method of an HTTP request.
    Method("method") {
        Get = "GET",
        Post = "POST",
        Other = "other",
    }

    /// The class of an answer's status.
    Status("status") {
        Informational = "1xx",
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
    }

    /// `unknown`: refused before it was known.
    Operation("kind") {
        Query = "query",
        Mutation = "mutation",
        Subscription = "subscription",
        Live = "live",
        Unknown = "unknown",
    }

    /// `written`: carried out with the first request. `repeated`: answered from the store. `not_stored`: the first answer was too large to be
    /// stored, or was removed at a log-out. `reused`: the key is another request's. `too_many`: of this user.
    KeyedWrite("result") {
        Written = "written",
        Repeated = "repeated",
        NotStored = "not_stored",
        Reused = "reused",
        TooMany = "too_many",
    }

    /// `ok`, or the first error's `extensions.code`; of an application's own codes, `APPLICATION`.
    Outcome("outcome") {
        Ok = "ok",
        ParseFailed = "GRAPHQL_PARSE_FAILED",
        ValidationFailed = "GRAPHQL_VALIDATION_FAILED",
        BadUserInput = "BAD_USER_INPUT",
        Execution = "GRAPHQL_EXECUTION_ERROR",
        Forbidden = "FORBIDDEN",
        Unauthenticated = "UNAUTHENTICATED",
        Unavailable = "SERVICE_UNAVAILABLE",
        LimitExceeded = "LIMIT_EXCEEDED",
        TooManyRequests = "TOO_MANY_REQUESTS",
        OutcomeUnknown = "OUTCOME_UNKNOWN",
        IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        ResyncRequired = "RESYNC_REQUIRED",
        RaiseException = "RAISE_EXCEPTION",
        CheckViolation = "CHECK_VIOLATION",
        Internal = "INTERNAL_SERVER_ERROR",
        Application = "APPLICATION",
    }

    /// What goes on for longer than an answer.
    Lasting("kind") {
        Subscription = "subscription",
        Live = "live",
    }

    /// What a cache had.
    Lookup("result") {
        Hit = "hit",
        Miss = "miss",
    }

    /// `read`: one statement. `program`: the statements of a mutation's field, in their transaction.
    Work("work") {
        Read = "read",
        Program = "program",
    }

    /// What became of a read or a program. `unmet`: refused by what was found in the database.
    DatabaseOutcome("outcome") {
        Ok = "ok",
        Rejected = "rejected",
        Unmet = "unmet",
        Unavailable = "unavailable",
        Overloaded = "overloaded",
        Deadline = "deadline",
        Unknown = "unknown",
        Fault = "fault",
    }

    /// `conflict`: a deadlock or a serialization failure. `lost`: the connection was. `stale`: the tables had changed.
    Retry("reason") {
        Conflict = "conflict",
        Lost = "lost",
        Stale = "stale",
    }

    /// `shared`: pipelined, for reads. `leased`: for programs and long reads. `own`: of stores, the feed and push.
    Pool("pool") {
        Shared = "shared",
        Leased = "leased",
        Heartbeat = "heartbeat",
        Own = "own",
    }

    /// How an attempt to connect to the database ended.
    ConnectOutcome("outcome") {
        Ok = "ok",
        Failed = "failed",
        NoRoom = "no_room",
    }

    /// The one that the database is in has 1, the others 0.
    State("state") {
        Connecting = "connecting",
        Ready = "ready",
        ReadOnly = "read_only",
        OutOfConnections = "out_of_connections",
        Down = "down",
    }

    /// The type of an actor.
    ActorKind("actor") {
        DatabaseSupervisor = "DatabaseSupervisor",
        Connection = "Connection",
        ChangeFeed = "ChangeFeed",
        Hub = "Hub",
        LocalHub = "LocalHub",
        SessionManager = "SessionManager",
        RateLimiter = "RateLimiter",
        PushDispatcher = "PushDispatcher",
    }

    /// Why an actor was built again.
    Ended("cause") {
        Panicked = "panicked",
        Stopped = "stopped",
    }

    /// The GraphQL protocol of a websocket.
    Protocol("protocol") {
        TransportWs = "graphql-transport-ws",
        Legacy = "graphql-ws",
        Oldest = "graphql-subscriptions",
        Unknown = "unknown",
    }

    /// Why the server closed a connection: `slow` did not read, `silent` sent nothing, `again` is to come back,
    /// `protocol` did not keep to it.
    Closed("reason") {
        Slow = "slow",
        Silent = "silent",
        Again = "again",
        Protocol = "protocol",
        Forbidden = "forbidden",
        Stopping = "stopping",
    }

    /// Which bound left no room.
    ConnectionLimit("limit") {
        User = "per_user",
        Address = "per_address",
        Total = "total",
    }

    /// `user`: too many wrong attempts of one user from one address. `address`: from one address, whichever the users. `busy`: attempts in flight
    /// had all the points, and were not done in time.
    Verdict("verdict") {
        Admitted = "admitted",
        User = "refused_user",
        Address = "refused_address",
        Busy = "refused_busy",
        Overloaded = "overloaded",
    }

    /// What became of a session.
    SessionEvent("event") {
        Opened = "opened",
        Resumed = "resumed",
        Missing = "missing",
        Refreshed = "refreshed",
        Refused = "refresh_refused",
        Closed = "closed",
    }

    /// What became of an attempt to tell a device. `unsent`: it was not tried after all.
    PushOutcome("outcome") {
        Delivered = "delivered",
        Gone = "gone",
        Failed = "failed",
        Expired = "expired",
        Superseded = "superseded",
        Later = "later",
        Unsent = "unsent",
    }

    /// `due`: may be taken now. `later`: put off. `leased`: in some server's hands.
    Queue("state") {
        Due = "due",
        Later = "later",
        Leased = "leased",
    }
}
