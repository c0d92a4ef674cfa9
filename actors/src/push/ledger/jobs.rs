//! Jobs: leased, put off, done with, and turned into notifications.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gom_engine::plan::{Param, Statement};
use serde::Serialize;

use super::{Kept, Ledger, get, json, millis, ms, unexpected};
use crate::push::job::Job;
use crate::push::notice::Notice;

/// `$1` who, `$2` lease in ms, `$3` schema, `$4` how many short ones, `$5` how many that may be long: of a node with one
/// job until it is done. Short ones that are older than `$6` ms are left to be dropped; long ones are due since `$7` ms.
const CLAIM_JOBS: &str = "with short as materialized (select id from gom.job where due_at <= now() \
     and (lease_until is null or lease_until <= now()) and schema_name = $3 and dedup <> node \
     and created_at >= now() - $6::bigint * interval '1 millisecond' order by due_at limit $4::int for update skip locked), \
     long as materialized (select id from gom.job where due_at <= now() - $7::bigint * interval '1 millisecond' \
     and (lease_until is null or lease_until <= now()) and schema_name = $3 and dedup = node \
     order by due_at limit $5::int for update skip locked), \
     due as (select id from short union all select id from long) \
     update gom.job j set leased_by = $1, attempts = attempts + 1, \
     lease_until = now() + $2::bigint * interval '1 millisecond' \
     from due left join gom.notification n on n.expanding = due.id where j.id = due.id \
     returning j.id, j.subject, j.node, j.created, j.writer, floor(extract(epoch from j.created_at) * 1000)::bigint, \
     floor(extract(epoch from now()) * 1000)::bigint, \
     j.version, j.attempts, j.dedup = j.node, n.id, n.expanded_to, n.expires_at <= now(), \
     nextval('gom.notification_position')";
/// `$1` who, `$2` lease in ms, `$3` ids. What a statement of ours, or a writer, has locked is nobody else's until it ends: the
/// others need not wait for it.
const RENEW_JOBS: &str = "with mine as materialized (select id from gom.job where leased_by = $1 \
     and id in (select value::bigint from json_array_elements_text($3::json)) for update skip locked) \
     update gom.job j set lease_until = now() + $2::bigint * interval '1 millisecond' from mine where j.id = mine.id";
/// `$1` who, `$2` id, `$3` version. A job that changed meanwhile is let go: it is due. What was expanded of it stays.
const FINISH_JOB: &str = "with done as (delete from gom.job where id = $2::bigint and leased_by = $1 and version = $3::int \
     returning id), ended as (update gom.notification n set expanding = null from done where n.expanding = done.id) \
     update gom.job set leased_by = null, lease_until = null where id = $2::bigint and leased_by = $1 \
     and not exists (select from done)";
/// `$1` who, `$2` id, `$3` version, `$4` wait in ms, `$5` what was wrong, if anything, `$6` whether the attempt counts.
const PUT_OFF_JOB: &str = "update gom.job set leased_by = null, lease_until = null, last_error = $5, \
     attempts = case when $6::boolean then attempts else 0 end, \
     due_at = case when version = $3::int then now() + $4::bigint * interval '1 millisecond' else due_at end \
     where id = $2::bigint and leased_by = $1";
/// `$1` who, `$2` id, `$3` version, `$4` the time, in ms since 1970.
const WAIT_UNTIL: &str = "update gom.job set leased_by = null, lease_until = null, last_error = null, attempts = 0, \
     due_at = case when version = $3::int then timestamptz 'epoch' + $4::bigint * interval '1 millisecond' else due_at end \
     where id = $2::bigint and leased_by = $1";
/// `$1` who, `$2` id, `$3` version, `$4` the notification, `$5` its first deliveries, `$6` the place of the last recipient
/// among them if there are more: then the job is let go and stays due. Nothing happens if the job changed meanwhile. What was
/// made known once is not made known again because it was changed: it is reported again, since the node does not say so. What it
/// has to follow at a device is tried at once, so that it does not wait as long as that would have.
const EXPAND: &str = "with job as materialized (select id, subject, node, dedup from gom.job \
     where id = $2::bigint and leased_by = $1 and version = $3::int for update), \
     old as materialized (select n.id, n.expanding from gom.notification n, job \
     where job.dedup = job.node and n.source = job.node and n.subject = job.subject), \
     new as (insert into gom.notification (id, subject, source, kind, node, operation, title, body, ttl_ms, urgency, topic, \
     position, expires_at, expanding, expanded_to) select n.id, job.subject, job.node, n.kind, n.node, n.operation, n.title, n.body, \
     n.ttl_ms, n.urgency, n.topic, n.position, now() + n.ttl_ms * interval '1 millisecond', \
     case when $6::text is not null then job.id end, $6::text \
     from job, json_to_record($4::json) as n(id text, kind text, \
     node text, operation text, title text, body text, ttl_ms bigint, urgency text, topic text, position bigint) \
     where not exists (select from old) returning id, urgency, topic, position, \
     case when topic is not null then kind || ':' || node end as ordering_key), \
     soon as (update gom.delivery s set due_at = now() where s.id = any(array(select older.id from new, \
     json_to_recordset($5::json) as d(device text) cross join lateral (select s.id from gom.delivery s \
     where s.device = d.device and s.ordering_key = new.ordering_key and (s.settled_at is null)::int = 1 \
     and s.topic <> new.topic and s.state || '' = 'WAITING' and s.due_at > now() for update skip locked) older))), \
     sent as (insert into gom.delivery (id, notification, rank, topic, position, ordering_key, recipient, endpoint, origin, device) \
     select d.id, new.id, case new.urgency when 'high' then 0 else 1 end, new.topic, new.position, new.ordering_key, \
     d.recipient, d.endpoint, d.origin, d.device from new, json_to_recordset($5::json) as d(id text, \
     recipient text, endpoint text, origin text, device text) on conflict do nothing returning 1), \
     again as (update gom.notification n set reported_at = null, report_at = now() from old \
     where n.id = old.id and n.settled_at is not null), \
     kept as (update gom.job j set leased_by = null, lease_until = null, due_at = now(), attempts = 0, last_error = null \
     from job, new where j.id = job.id and $6::text is not null), \
     done as (delete from gom.job j using job where j.id = job.id \
     and not exists (select from old where expanding is not null) and ($6::text is null or exists (select from old))) \
     select (select count(*) from job where not exists (select from old where expanding is not null)), \
     (select count(*) from new), (select count(*) from sent)";
/// `$1` who, `$2` id, `$3` version, `$4` the notification, `$5` some more deliveries, `$6` the place up to which it was
/// expanded, `$7` the place of the last recipient among these if there are more.
const STEP: &str = "with job as materialized (select id from gom.job \
     where id = $2::bigint and leased_by = $1 and version = $3::int for update), \
     moved as (update gom.notification n set expanding = case when $7::text is not null then n.expanding end, \
     expanded_to = coalesce($7::text, n.expanded_to) from job \
     where n.id = $4 and n.expanding = job.id and n.expanded_to = $6 returning n.id, n.urgency, n.topic, n.position, \
     case when n.topic is not null then n.kind || ':' || n.node end as ordering_key), \
     sent as (insert into gom.delivery (id, notification, rank, topic, position, ordering_key, recipient, endpoint, origin, device) \
     select d.id, moved.id, case moved.urgency when 'high' then 0 else 1 end, moved.topic, moved.position, moved.ordering_key, \
     d.recipient, d.endpoint, d.origin, d.device from moved, json_to_recordset($5::json) as d(id text, \
     recipient text, endpoint text, origin text, device text) on conflict do nothing returning 1), \
     kept as (update gom.job j set leased_by = null, lease_until = null, due_at = now(), attempts = 0, last_error = null \
     from job, moved where j.id = job.id and $7::text is not null), \
     done as (delete from gom.job j using job, moved where j.id = job.id and $7::text is null) \
     select (select count(*) from moved), (select count(*) from sent)";
/// `$1` age in ms, `$2` how many. Jobs of a node that has one until it is done stay, and what is leased.
const DROP_OLD_JOBS: &str = "delete from gom.job where id in (select id from gom.job j \
     where created_at < now() - $1::bigint * interval '1 millisecond' and dedup <> node \
     and (lease_until is null or lease_until <= now()) \
     and not exists (select from gom.notification n where n.expanding = j.id) \
     order by id limit $2::int for update skip locked) returning 1";

/// A claimed job.
#[derive(Debug, Clone)]
pub(in crate::push) struct ClaimedJob {
    pub job: Job,
    pub version: i32,
    pub attempts: i32,
    /// It may take one step after the other.
    pub long: bool,
    /// What was made of it already.
    pub expansion: Option<Expansion>,
    /// Among notifications of one topic the highest is the last: taken after the change was committed, before it is read.
    pub position: i64,
}

/// A notification of which some deliveries are written, and some are not.
#[derive(Debug, Clone)]
pub(in crate::push) struct Expansion {
    pub notification: String,
    /// The place of the last recipient whose deliveries are written.
    pub reached: String,
    /// It is too late for the others.
    pub expired: bool,
}

/// A delivery to be made.
#[derive(Debug, Serialize)]
pub(in crate::push) struct NewDelivery {
    pub id: String,
    pub recipient: String,
    pub endpoint: String,
    pub origin: String,
    pub device: String,
}

/// What became of a job that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum Expanded {
    /// So many deliveries are to be made.
    New(u64),
    /// Its node was made known before.
    Known,
    /// It has changed since it was claimed, or somebody else has it.
    Changed,
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
    position: i64,
}

impl Ledger {
    /// Leases jobs that are due: so many short ones, that are no older than `age`, and so many that may be long.
    pub async fn claim_jobs(
        &self,
        short: usize,
        long: usize,
        age: Duration,
    ) -> Kept<Vec<ClaimedJob>> {
        self.lease_jobs(short, long, age, Duration::ZERO).await
    }

    /// Leases a job that may be long and has been due for so long.
    pub async fn claim_late_jobs(&self, overdue: Duration) -> Kept<Vec<ClaimedJob>> {
        self.lease_jobs(0, 1, Duration::ZERO, overdue).await
    }

    async fn lease_jobs(
        &self,
        short: usize,
        long: usize,
        age: Duration,
        overdue: Duration,
    ) -> Kept<Vec<ClaimedJob>> {
        let (short, long) = (short.to_string(), long.to_string());
        let params = [
            &self.who,
            &ms(self.lease),
            &self.schema,
            &short,
            &long,
            &ms(age),
            &ms(overdue),
        ];
        let rows = self.ask(CLAIM_JOBS, params).await?;
        rows.iter()
            .map(|row| {
                let time = |column| {
                    let ms: i64 = get(row, column)?;
                    Ok(UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs()))
                };
                let job = Job {
                    id: get(row, 0)?,
                    subject: get(row, 1)?,
                    node: get(row, 2)?,
                    created: get(row, 3)?,
                    writer: get(row, 4)?,
                    queued_at: time(5)?,
                    now: time(6)?,
                };
                let notification: Option<String> = get(row, 10)?;
                let expansion = match notification {
                    Some(notification) => Some(Expansion {
                        notification,
                        reached: get(row, 11)?,
                        expired: get(row, 12)?,
                    }),
                    None => None,
                };
                let (version, attempts, long) = (get(row, 7)?, get(row, 8)?, get(row, 9)?);
                Ok(ClaimedJob {
                    job,
                    version,
                    attempts,
                    long,
                    expansion,
                    position: get(row, 13)?,
                })
            })
            .collect()
    }

    pub async fn renew_jobs(&self, ids: &[i64]) -> Kept<()> {
        self.ask(RENEW_JOBS, [&self.who, &ms(self.lease), &json(ids)])
            .await
            .map(drop)
    }

    pub async fn finish_job(&self, claimed: &ClaimedJob) -> Kept<()> {
        let (id, version) = (claimed.job.id.to_string(), claimed.version.to_string());
        self.ask(FINISH_JOB, [&self.who, &id, &version])
            .await
            .map(drop)
    }

    /// `counts`: the attempt was one; otherwise something was away, and they are counted from zero.
    pub async fn put_off_job(
        &self,
        claimed: &ClaimedJob,
        wait: Duration,
        error: Option<&str>,
        counts: bool,
    ) -> Kept<()> {
        let mut params = self.guard(claimed);
        params.extend([
            Param::Text(ms(wait)),
            text(error),
            Param::Text(counts.to_string()),
        ]);
        self.connection
            .rows(&Statement {
                sql: PUT_OFF_JOB.to_owned(),
                params,
            })
            .await
            .map(drop)
    }

    /// A job waits for its time.
    pub async fn wait_until(&self, claimed: &ClaimedJob, time: SystemTime) -> Kept<()> {
        let (id, version) = (claimed.job.id.to_string(), claimed.version.to_string());
        let time = ms(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        self.ask(WAIT_UNTIL, [&self.who, &id, &version, &time])
            .await
            .map(drop)
    }

    /// Makes a notification of a job, with the deliveries of the notice's recipients, all in one. If it has more of them,
    /// the job stays and is let go, for the next step.
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
            position: claimed.position,
        };
        let mut params = self.guard(claimed);
        params.extend([
            Param::Text(json(&new)),
            Param::Text(json(deliveries)),
            text(notice.next.as_deref()),
        ]);
        let rows = self
            .connection
            .rows(&Statement {
                sql: EXPAND.to_owned(),
                params,
            })
            .await?;
        let row = rows.first().ok_or_else(|| unexpected("no counts"))?;
        let (jobs, notifications, deliveries): (i64, i64, i64) =
            (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        Ok(match (jobs, notifications) {
            (0, _) => Expanded::Changed,
            (_, 0) => Expanded::Known,
            _ => Expanded::New(deliveries.cast_unsigned()),
        })
    }

    /// Adds the deliveries of more recipients, up to the place `next`. If that is nothing, they were the last, and the job is
    /// done; else it is let go, for the next step.
    pub async fn step(
        &self,
        claimed: &ClaimedJob,
        expansion: &Expansion,
        next: Option<&str>,
        deliveries: &[NewDelivery],
    ) -> Kept<Expanded> {
        let mut params = self.guard(claimed);
        params.extend([
            Param::Text(expansion.notification.clone()),
            Param::Text(json(deliveries)),
            Param::Text(expansion.reached.clone()),
            text(next),
        ]);
        let rows = self
            .connection
            .rows(&Statement {
                sql: STEP.to_owned(),
                params,
            })
            .await?;
        let row = rows.first().ok_or_else(|| unexpected("no counts"))?;
        let (moved, deliveries): (i64, i64) = (get(row, 0)?, get(row, 1)?);
        Ok(if moved == 0 {
            Expanded::Changed
        } else {
            Expanded::New(deliveries.cast_unsigned())
        })
    }

    /// Who holds which version of a job.
    fn guard(&self, claimed: &ClaimedJob) -> Vec<Param> {
        [
            self.who.clone(),
            claimed.job.id.to_string(),
            claimed.version.to_string(),
        ]
        .map(Param::Text)
        .into()
    }

    /// Forgets up to `most` jobs that nobody has carried out for so long; how many.
    pub async fn drop_old_jobs(&self, age: Duration, most: usize) -> Kept<usize> {
        Ok(self
            .ask(DROP_OLD_JOBS, [&ms(age), &most.to_string()])
            .await?
            .len())
    }
}

fn text(text: Option<&str>) -> Param {
    text.map_or(Param::Null, |text| Param::Text(text.to_owned()))
}
