//! What push has to do, and for how long nobody has done it.

use tokio_postgres::Client;

use super::report::Report;

/// One statement, so that the numbers are of one moment. Jobs are taken by the servers of their schema (`$1`);
/// deliveries are of no schema, and any server sends them.
const BACKLOG: &str = "select
  (select count(*) from gom.job
    where schema_name = $1 and due_at <= now() and (lease_until is null or lease_until < now())),
  (select extract(epoch from now() - min(due_at))::float8 from gom.job
    where schema_name = $1 and due_at <= now() and (lease_until is null or lease_until < now())),
  (select count(*) from gom.job where schema_name = $1 and attempts > 1 and last_error is not null),
  (select count(*) from gom.delivery where state = 'WAITING' and created_at < now() - interval '1 hour'),
  (select count(*) from gom.delivery where state = 'FAILED' and created_at > now() - interval '1 day'),
  (select count(*) from gom.delivery where created_at > now() - interval '1 day'),
  (select string_agg(origin, ', ') from (select distinct origin from gom.delivery
    where state = 'WAITING' and status in (401, 403) order by origin limit 5) refusing)";
/// Seconds after which somebody should have taken a job.
const OLD: f64 = 60.0;

/// `sends`: whether there are keys.
pub(super) async fn examine(client: &Client, schema: &str, sends: bool, report: &mut Report) {
    let mut found = report.of("push");
    let row = match client.query_one(BACKLOG, &[&schema]).await {
        Ok(row) => row,
        Err(error) => {
            let reason = error
                .as_db_error()
                .map_or_else(|| error.to_string(), |error| error.message().to_owned());
            return found.skipped("jobs", format!("the ledger cannot be read: {reason}"));
        }
    };
    let number = |column: usize| row.get::<_, i64>(column);
    let (due, oldest, troubled) = (
        number(0),
        row.get::<_, Option<f64>>(1).unwrap_or(0.0),
        number(2),
    );
    match oldest {
        _ if !sends && due > 0 => found.ok(
            "jobs",
            format!("{due} wait for nobody: push is off, and they are forgotten in a day"),
        ),
        oldest if oldest > OLD => found.problem(
            "jobs",
            format!("{due} are due, the oldest for {oldest:.0} s: nobody carries them out"),
            "run at least one server with the role all or worker; its log says what keeps it",
        ),
        _ => found.ok("jobs", format!("{due} due")),
    }
    if troubled > 0 {
        found.warning(
            "failed jobs",
            format!("{troubled} failed and are retried"),
            "`gom push status` shows why",
        );
    }
    if let Some(services) = row.get::<_, Option<String>>(6) {
        found.problem(
            "authorization",
            format!("{services}: does not accept who this server says it is (401 or 403), and messages wait"),
            "check the pair in push.vapid, its subject, and this machine's clock; `gom push status` shows the answers",
        );
    }
    let (waiting, failed, all) = (number(3), number(4), number(5));
    if waiting > 0 {
        found.warning(
            "deliveries",
            format!("{waiting} wait since more than an hour"),
            "`gom push status` shows for which push service",
        );
    } else if failed * 10 > all && all > 0 {
        found.warning(
            "deliveries",
            format!("{failed} of {all} of the last day were refused"),
            "`gom push status` shows why",
        );
    } else {
        found.ok(
            "deliveries",
            format!("{all} in the last day, {failed} of them refused"),
        );
    }
}
