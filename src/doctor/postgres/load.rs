//! What others do to it, and whether there is room: long transactions, connections, and changes that nobody has looked at.

use tokio_postgres::{Client, Error};

use super::{Patient, Subject};

/// Beside `database.max_connections` and `live.connections`, at most, for each process: the feed (3: it follows, trims and searches), the hub (7:
/// log, groups and trusted; log and groups for those who catch up, and for the slow lane), push (6), sessions, limits and
/// devices where Redis does not keep them (4), health, a deployment and a command (3), and one to spare.
const OWN: i64 = 24;
/// Changes that a feed takes in one go without anybody noticing.
const BACKLOG: i64 = 10_000;

const TRANSACTIONS: &str = "select format('process %s of %s (%s) in %s, %s, open for %s s', pid, coalesce(usename, '?'),
    coalesce(nullif(application_name, ''), 'no name'), coalesce(datname, '?'), coalesce(state, '?'),
    extract(epoch from now() - xact_start)::bigint), pid
  from pg_stat_activity where xact_start < now() - $1::float8 * interval '1 second' and backend_type = 'client backend'
    and pid <> pg_backend_pid() order by xact_start limit 10";
const PREPARED: &str = "select format('%L in %s, prepared %s s ago', gid, database, extract(epoch from now() - prepared)::bigint), gid
  from pg_prepared_xacts where prepared < now() - $1::float8 * interval '1 second' order by prepared limit 10";
const HIDDEN: &str = "select count(*) from pg_stat_activity where query = '<insufficient privilege>' and datname is not null";
/// `reserved_connections` is there since PostgreSQL 16. Our own connections are called gom, or as the URL says.
const ROOM: &str = "select current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
    - coalesce(current_setting('reserved_connections', true)::bigint, 0),
  (select rolconnlimit::bigint from pg_roles where rolname = current_user),
  (select datconnlimit::bigint from pg_database where datname = current_database()),
  (select count(*) from pg_stat_activity where backend_type = 'client backend'
    and application_name not in ('gom', current_setting('application_name')))";
const UNSTAMPED: &str = "select count(*) from (select 1 from gom.change where sequence > (select seen from gom.feed) limit $1) c";

const LOG_SIZE: &str = "select s.partitions, s.bytes from gom.log_size() s";

pub(super) async fn examine(
    client: &Client,
    patient: &Patient,
    found: &mut Subject<'_>,
) -> Result<(), Error> {
    transactions(client, patient, found).await?;
    connections(client, patient, found).await?;
    // Reported already where there is no change log.
    if let Ok(row) = client.query_one(UNSTAMPED, &[&(BACKLOG + 1)]).await {
        match row.get::<_, i64>(0) {
            waiting if waiting > BACKLOG => found.warning(
                "change log",
                format!("more than {BACKLOG} changes have no position yet: nobody follows the log"),
                "run at least one server, of whichever role; its log says what keeps it",
            ),
            waiting => found.ok(
                "change log",
                format!("{waiting} changes wait for their position"),
            ),
        }
    }
    log_size(client, patient, found).await;
    Ok(())
}

/// Nothing, before the migration that brings partitions.
async fn log_size(client: &Client, patient: &Patient, found: &mut Subject<'_>) {
    let Ok(row) = client.query_one(LOG_SIZE, &[]).await else {
        return;
    };
    let (partitions, bytes) = (row.get::<_, i64>(0), row.get::<_, i64>(1));
    let text = format!("{} MiB, partitions: {partitions}", bytes >> 20);
    let bound = patient.settings.live.keep_bytes;
    // The open partition may be an eighth more, and stamps wait for the next look.
    if bound > 0 && bytes.cast_unsigned() > bound.saturating_add(bound / 4) {
        found.warning(
            "change log size",
            format!("{text}: more than live.keep_bytes"),
            "run at least one server, whose database user owns gom.change; end transactions that have been open for long",
        );
    } else {
        found.ok("change log size", text);
    }
}

/// Their changes are delivered when they end, and until then nothing that they might see is cleaned up.
async fn transactions(
    client: &Client,
    patient: &Patient,
    found: &mut Subject<'_>,
) -> Result<(), Error> {
    let seconds = patient.long_transaction.as_secs_f64();
    let mut clean = true;
    for row in client.query(TRANSACTIONS, &[&seconds]).await? {
        clean = false;
        let remedy = format!(
            "end it where it came from, or SELECT pg_terminate_backend({}); against its return: \
             ALTER ROLE … SET idle_in_transaction_session_timeout = '60s'",
            row.get::<_, i32>(1)
        );
        let held = "its changes reach nobody before its end, and the change log keeps gaps and dead rows for it";
        found.warning(
            "long transactions",
            format!("{}: {held}", row.get::<_, &str>(0)),
            remedy,
        );
    }
    for row in client.query(PREPARED, &[&seconds]).await? {
        clean = false;
        let remedy = format!(
            "COMMIT PREPARED or ROLLBACK PREPARED '{}'",
            row.get::<_, &str>(1).replace('\'', "''")
        );
        found.warning(
            "long transactions",
            format!(
                "{}: it holds locks, and the log's gaps open",
                row.get::<_, &str>(0)
            ),
            remedy,
        );
    }
    let hidden: i64 = client.query_one(HIDDEN, &[]).await?.get(0);
    if clean && hidden > 0 {
        let why = format!(
            "none of ours for {seconds} s; {hidden} sessions are hidden from this user (GRANT pg_read_all_stats shows them)"
        );
        found.skipped("long transactions", why);
    } else if clean {
        found.ok(
            "long transactions",
            format!("none is open for more than {seconds} s"),
        );
    }
    Ok(())
}

async fn connections(
    client: &Client,
    patient: &Patient,
    found: &mut Subject<'_>,
) -> Result<(), Error> {
    let row = client.query_one(ROOM, &[]).await?;
    let settings = &patient.settings;
    let for_clients = settings
        .database
        .max_connections
        .saturating_add(settings.live.connections);
    let each = i64::try_from(for_clients)
        .unwrap_or(i64::MAX)
        .saturating_add(OWN);
    let nodes = i64::from(patient.nodes);
    let need = each.saturating_mul(nodes);
    // Negative: none.
    let bounds = [row.get::<_, i64>(0), row.get(1), row.get(2)];
    let room = bounds
        .into_iter()
        .filter(|bound| *bound >= 0)
        .min()
        .unwrap_or(0);
    let others: i64 = row.get(3);
    let text = format!(
        "{nodes} × {each} are needed at most, {room} are there, others have {others} of them now"
    );
    let remedy = "raise max_connections (or the role's or the database's limit), or lower database.max_connections";
    if need > room {
        found.problem("max_connections", text, remedy);
    } else if need.saturating_add(others) > room {
        found.warning("max_connections", text, remedy);
    } else {
        found.ok("max_connections", text);
    }
    Ok(())
}
