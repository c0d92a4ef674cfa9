//! Notifications of which nothing is left to be sent: settled, reported to the application, and forgotten in time.

use std::time::Duration;

use tokio_postgres::Row;

use super::{Kept, Ledger, get, json, ms};
use crate::push::job::Settled;

/// `$1` ids.
const SETTLE: &str = "update gom.notification n set settled_at = now() where settled_at is null \
     and expanding is null \
     and id in (select json_array_elements_text($1::json)) \
     and not exists (select from gom.delivery d where d.notification = n.id and d.state in ('WAITING', 'SENDING'))";
/// What two who finished at the same time have left to each other.
const SETTLE_LEFT: &str = "update gom.notification n set settled_at = now() where settled_at is null and reported_at is null \
     and expanding is null \
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

impl Ledger {
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
}
