//! Notifications of which nothing is left to be sent: settled, reported to the application, and forgotten in time.

use std::time::Duration;

use tokio_postgres::Row;

use super::{Kept, Ledger, get, json, ms};
use crate::push::job::Settled;

/// `$1` ids. One look by the index for each: `not exists` may become a join that reads what is open over and over. What is
/// locked is being settled: two that waited for each other's rows, each with some of its own, would wait without end.
const SETTLE: &str = "update gom.notification set settled_at = now() where id = any(array( \
     select n.id from gom.notification n where settled_at is null and expanding is null \
     and id = any(array(select json_array_elements_text($1::json))) \
     and (select d.id from gom.delivery d where d.notification = n.id and d.state in ('WAITING', 'SENDING') limit 1) is null \
     for update skip locked))";
/// What two who finished at the same time have left to each other.
const SETTLE_LEFT: &str = "update gom.notification set settled_at = now() where id = any(array( \
     select n.id from gom.notification n where settled_at is null and reported_at is null and expanding is null \
     and (select d.id from gom.delivery d where d.notification = n.id and d.state in ('WAITING', 'SENDING') limit 1) is null \
     for update skip locked))";
/// `$1` for how long they are not given to anyone again, in ms.
const CLAIM_REPORTS: &str = "with due as materialized (select id from gom.notification where reported_at is null \
     and settled_at is not null and report_at <= now() order by report_at limit 100 for update skip locked) \
     update gom.notification n set report_at = now() + $1::bigint * interval '1 millisecond' \
     from due, lateral (select count(*) filter (where state = 'DELIVERED') as delivered, \
     count(*) filter (where state in ('FAILED', 'EXPIRED')) as failed, count(*) filter (where state = 'GONE') as gone \
     from gom.delivery d where d.notification = due.id) counts \
     where n.id = due.id returning n.id, n.subject, n.source, counts.delivered, counts.failed, counts.gone";
/// `$1` ids. Locked in their order: two servers may have reported the same ones, of which one took very long.
const REPORTED: &str = "update gom.notification set reported_at = now() where id = any(array( \
     select id from gom.notification where id = any(array(select json_array_elements_text($1::json))) order by id for update))";
/// `$1` how many. Of what has expired and nobody is about.
const EXPIRE: &str = "update gom.delivery set state = 'EXPIRED', settled_at = now(), leased_by = null, \
     reason = 'it could not be delivered in time' where id in (select d.id from gom.notification n \
     join gom.delivery d on d.notification = n.id and d.state in ('WAITING', 'SENDING') \
     where n.reported_at is null and n.expires_at <= now() and d.due_at <= now() limit $1::int \
     for update of d skip locked) returning 1";
/// `$1` age in ms, `$2` how many.
const TRIM_DELIVERIES: &str = "delete from gom.delivery where id in (select d.id from (select id from gom.notification \
     where created_at < now() - $1::bigint * interval '1 millisecond' and reported_at is not null \
     order by created_at limit 100) n join gom.delivery d on d.notification = n.id limit $2::int \
     for update of d skip locked) returning 1";
/// `$1` age in ms, `$2` how many. Those that have deliveries wait until they have none: one statement for all would be long.
const TRIM_NOTIFICATIONS: &str = "delete from gom.notification where id in (select id from gom.notification n \
     where created_at < now() - $1::bigint * interval '1 millisecond' and reported_at is not null \
     and not exists (select from gom.delivery d where d.notification = n.id) \
     order by created_at limit $2::int for update skip locked) returning 1";

impl Ledger {
    /// Notes which of these notifications have nothing left to be sent.
    pub async fn settle(&self, ids: &[String]) -> Kept<()> {
        self.ask(SETTLE, [&json(ids)]).await.map(drop)
    }

    pub async fn settle_left(&self) -> Kept<()> {
        self.ask(SETTLE_LEFT, []).await.map(drop)
    }

    /// Some settled notifications that were not reported to the application. Until the lease ends they are given to nobody else.
    pub async fn claim_reports(&self) -> Kept<Vec<Settled>> {
        let rows = self.ask(CLAIM_REPORTS, [&ms(self.lease)]).await?;
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

    /// Ends up to `most` deliveries of which nothing can come any more; how many.
    pub async fn expire(&self, most: usize) -> Kept<usize> {
        Ok(self.ask(EXPIRE, [&most.to_string()]).await?.len())
    }

    /// Forgets up to `most` deliveries of old notifications; how many.
    pub async fn trim_deliveries(&self, age: Duration, most: usize) -> Kept<usize> {
        Ok(self
            .ask(TRIM_DELIVERIES, [&ms(age), &most.to_string()])
            .await?
            .len())
    }

    /// Forgets up to `most` old notifications that have no deliveries any more; how many.
    pub async fn trim_notifications(&self, age: Duration, most: usize) -> Kept<usize> {
        Ok(self
            .ask(TRIM_NOTIFICATIONS, [&ms(age), &most.to_string()])
            .await?
            .len())
    }
}
