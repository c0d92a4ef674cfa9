//! How much there is to do.

use std::time::Duration;

use super::{Kept, Ledger, get, unexpected};

/// What is to be done: (due, put off, leased) jobs and deliveries, and the age of the oldest delivery in ms. Deliveries are
/// counted up to 100,000 (docs/METRICS.md says so): the number must be there when there are very many.
const BACKLOG: &str = "select j.*, d.* from \
     (select count(*) filter (where due_at <= now() and (lease_until is null or lease_until <= now())), \
     count(*) filter (where due_at > now() and (lease_until is null or lease_until <= now())), \
     count(*) filter (where lease_until > now()) from gom.job where schema_name = $1) j, \
     (select count(*) filter (where due_at <= now()), count(*) filter (where due_at > now() and state = 'WAITING'), \
     count(*) filter (where due_at > now() and state = 'SENDING'), \
     (select (extract(epoch from now() - created_at) * 1000)::bigint from gom.notification \
     where reported_at is null and settled_at is null order by created_at limit 1) \
     from (select due_at, state from gom.delivery where settled_at is null limit 100000) open) d";

/// Numbers of due, put off and leased ones.
pub(in crate::push) type Queued = [u64; 3];

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) struct Backlog {
    pub jobs: Queued,
    pub deliveries: Queued,
    /// Since the oldest of these deliveries was made.
    pub oldest: Duration,
}

impl Ledger {
    /// What all servers have to do.
    pub async fn backlog(&self) -> Kept<Backlog> {
        let rows = self.ask(BACKLOG, [&self.schema]).await?;
        let row = rows.first().ok_or_else(|| unexpected("no row"))?;
        let number =
            |column| get::<Option<i64>>(row, column).map(|n| n.unwrap_or(0).max(0).cast_unsigned());
        Ok(Backlog {
            jobs: [number(0)?, number(1)?, number(2)?],
            deliveries: [number(3)?, number(4)?, number(5)?],
            oldest: Duration::from_millis(number(6)?),
        })
    }
}
