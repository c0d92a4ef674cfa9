//! Jobs: leased, put off, done with, and turned into notifications.

use std::time::Duration;

use gom_engine::plan::{Param, Statement};
use serde::Serialize;

use super::{Kept, Ledger, get, json, millis, ms, unexpected};
use crate::push::job::Job;
use crate::push::notice::Notice;

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
/// `$1` age in ms, `$2` how many. Jobs that wait for their time stay.
const DROP_OLD_JOBS: &str = "delete from gom.job where id in (select id from gom.job \
     where due_at < now() - $1::bigint * interval '1 millisecond' and dedup <> node order by due_at limit $2::int \
     for update skip locked) returning 1";

/// A job in hand.
#[derive(Debug, Clone)]
pub(in crate::push) struct ClaimedJob {
    pub job: Job,
    pub version: i32,
    pub attempts: i32,
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
}

impl Ledger {
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

    /// Forgets up to `most` jobs that nobody has carried out for so long; how many.
    pub async fn drop_old_jobs(&self, age: Duration, most: usize) -> Kept<usize> {
        Ok(self.ask(DROP_OLD_JOBS, [&ms(age), &most.to_string()]).await?.len())
    }
}
