//! Deliveries: claimed, leased, and how their attempts ended.

use std::time::Duration;

use serde::Serialize;

use super::{Kept, Ledger, get, json, ms};

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

/// A delivery that is intended.
#[derive(Debug, Clone)]
pub(in crate::push) struct Claimed {
    pub id: String,
    pub notification: String,
    pub recipient: String,
    pub endpoint: String,
    pub origin: String,
    pub attempts: u32,
    pub shortened: bool,
}

/// A notification as it is sent.
#[derive(Debug, Clone)]
pub(in crate::push) struct StoredNotice {
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
pub(in crate::push) struct Record {
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

impl Ledger {
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
}
