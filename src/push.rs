//! `gom push`: what push has to do, what became of what was sent, and the devices. Names no endpoint.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::place::{DatabaseArguments, Place, work_in};
use super::{Failure, columns, devices};
use gom_server::application::Application;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show open jobs, deliveries by state and by push service, and the last failures
    Status(Status),
    /// Show the devices of a user, or forget them
    Devices(devices::Arguments),
}

#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    database: DatabaseArguments,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// One statement, so that the numbers are of one moment. Times are ISO 8601 with the zone.
const STATUS: &str = "select json_build_object(
  'jobs', (select json_build_object('open', count(*), 'due', count(*) filter (where due_at <= now()),
     'taken', count(*) filter (where lease_until > now()), 'troubled', count(*) filter (where last_error is not null),
     'oldest_due', min(due_at) filter (where due_at <= now())) from gom.job),
  'notifications', (select json_build_object('total', count(*), 'open', count(*) filter (where settled_at is null))
     from gom.notification),
  'states', (select coalesce(json_agg(s), '[]') from (select state, count(*), min(created_at) as oldest
     from gom.delivery group by state order by state) s),
  'origins', (select coalesce(json_agg(o), '[]') from (select origin, count(*),
     count(*) filter (where state in ('WAITING', 'SENDING')) as open,
     count(*) filter (where state = 'DELIVERED') as delivered, count(*) filter (where state = 'GONE') as gone,
     count(*) filter (where state in ('FAILED', 'EXPIRED')) as failed
     from gom.delivery group by origin order by count(*) desc, origin limit 50) o),
  'failures', (select coalesce(json_agg(f), '[]') from (select coalesce(settled_at, sent_at, created_at) as at, state,
     origin, device, attempts, status, reason from gom.delivery where reason is not null and state <> 'SUPERSEDED'
     order by coalesce(settled_at, sent_at, created_at) desc limit 10) f),
  'job_failures', (select coalesce(json_agg(j), '[]') from (select subject, node, attempts, last_error as reason, due_at
     from gom.job where last_error is not null order by due_at limit 10) j)
)";

#[derive(Debug, Deserialize, Serialize)]
struct Report {
    jobs: Jobs,
    notifications: Notifications,
    states: Vec<State>,
    origins: Vec<Origin>,
    failures: Vec<DeliveryFailure>,
    job_failures: Vec<JobFailure>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Jobs {
    open: u64,
    due: u64,
    taken: u64,
    troubled: u64,
    oldest_due: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Notifications {
    total: u64,
    open: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct State {
    state: String,
    count: u64,
    oldest: DateTime<Utc>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Origin {
    origin: String,
    count: u64,
    open: u64,
    delivered: u64,
    gone: u64,
    failed: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct DeliveryFailure {
    at: DateTime<Utc>,
    state: String,
    origin: String,
    device: String,
    attempts: u32,
    status: Option<u16>,
    reason: String,
}

#[derive(Debug, Deserialize, Serialize)]
struct JobFailure {
    subject: String,
    node: String,
    attempts: u32,
    reason: String,
    due_at: DateTime<Utc>,
}

pub(super) fn run(
    arguments: Arguments,
    application: &'static dyn Application,
) -> Result<(), Failure> {
    match arguments.task {
        Task::Status(status) => show(status, application),
        Task::Devices(arguments) => devices::run(arguments, application),
    }
}

fn show(status: Status, application: &'static dyn Application) -> Result<(), Failure> {
    let (settings, patience) = status.database.load(application, [])?;
    let report = work_in(application, &settings, patience, async |place| {
        place.prepare_to_read(&settings).await?;
        read(place).await
    })?;
    if status.json {
        let text = serde_json::to_string_pretty(&report);
        println!("{}", text.map_err(|error| Failure::because("", &error))?);
    } else {
        print!("{}", in_words(&report));
    }
    Ok(())
}

async fn read(place: &Place) -> Result<Report, Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::because("the ledger cannot be read", error);
    let client = place
        .database
        .lend()
        .await
        .map_err(|error| failed(&error))?;
    let row = client
        .query_one(STATUS, &[])
        .await
        .map_err(|error| failed(&error))?;
    let value: Value = row.try_get(0).map_err(|error| failed(&error))?;
    serde_json::from_value(value).map_err(|error| failed(&error))
}

fn in_words(report: &Report) -> String {
    let time = |time: &DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S").to_string();
    let Report {
        jobs,
        notifications,
        ..
    } = report;
    let since = jobs
        .oldest_due
        .as_ref()
        .map(|at| format!(", the oldest since {}", time(at)));
    let mut text = format!(
        "Jobs: {} open, {} due{}, {} taken, {} troubled\nNotifications: {}, {} of them open\n",
        jobs.open,
        jobs.due,
        since.unwrap_or_default(),
        jobs.taken,
        jobs.troubled,
        notifications.total,
        notifications.open,
    );
    let number =
        |number: Option<u16>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let states = report
        .states
        .iter()
        .map(|s| [s.state.clone(), s.count.to_string(), time(&s.oldest)]);
    table(&mut text, ["STATE", "DELIVERIES", "OLDEST (UTC)"], states);
    let origins = report.origins.iter().map(|o| {
        let [count, open, delivered, gone, failed] =
            [o.count, o.open, o.delivered, o.gone, o.failed].map(|number| number.to_string());
        [o.origin.clone(), count, open, delivered, gone, failed]
    });
    table(
        &mut text,
        [
            "PUSH SERVICE",
            "DELIVERIES",
            "OPEN",
            "DELIVERED",
            "GONE",
            "FAILED",
        ],
        origins,
    );
    let failures = report.failures.iter().map(|f| {
        let (attempts, status) = (f.attempts.to_string(), number(f.status));
        [
            time(&f.at),
            f.state.clone(),
            f.origin.clone(),
            f.device.clone(),
            attempts,
            status,
            f.reason.clone(),
        ]
    });
    let head = [
        "TIME (UTC)",
        "STATE",
        "PUSH SERVICE",
        "DEVICE",
        "ATTEMPTS",
        "STATUS",
        "REASON",
    ];
    table(&mut text, head, failures);
    let jobs = report.job_failures.iter().map(|j| {
        [
            j.subject.clone(),
            j.node.clone(),
            j.attempts.to_string(),
            time(&j.due_at),
            j.reason.clone(),
        ]
    });
    table(
        &mut text,
        ["JOB", "NODE", "ATTEMPTS", "DUE (UTC)", "REASON"],
        jobs,
    );
    text
}

/// Adds a table, if it has rows.
fn table<const N: usize>(
    text: &mut String,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    if rows.len() > 1 {
        text.push('\n');
        text.push_str(&columns(&rows));
    }
}
