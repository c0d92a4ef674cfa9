//! The one list of metrics: names, kinds, units, labels and what they say. docs/METRICS.md is made from it.

use super::handles::{Counter, Gauge, HISTOGRAM, Handle, Histogram, Reading};
use super::labels::*;

/// How a metric's numbers behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from the start of the process on.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A gauge that is read when it is asked for, and is left out while it is unknown.
    Reading,
    /// How many observations fall under each bound, and their sum.
    Histogram,
}

/// What a metric's numbers are of. A name ends in its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count.
    None,
    /// Seconds, kept in nanoseconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// The description of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Which one it is.
    pub metric: Metric,
    /// The samples of counters have `_total` added to it.
    pub name: &'static str,
    /// How its numbers behave.
    pub kind: MetricKind,
    /// The unit of its numbers.
    pub unit: Unit,
    /// The labels of its series.
    pub labels: &'static [Label],
    /// What it says, in a sentence.
    pub help: &'static str,
}

impl Definition {
    /// How many series there may be.
    pub const fn series(&self) -> usize {
        let (mut count, mut i) = (1, 0);
        while i < self.labels.len() {
            count *= self.labels[i].values.len();
            i += 1;
        }
        count
    }

    const fn slots(&self) -> usize {
        match self.kind {
            MetricKind::Histogram => self.series() * HISTOGRAM,
            _ => self.series(),
        }
    }
}

/// The upper bounds of histograms' buckets, in nanoseconds: from a statement that is served from memory to what
/// somebody must have noticed.
pub const BOUNDS: [u64; 15] = [
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

macro_rules! metrics {
    ($($metric:ident $handle:ident: $type:ty, $name:literal, $unit:ident, $help:literal;)+) => {
        /// A metric.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Metric { $(#[doc = $help] $metric,)+ }

        /// All that there are, in the order in which they are shown.
        pub const DEFINITIONS: &[Definition] = &[$(Definition {
            metric: Metric::$metric,
            name: $name,
            kind: <$type as Handle>::KIND,
            unit: Unit::$unit,
            labels: <<$type as Handle>::Labels as Labels>::LABELS,
            help: $help,
        },)+];

        $(
            #[doc = $help]
            pub const $handle: $type = <$type>::new(Metric::$metric);
        )+
    };
}

metrics! {
    HttpRequests HTTP_REQUESTS: Counter<(Route, Method, Status)>,
        "gom_http_requests", None, "Requests that were answered.";
    HttpDuration HTTP_DURATION: Histogram<Route>,
        "gom_http_request_duration_seconds", Seconds,
        "Time until the answer was there; of websockets and event streams, until they began.";
    HttpInFlight HTTP_IN_FLIGHT: Gauge<()>,
        "gom_http_requests_in_flight", None, "Requests that are being answered.";

    Operations OPERATIONS: Counter<(Operation, Outcome)>,
        "gom_graphql_operations", None,
        "Operations that were answered; of subscriptions and live queries, that were begun or refused.";
    KeyedWrites KEYED_WRITES: Counter<KeyedWrite>,
        "gom_keyed_writes", None, "Root fields of mutations with an idempotency key; those that failed are not counted.";
    OperationDuration OPERATION_DURATION: Histogram<Operation>,
        "gom_graphql_operation_duration_seconds", Seconds, "Time that operations took.";
    DocumentLookups DOCUMENT_LOOKUPS: Counter<Lookup>,
        "gom_document_cache_lookups", None, "Whether an operation was parsed, checked and planned already.";
    Documents DOCUMENTS: Reading<()>,
        "gom_document_cache_entries", None, "Operations in the cache of documents.";
    DocumentBytes DOCUMENT_BYTES: Reading<()>,
        "gom_document_cache_bytes", Bytes, "Memory that they are reckoned to take (cache.document_bytes).";

    DatabaseState DATABASE_STATE: Reading<State>,
        "gom_database_state", None, "Whether the database is in this state.";
    DatabaseWork DATABASE_WORK: Counter<(Work, DatabaseOutcome)>,
        "gom_database_work", None, "Reads and programs of requests, by how they ended.";
    DatabaseDuration DATABASE_DURATION: Histogram<Work>,
        "gom_database_work_duration_seconds", Seconds,
        "Time that they took, waiting for a connection included.";
    DatabaseRetries DATABASE_RETRIES: Counter<(Work, Retry)>,
        "gom_database_retries", None, "How often one was begun again.";
    DatabaseInFlight DATABASE_IN_FLIGHT: Gauge<()>,
        "gom_database_in_flight", None, "Reads and programs in flight (database.max_in_flight for each worker).";
    DatabaseWaiting DATABASE_WAITING: Gauge<()>,
        "gom_database_waiting", None, "Those of them that wait for a leased connection (database.max_waiting).";
    DatabaseLeased DATABASE_LEASED: Gauge<()>,
        "gom_database_leased", None, "Leased connections in use.";
    DatabaseConnections DATABASE_CONNECTIONS: Gauge<Pool>,
        "gom_database_connections", None, "Connections that are open, in use or not.";
    DatabaseConnects DATABASE_CONNECTS: Counter<(Pool, ConnectOutcome)>,
        "gom_database_connects", None, "Attempts to connect.";
    PreparedStatements PREPARED_STATEMENTS: Counter<Lookup>,
        "gom_database_prepared_statements", None,
        "Whether a statement was prepared already on its connection (database.statement_cache).";

    ActorMailbox ACTOR_MAILBOX: Gauge<ActorKind>,
        "gom_actor_mailbox_messages", None, "Messages that wait in mailboxes, of all actors of that kind.";
    ActorRestarts ACTOR_RESTARTS: Counter<(ActorKind, Ended)>,
        "gom_actor_restarts", None, "How often an actor was rebuilt.";
    ActorRefused ACTOR_REFUSED: Counter<ActorKind>,
        "gom_actor_refused", None, "Messages that a full mailbox had no room for.";

    Websockets WEBSOCKETS: Gauge<Protocol>,
        "gom_websockets", None, "Websockets that are open.";
    ConnectionsClosed CONNECTIONS_CLOSED: Counter<Closed>,
        "gom_connections_closed", None,
        "Websockets and event streams that the server closed for a reason of its own.";
    EventStreams EVENT_STREAMS: Gauge<()>,
        "gom_event_streams", None, "Event streams that are open.";
    ConnectionsRefused CONNECTIONS_REFUSED: Counter<ConnectionLimit>,
        "gom_connections_refused", None, "Websockets and event streams that were too many (sockets.*).";
    Subscriptions SUBSCRIPTIONS: Gauge<Lasting>,
        "gom_subscriptions", None, "Subscriptions and live queries that run.";
    Groups GROUPS: Gauge<()>,
        "gom_subscription_groups", None, "Groups of equal subscriptions: each is decided once for all its members.";
    SlowGroups SLOW_GROUPS: Gauge<()>,
        "gom_subscription_slow_groups", None,
        "Places in the slow lane, each of a group or of equal groups of one user, that take more time than their users may (live.user_budget).";
    Events EVENTS: Counter<Lasting>,
        "gom_subscription_events", None, "Events that were handed to subscribers, and answers of live queries.";
    LiveEvaluations LIVE_EVALUATIONS: Counter<()>,
        "gom_live_evaluations", None, "Evaluations of live queries, each for all clients that show the same.";
    LiveFallbacks LIVE_FALLBACKS: Counter<()>,
        "gom_live_fallbacks", None, "Times that live queries could not be read together, and each was read for itself.";
    Resyncs RESYNCS: Counter<()>,
        "gom_subscription_resyncs", None, "Subscribers that came with a cursor of what is not kept any more.";
    Resumed RESUMED: Counter<()>,
        "gom_subscription_resumed", None, "Subscriptions of clients without cursors that went on from where they were (live.remember_for).";

    FeedStamped FEED_STAMPED: Reading<()>,
        "gom_feed_stamped_position", None, "The last position of the change log.";
    FeedDelivered FEED_DELIVERED: Reading<()>,
        "gom_feed_delivered_position", None, "The last position that was delivered to all subscribers of this node.";
    FeedLag FEED_LAG: Reading<()>,
        "gom_feed_lag_seconds", Seconds, "For how long there has been something to deliver; 0 if there is nothing. Over 5, changeFeed of /readyz is behind.";
    FeedLooked FEED_LOOKED: Reading<()>,
        "gom_feed_looked_seconds", Seconds,
        "Since the change log was looked at last: what was committed later has no position yet.";
    FeedTrimmed FEED_TRIMMED: Counter<()>,
        "gom_feed_trimmed_changes", None, "Changes that were forgotten for their age, number or size (live.keep_for, live.keep, live.keep_bytes).";
    FeedLogBytes FEED_LOG_BYTES: Reading<()>,
        "gom_feed_log_bytes", Bytes, "Bytes of the change log and its positions in the database, with indexes; live.keep_bytes limits them.";
    FeedLogPartitions FEED_LOG_PARTITIONS: Reading<()>,
        "gom_feed_log_partitions", None, "Partitions of the change log: about ten, with the one that is being written.";
    FeedLeftBehind FEED_LEFT_BEHIND: Counter<()>,
        "gom_feed_left_behind_changes", None, "Committed changes that stamping had passed over and that were delivered late; 0 is right.";

    LoginAttempts LOGIN_ATTEMPTS: Counter<Verdict>,
        "gom_login_attempts", None, "What the limits of logins said to attempts.";
    LoginInsured LOGIN_INSURED: Counter<()>,
        "gom_login_limiter_fallback_attempts", None, "Attempts that were counted in memory because the store had failed.";
    LoginInsurance LOGIN_INSURANCE: Reading<()>,
        "gom_login_limiter_fallback", None, "1 while attempts are counted in memory because the store fails.";
    Sessions SESSIONS: Counter<SessionEvent>,
        "gom_sessions", None, "What happened to sessions.";
    SessionFailures SESSION_FAILURES: Counter<()>,
        "gom_session_store_failures", None, "Questions about sessions that the store did not answer.";

    PushMessages PUSH_MESSAGES: Counter<PushOutcome>,
        "gom_push_attempts", None, "Attempts to tell a device, by how they ended.";
    PushDuration PUSH_DURATION: Histogram<()>,
        "gom_push_send_duration_seconds", Seconds, "Time until a push service had answered.";
    PushRefusing PUSH_REFUSING: Reading<()>,
        "gom_push_refusing_services", None, "Push services that answer 401 or 403: VAPID keys, clock or contact.";
    PushInFlight PUSH_IN_FLIGHT: Reading<()>,
        "gom_push_in_flight", None, "Deliveries that this server has taken and not recorded (push.concurrency).";
    PushJobs PUSH_JOBS: Reading<Queue>,
        "gom_push_jobs", None, "Changes of which it is not said yet whom they concern, of all servers.";
    PushJobsGivenUp PUSH_JOBS_GIVEN_UP: Counter<()>,
        "gom_push_jobs_given_up", None, "Jobs that were dropped after too many attempts, or because a day was too late for them.";
    PushDeliveries PUSH_DELIVERIES: Reading<Queue>,
        "gom_push_deliveries", None, "Messages that are to be sent, of all servers; counted up to 100,000.";
    PushOldest PUSH_OLDEST: Reading<()>,
        "gom_push_oldest_delivery_seconds", Seconds, "Age of the oldest notification that has messages to be sent.";

    ProcessStart PROCESS_START: Reading<()>,
        "process_start_time_seconds", Seconds, "When the process began, since 1970.";
    ProcessCpu PROCESS_CPU: Counter<()>,
        "process_cpu_seconds", Seconds, "Processor time that it has used.";
    ProcessResident PROCESS_RESIDENT: Reading<()>,
        "process_resident_memory_bytes", Bytes, "Memory that it has.";
    ProcessVirtual PROCESS_VIRTUAL: Reading<()>,
        "process_virtual_memory_bytes", Bytes, "Addresses that it has.";
    ProcessThreads PROCESS_THREADS: Reading<()>,
        "process_threads", None, "Its threads.";
    ProcessFiles PROCESS_FILES: Reading<()>,
        "process_open_fds", None, "Files and sockets that it has open.";
    ProcessMostFiles PROCESS_MOST_FILES: Reading<()>,
        "process_max_fds", None, "How many it may have open.";
    Uptime UPTIME: Reading<()>,
        "gom_uptime_seconds", Seconds, "Since the server began.";
    BuildInfo BUILD_INFO: Reading<()>,
        "gom_build_info", None, "1, with the version and the revision that it was built from as labels.";
}

impl Metric {
    /// Its name, kind, unit, labels and help.
    pub fn definition(self) -> &'static Definition {
        &DEFINITIONS[self as usize]
    }
}

/// Where each metric's series begin in the table, and where all end.
const PLACES: [usize; DEFINITIONS.len() + 1] = {
    let mut places = [0; DEFINITIONS.len() + 1];
    let mut i = 0;
    while i < DEFINITIONS.len() {
        places[i + 1] = places[i] + DEFINITIONS[i].slots();
        i += 1;
    }
    places
};

pub(super) static BASES: [usize; DEFINITIONS.len() + 1] = PLACES;

/// How many numbers there are.
pub(super) const SLOTS: usize = PLACES[DEFINITIONS.len()];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_in_their_units() {
        let mut seen = HashSet::new();
        for (i, definition) in DEFINITIONS.iter().enumerate() {
            let name = definition.name;
            assert_eq!(definition.metric as usize, i);
            assert!(seen.insert(name), "{name} is there twice");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{name}"
            );
            assert!(!name.ends_with("_total"), "{name}: that is added");
            assert_eq!(
                name.ends_with("_seconds"),
                definition.unit == Unit::Seconds,
                "{name}"
            );
            assert_eq!(
                name.ends_with("_bytes"),
                definition.unit == Unit::Bytes,
                "{name}"
            );
            assert!(
                definition.kind != MetricKind::Histogram || definition.unit == Unit::Seconds,
                "{name}"
            );
            assert!(
                definition.help.ends_with('.') || definition.help.ends_with(')'),
                "{name}"
            );
        }
    }

    #[test]
    fn every_series_has_a_place_of_its_own() {
        let mut places = HashSet::new();
        for route in Route::ALL {
            for method in Method::ALL {
                for status in Status::ALL {
                    assert!(places.insert((*route, *method, *status).place()));
                }
            }
        }
        let definition = Metric::HttpRequests.definition();
        assert_eq!(places.len(), definition.series());
        assert_eq!(places.iter().max(), Some(&(definition.series() - 1)));
    }
}
