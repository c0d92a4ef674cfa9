//! Jobs, notifications and deliveries as they are kept. Each method is one statement that commits by itself: whoever dies
//! between two of them leaves what the next one finds. Lists go as JSON.

use std::time::Duration;

use gom_engine::plan::{Param, Statement};
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::job::{Job, Settled};
use super::notice::Notice;
use crate::database::{Database, Line, LineError};

type Kept<T> = Result<T, LineError>;

/// `$1` who, `$2` lease in ms, `$3` schema, `$4` how many.
const CLAIM_JOBS: &str = "with due as materialized (select id from gom.job where due_at <= now() \
     and (lease_until is null or lease_until <= now()) and schema_name = $3 order by due_at limit $4::int \
     for update skip locked) update gom.job j set leased_by = $1, attempts = attempts + 1, \
     lease_until = now() + $2::bigint * interval '1 millisecond' from due where j.id = due.id \
     returning j.id, j.subject, j.node, j.created, j.writer, j.version, j.attempts";
/// `$1` who, `$2` lease in ms, `$3` ids.
const RENEW_JOBS: &str = "update gom.job set lease_until = now() + $2::bigint * interval '1 millisecond' \
     where leased_by = $1 and id in (select value::bigint from json_array_elements_text($3::json))";
/// `$1` who, `$2` id, `$3` version. A job that changed meanwhile is let go: it is due.
const FINISH_JOB: &str = "with done as (delete from gom.job where id = $2::bigint and leased_by = $1 and version = $3::int \
     returning 1) update gom.job set leased_by = null, lease_until = null where id = $2::bigint and leased_by = $1 \
     and not exists (select from done)";
/// `$1` who, `$2` id, `$3` version, `$4` wait in ms, `$5` what was wrong, if anything, `$6` whether the attempt counts.
const PUT_OFF_JOB: &str = "update gom.job set leased_by = null, lease_until = null, last_error = $5, \
     attempts = case when $6::boolean then attempts else 0 end, \
     due_at = case when version = $3::int then now() + $4::bigint * interval '1 millisecond' else due_at end \
     where id = $2::bigint and leased_by = $1";
/// `$1` who, `$2` id, `$3` version, `$4` the notification, `$5` its deliveries. Nothing happens if the job changed
/// meanwhile. What was made known once is not made known again because it was changed.
const EXPAND: &str = "with job as (delete from gom.job where id = $2::bigint and leased_by = $1 and version = $3::int \
     returning subject, node, dedup), \
     new as (insert into gom.notification (id, subject, source, kind, node, operation, title, body, ttl_ms, urgency, topic, \
     expires_at) select n.id, job.subject, job.node, n.kind, n.node, n.operation, n.title, n.body, n.ttl_ms, n.urgency, \
     n.topic, now() + n.ttl_ms * interval '1 millisecond' from job, json_to_record($4::json) as n(id text, kind text, \
     node text, operation text, title text, body text, ttl_ms bigint, urgency text, topic text) \
     where job.dedup <> job.node or not exists (select from gom.notification old where old.source = job.node \
     and old.subject = job.subject) returning id), \
     sent as (insert into gom.delivery (id, notification, recipient, endpoint, origin, device) \
     select d.id, new.id, d.recipient, d.endpoint, d.origin, d.device from new, json_to_recordset($5::json) as d(id text, \
     recipient text, endpoint text, origin text, device text) on conflict do nothing returning 1) \
     select (select count(*) from job), (select count(*) from new), (select count(*) from sent)";
/// `$1` who, `$2` lease in ms, `$3` origins to leave alone, `$4` how many, `$5` ids that are in hand: while the database was
/// away their leases may have ended, and their results wait.
const CLAIM: &str = "with due as materialized (select id from gom.delivery where state in ('WAITING', 'SENDING') \
     and due_at <= now() and origin not in (select json_array_elements_text($3::json)) \
     and id not in (select json_array_elements_text($5::json)) \
     order by due_at limit $4::int for update skip locked) \
     update gom.delivery d set state = 'SENDING', attempts = attempts + 1, leased_by = $1, sent_at = now(), \
     due_at = now() + $2::bigint * interval '1 millisecond' from due where d.id = due.id \
     returning d.id, d.notification, d.recipient, d.endpoint, d.origin, d.attempts, d.shortened";
/// `$1` who, `$2` lease in ms, `$3` ids.
const RENEW: &str = "update gom.delivery set due_at = now() + $2::bigint * interval '1 millisecond' \
     where leased_by = $1 and state = 'SENDING' and id in (select json_array_elements_text($3::json))";
/// `$1` ids.
const TEXTS: &str = "select id, kind, node, operation, title, body, urgency, topic, \
     (extract(epoch from expires_at - now()) * 1000)::bigint \
     from gom.notification where id in (select json_array_elements_text($1::json))";
/// `$1` who, `$2` results. Whoever lost the lease has nothing to say any more, but that it arrived.
const RECORD: &str = "update gom.delivery d set state = r.state, status = r.status, reason = r.reason, \
     shortened = d.shortened or r.shortened, attempts = d.attempts - r.unsent, leased_by = null, \
     due_at = now() + r.wait_ms * interval '1 millisecond', \
     settled_at = case when r.state <> 'WAITING' then now() end \
     from json_to_recordset($2::json) as r(id text, state text, status int, reason text, shortened boolean, unsent int, \
     wait_ms bigint) \
     where d.id = r.id and d.state in ('WAITING', 'SENDING') and (d.leased_by = $1 or r.state = 'DELIVERED')";
/// `$1` ids.
const SETTLE: &str = "update gom.notification n set settled_at = now() where settled_at is null \
     and id in (select json_array_elements_text($1::json)) \
     and not exists (select from gom.delivery d where d.notification = n.id and d.state in ('WAITING', 'SENDING'))";
/// What two who finished at the same time have left to each other.
const SETTLE_LEFT: &str = "update gom.notification n set settled_at = now() where settled_at is null and reported_at is null \
     and not exists (select from gom.delivery d where d.notification = n.id and d.state in ('WAITING', 'SENDING'))";
const UNREPORTED: &str = "select n.id, n.subject, n.source, \
     (select count(*) from gom.delivery d where d.notification = n.id and d.state = 'DELIVERED'), \
     (select count(*) from gom.delivery d where d.notification = n.id and d.state in ('FAILED', 'EXPIRED')), \
     (select count(*) from gom.delivery d where d.notification = n.id and d.state = 'GONE') \
     from gom.notification n where reported_at is null and settled_at is not null order by created_at limit 100";
/// `$1` ids.
const REPORTED: &str = "update gom.notification set reported_at = now() \
     where id in (select json_array_elements_text($1::json))";
/// `$1` age in ms, `$2` how many.
const TRIM: &str = "delete from gom.notification where id in (select id from gom.notification \
     where created_at < now() - $1::bigint * interval '1 millisecond' and reported_at is not null \
     order by created_at limit $2::int) returning 1";
/// `$1` age in ms, `$2` how many. Jobs that wait for their time stay.
const DROP_OLD_JOBS: &str = "delete from gom.job where id in (select id from gom.job \
     where due_at < now() - $1::bigint * interval '1 millisecond' and dedup <> node order by due_at limit $2::int \
     for update skip locked) returning 1";

/// A job in hand.
#[derive(Debug, Clone)]
pub(super) struct ClaimedJob {
    pub job: Job,
    pub version: i32,
    pub attempts: i32,
}

/// A delivery that is intended.
#[derive(Debug, Clone)]
pub(super) struct Claimed {
    pub id: String,
    pub notification: String,
    pub recipient: String,
    pub endpoint: String,
    pub origin: String,
    pub attempts: u32,
    pub shortened: bool,
}

/// A delivery to be made.
#[derive(Debug, Serialize)]
pub(super) struct NewDelivery {
    pub id: String,
    pub recipient: String,
    pub endpoint: String,
    pub origin: String,
    pub device: String,
}

/// What became of a job that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expanded {
    /// So many deliveries are to be made.
    New(u64),
    /// Its node was made known before.
    Known,
    /// It has changed since it was claimed, or somebody else has it.
    Changed,
}

/// A notification as it is sent.
#[derive(Debug, Clone)]
pub(super) struct StoredNotice {
    pub id: String,
    pub kind: String,
    pub node: String,
    pub operation: Option<String>,
    pub title: String,
    pub body: String,
    pub urgency: String,
    pub topic: Option<String>,
    /// Until it expires; nothing if it has.
    pub left: Option<Duration>,
}

/// How an attempt ended, as the ledger has it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Record {
    pub id: String,
    pub state: &'static str,
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// From now on a shorter text is sent.
    pub shortened: bool,
    /// 1 if it was not sent, so that the attempt does not count.
    pub unsent: u8,
    /// Until it is tried again.
    pub wait_ms: u64,
}

#[derive(Serialize)]
struct NewNotification<'a> {
    id: &'a str,
    kind: &'a str,
    node: &'a str,
    operation: Option<&'a str>,
    title: &'a str,
    body: &'a str,
    ttl_ms: u64,
    urgency: &'static str,
    topic: Option<&'a str>,
}

/// The ledger, on a connection of its own.
pub(super) struct Ledger {
    line: Line,
    /// Who holds what is claimed through it: one name for each start.
    who: String,
    schema: String,
    lease: Duration,
}

/// What is to be done: (due, put off, leased) jobs and deliveries, and the age of the oldest delivery in ms. Through the
/// indexes of what is open.
const BACKLOG: &str = "select j.*, d.* from \
     (select count(*) filter (where due_at <= now() and (lease_until is null or lease_until <= now())), \
     count(*) filter (where due_at > now() and (lease_until is null or lease_until <= now())), \
     count(*) filter (where lease_until > now()) from gom.job where schema_name = $1) j, \
     (select count(*) filter (where due_at <= now()), count(*) filter (where due_at > now() and state = 'WAITING'), \
     count(*) filter (where due_at > now() and state = 'SENDING'), \
     (extract(epoch from now() - min(created_at)) * 1000)::bigint from gom.delivery where state in ('WAITING', 'SENDING')) d";

/// Numbers of due, put off and leased ones.
pub(super) type Queued = [u64; 3];

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backlog {
    pub jobs: Queued,
    pub deliveries: Queued,
    /// Since the oldest of these deliveries was made.
    pub oldest: Duration,
}

impl Ledger {
    /// `limit`: how long a statement may take, if not as long as anybody's.
    pub fn new(
        database: &Database,
        who: &str,
        schema: &str,
        lease: Duration,
        limit: Option<Duration>,
    ) -> Self {
        Ledger { line: Line::new(database, limit), who: who.to_owned(), schema: schema.to_owned(), lease }
    }

    /// What all servers have to do.
    pub async fn backlog(&self) -> Kept<Backlog> {
        let rows = self.ask(BACKLOG, [&self.schema]).await?;
        let row = rows.first().ok_or_else(|| unexpected("no row"))?;
        let number = |column| get::<Option<i64>>(row, column).map(|n| n.unwrap_or(0).max(0).cast_unsigned());
        Ok(Backlog {
            jobs: [number(0)?, number(1)?, number(2)?],
            deliveries: [number(3)?, number(4)?, number(5)?],
            oldest: Duration::from_millis(number(6)?),
        })
    }

    pub async fn claim_jobs(&self, most: usize) -> Kept<Vec<ClaimedJob>> {
        let rows =
            self.ask(CLAIM_JOBS, [&self.who, &ms(self.lease), &self.schema, &most.to_string()]).await?;
        rows.iter()
            .map(|row| {
                let job = Job {
                    id: get(row, 0)?,
                    subject: get(row, 1)?,
                    node: get(row, 2)?,
                    created: get(row, 3)?,
                    writer: get(row, 4)?,
                };
                Ok(ClaimedJob { job, version: get(row, 5)?, attempts: get(row, 6)? })
            })
            .collect()
    }

    pub async fn renew_jobs(&self, ids: &[i64]) -> Kept<()> {
        self.ask(RENEW_JOBS, [&self.who, &ms(self.lease), &json(ids)]).await.map(drop)
    }

    pub async fn finish_job(&self, claimed: &ClaimedJob) -> Kept<()> {
        let (id, version) = (claimed.job.id.to_string(), claimed.version.to_string());
        self.ask(FINISH_JOB, [&self.who, &id, &version]).await.map(drop)
    }

    /// `counts`: the attempt was one; otherwise something was away, and they are counted anew.
    pub async fn put_off_job(
        &self,
        claimed: &ClaimedJob,
        wait: Duration,
        error: Option<&str>,
        counts: bool,
    ) -> Kept<()> {
        let (id, version) = (claimed.job.id.to_string(), claimed.version.to_string());
        let mut params: Vec<Param> =
            [&self.who, &id, &version, &ms(wait)].into_iter().map(|text| Param::Text(text.clone())).collect();
        params.push(error.map_or(Param::Null, |error| Param::Text(error.to_owned())));
        params.push(Param::Text(counts.to_string()));
        self.line.rows(&Statement { sql: PUT_OFF_JOB.to_owned(), params }).await.map(drop)
    }

    /// Makes a notification of a job, with its deliveries, all in one.
    pub async fn expand(
        &self,
        claimed: &ClaimedJob,
        id: &str,
        notice: &Notice,
        deliveries: &[NewDelivery],
    ) -> Kept<Expanded> {
        let new = NewNotification {
            id,
            kind: &notice.kind,
            node: &notice.node,
            operation: notice.operation.as_deref(),
            title: &notice.title,
            body: &notice.body,
            ttl_ms: millis(notice.ttl),
            urgency: notice.urgency.as_str(),
            topic: notice.topic.as_deref(),
        };
        let (job, version) = (claimed.job.id.to_string(), claimed.version.to_string());
        let params = [&self.who, &job, &version, &json(&new), &json(deliveries)];
        let rows = self.ask(EXPAND, params).await?;
        let row = rows.first().ok_or_else(|| unexpected("no counts"))?;
        let (jobs, notifications, deliveries): (i64, i64, i64) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        Ok(match (jobs, notifications) {
            (0, _) => Expanded::Changed,
            (_, 0) => Expanded::Known,
            _ => Expanded::New(deliveries.cast_unsigned()),
        })
    }

    /// Takes deliveries that are due, but none to the origins in `without`. From here on they may have been sent.
    pub async fn claim(&self, without: &[String], most: usize, in_hand: &[String]) -> Kept<Vec<Claimed>> {
        let params = [&self.who, &ms(self.lease), &json(without), &most.to_string(), &json(in_hand)];
        let rows = self.ask(CLAIM, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Claimed {
                    id: get(row, 0)?,
                    notification: get(row, 1)?,
                    recipient: get(row, 2)?,
                    endpoint: get(row, 3)?,
                    origin: get(row, 4)?,
                    attempts: get::<i32>(row, 5)?.unsigned_abs(),
                    shortened: get(row, 6)?,
                })
            })
            .collect()
    }

    pub async fn renew(&self, ids: &[String]) -> Kept<()> {
        self.ask(RENEW, [&self.who, &ms(self.lease), &json(ids)]).await.map(drop)
    }

    pub async fn texts(&self, ids: &[String]) -> Kept<Vec<StoredNotice>> {
        let rows = self.ask(TEXTS, [&json(ids)]).await?;
        rows.iter()
            .map(|row| {
                let left: i64 = get(row, 8)?;
                Ok(StoredNotice {
                    id: get(row, 0)?,
                    kind: get(row, 1)?,
                    node: get(row, 2)?,
                    operation: get(row, 3)?,
                    title: get(row, 4)?,
                    body: get(row, 5)?,
                    urgency: get(row, 6)?,
                    topic: get(row, 7)?,
                    left: u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis),
                })
            })
            .collect()
    }

    pub async fn record(&self, records: &[Record]) -> Kept<()> {
        self.ask(RECORD, [&self.who, &json(records)]).await.map(drop)
    }

    /// Notes which of these notifications have nothing left to be sent.
    pub async fn settle(&self, ids: &[String]) -> Kept<()> {
        self.ask(SETTLE, [&json(ids)]).await.map(drop)
    }

    pub async fn settle_left(&self) -> Kept<()> {
        self.ask(SETTLE_LEFT, []).await.map(drop)
    }

    /// Some settled notifications that the application has not heard of.
    pub async fn unreported(&self) -> Kept<Vec<Settled>> {
        let rows = self.ask(UNREPORTED, []).await?;
        let count = |row: &Row, column| get::<i64>(row, column).map(i64::cast_unsigned);
        rows.iter()
            .map(|row| {
                Ok(Settled {
                    notification: get(row, 0)?,
                    subject: get(row, 1)?,
                    source: get(row, 2)?,
                    delivered: count(row, 3)?,
                    failed: count(row, 4)?,
                    gone: count(row, 5)?,
                })
            })
            .collect()
    }

    pub async fn reported(&self, ids: &[String]) -> Kept<()> {
        self.ask(REPORTED, [&json(ids)]).await.map(drop)
    }

    /// Forgets up to `most` old notifications; how many.
    pub async fn trim(&self, age: Duration, most: usize) -> Kept<usize> {
        Ok(self.ask(TRIM, [&ms(age), &most.to_string()]).await?.len())
    }

    /// Forgets up to `most` jobs that nobody has carried out for so long; how many.
    pub async fn drop_old_jobs(&self, age: Duration, most: usize) -> Kept<usize> {
        Ok(self.ask(DROP_OLD_JOBS, [&ms(age), &most.to_string()]).await?.len())
    }

    async fn ask<const N: usize>(&self, sql: &str, params: [&String; N]) -> Kept<Vec<Row>> {
        let params = params.into_iter().map(|text| Param::Text(text.clone())).collect();
        self.line.rows(&Statement { sql: sql.to_owned(), params }).await
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Kept<T> {
    row.try_get(column).map_err(|error| unexpected(&error.to_string()))
}

fn unexpected(what: &str) -> LineError {
    LineError::Rejected(format!("the ledger of push has {what} that this program does not expect"))
}

fn ms(time: Duration) -> String {
    millis(time).to_string()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Texts and numbers under fixed keys: nothing in them can fail.
fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
