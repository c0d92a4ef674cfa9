//! The server and the session: version, encoding, what forbids writing, whether triggers fire, and the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Client, Error};

use super::Subject;

const OLDEST: i32 = 13;
const NEWEST: i32 = 18;
/// Tokens and sessions carry times: seconds do no harm, minutes do.
const SKEW: f64 = 2.0;
const GREAT_SKEW: f64 = 60.0;

const SERVER: &str = "select current_setting('server_version_num')::int / 10000, current_setting('server_version'),
  current_setting('server_encoding'), pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool,
  current_setting('session_replication_role'), current_setting('TimeZone') = 'UTC' and current_setting('jit') = 'off',
  extract(epoch from clock_timestamp())::float8";

pub(super) async fn examine(client: &Client, found: &mut Subject<'_>) -> Result<(), Error> {
    let before = SystemTime::now();
    let row = client.query_one(SERVER, &[]).await?;
    let round_trip = before.elapsed().unwrap_or_default();
    let (major, version): (i32, &str) = (row.get(0), row.get(1));
    match major {
        ..OLDEST => found.problem(
            "version",
            version,
            format!("use PostgreSQL {OLDEST} to {NEWEST}"),
        ),
        OLDEST..=NEWEST => found.ok("version", version),
        _ => found.warning(
            "version",
            version,
            format!("gom was tried with {OLDEST} to {NEWEST} only"),
        ),
    }
    match row.get::<_, &str>(2) {
        "UTF8" => found.ok("encoding", "UTF8"),
        encoding => found.problem(
            "encoding",
            format!("{encoding} has no room for every text"),
            "make a database with ENCODING 'UTF8' and move the data (pg_dump)",
        ),
    }
    match (row.get::<_, bool>(3), row.get::<_, bool>(4)) {
        (true, _) => found.problem("writable", "it is a standby", "name the primary in DATABASE_URL"),
        (false, true) => found.problem(
            "writable",
            "transactions are read-only by default",
            "ALTER DATABASE … SET default_transaction_read_only = off (or the role, or postgresql.conf)",
        ),
        (false, false) => found.ok("writable", "it takes writes"),
    }
    match row.get::<_, &str>(5) {
        "origin" => found.ok("session_replication_role", "origin: triggers fire"),
        role => found.problem(
            "session_replication_role",
            format!("{role}: triggers do not fire, and no change is seen"),
            "ALTER ROLE … RESET session_replication_role",
        ),
    }
    // Among them `idle_in_transaction_session_timeout`, which bounds our own transactions.
    if row.get(6) {
        found.ok(
            "session settings",
            "ours are in effect: time-outs, time zone, isolation",
        );
    } else {
        found.problem(
            "session settings",
            "what a connection asks for is not in effect: something between drops it",
            "connect without a pooler, or let it pass `options` on (PgBouncer: session pooling, and no ignore_startup_parameters)",
        );
    }
    clock(row.get(7), before, round_trip, found);
    Ok(())
}

/// The answer was made somewhere within the round trip.
fn clock(theirs: f64, before: SystemTime, round_trip: Duration, found: &mut Subject<'_>) {
    let ours = (before + round_trip / 2)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let skew = theirs - ours;
    let text = format!("{skew:+.3} s beside this machine's");
    let remedy = "let both machines follow the same time servers (NTP)";
    match skew.abs() - round_trip.as_secs_f64() / 2.0 {
        skew if skew > GREAT_SKEW => found.problem("clock", text, remedy),
        skew if skew > SKEW => found.warning("clock", text, remedy),
        _ => found.ok("clock", text),
    }
}
