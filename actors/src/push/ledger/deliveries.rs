//! Deliveries: claimed, leased, and how their attempts ended.

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use serde::Serialize;

use super::{DeliveryState, Kept, Ledger, get, json, ms};

/// The push services with open deliveries, by rank: one step down the index for each, however many deliveries wait there.
///
/// Whatever reads `gom.delivery` here reads it by one certain index, and says so by its condition: `settled_at is null` is
/// the condition of `delivery_lane` alone, `(settled_at is null)::int` is a part of `delivery_order` alone, and `state || ''` of
/// no index. With `state in (…)` a planner whose statistics are
/// older than the backlog takes `delivery_open` for empty, and reads all of it.
const LANES: &str = "with recursive lane as ( \
     (select origin, rank from gom.delivery where settled_at is null order by origin, rank limit 1) union all \
     select next.origin, next.rank from lane cross join lateral (select d.origin, d.rank from gom.delivery d \
     where d.settled_at is null and (d.origin, d.rank) > (lane.origin, lane.rank) order by d.origin, d.rank limit 1) next)";

/// `$1` who, `$2` lease in ms, `$3` the services with less room than `$4` (urgent) and `$5` (others), `$6` how many in all,
/// `$7` how many that are not urgent, `$8` how many to services that have never taken a message, `$9` ids that are in flight:
/// while the database was away their leases may have ended, and their results wait.
///
/// What is locked is held against other servers until the end of the statement. A message with an ordering key goes only if no
/// other one of that key is in flight to the device, and none that is older and of another topic is open: all open ones are
/// locked with it, and one that is not available, or has changed since this statement began, leaves it to the next claim. What
/// is newer and open of its topic, or delivered of its key, takes its place. What has failed takes nobody's place.
///
/// Shares are of the services that get something: one whose retries are due later has none.
fn claim() -> String {
    /// Of one lane, in its order.
    fn due(rank: u8, most: &str) -> String {
        let sending = DeliveryState::Sending.text();
        format!(
            "cross join lateral (select d.id, d.origin, d.device, d.ordering_key, d.topic, d.position from gom.delivery d \
             where d.settled_at is null and d.origin = open.origin and d.rank = {rank} and d.due_at <= now() \
             and d.id not in (select json_array_elements_text($9::json)) \
             and (d.ordering_key is null or not exists (select from gom.delivery s where s.device = d.device \
             and s.ordering_key = d.ordering_key and (s.settled_at is null)::int = 1 and s.position < d.position \
             and (s.topic <> d.topic or (s.state || '' = '{sending}' and s.due_at > now())))) \
             order by d.due_at limit {most} for update skip locked) due"
        )
    }
    let sending = DeliveryState::Sending.text();
    let superseded = DeliveryState::Superseded.text();
    let urgent = due(0, "open.most");
    let others = due(
        1,
        "greatest(0, least(open.most, open.share, \
         open.room - (select count(*) from urgent u where u.origin = open.origin)))",
    );
    format!(
        "{LANES}, \
         room as (select lane.origin, lane.rank, coalesce(r.proven, false) as proven, \
         case lane.rank when 0 then coalesce(r.urgent, $4::int) else coalesce(r.others, $5::int) end as room \
         from lane left join json_to_recordset($3::json) as r(origin text, urgent int, others int, proven boolean) \
         on r.origin = lane.origin cross join lateral (select from gom.delivery d where d.settled_at is null \
         and d.origin = lane.origin and d.rank = lane.rank and d.due_at <= now() order by d.due_at limit 1) due), \
         turn as (select origin, rank, room, proven, row_number() over (partition by rank, proven order by random()) as turn, \
         count(*) over (partition by rank, proven) as alike from room where room > 0), \
         open as materialized (select origin, rank, room, turn, \
         ceil($7::numeric / count(*) over (partition by rank))::int as share, \
         case when proven then room else least(room, greatest(1, $8::int / alike)) end as most \
         from turn where proven or turn <= $8::int), \
         urgent as materialized (select due.* from (select * from open where rank = 0 order by turn) open {urgent} \
         limit $6::int), \
         others as materialized (select due.* from (select * from open where rank = 1 order by turn) open {others} \
         limit greatest(0, least($7::int, $6::int - (select count(*) from urgent)))), \
         taken as materialized (select * from urgent union all select * from others), \
         pair as materialized (select device, ordering_key, topic, max(position) as position from taken \
         where ordering_key is not null group by device, ordering_key, topic), \
         held as materialized (select s.* from (select distinct device, ordering_key from pair) pair cross join lateral \
         (select s.id, s.device, s.ordering_key, s.topic, s.position from gom.delivery s \
         where s.device = pair.device and s.ordering_key = pair.ordering_key and (s.settled_at is null)::int = 1 \
         and not (s.state || '' = '{sending}' and s.due_at > now()) \
         and s.id not in (select json_array_elements_text($9::json)) for update skip locked) s), \
         latest as materialized (select pair.device, pair.ordering_key, pair.topic, newest.notification, newest.position, \
         (select count(*) from gom.delivery s where s.device = pair.device and s.ordering_key = pair.ordering_key \
         and (s.settled_at is null)::int = 1) \
         = (select count(*) from held where held.device = pair.device and held.ordering_key = pair.ordering_key) as free \
         from pair cross join lateral (select s.notification, s.position from gom.delivery s \
         where s.device = pair.device and s.ordering_key = pair.ordering_key \
         and (s.settled_at is null)::int in (0, 1) and s.position >= pair.position \
         and (s.state || '' = 'DELIVERED' or (s.topic = pair.topic and s.state || '' in ('WAITING', '{sending}'))) \
         order by s.position desc limit 1) newest), \
         superseded as (update gom.delivery d set state = '{superseded}', settled_at = now(), leased_by = null, \
         superseded_by = (select notification from latest where latest.device = d.device \
         and latest.ordering_key = d.ordering_key and latest.topic = d.topic), \
         reason = 'a newer notification of the same topic took its place' \
         where d.id = any(array(select held.id from held join latest on latest.device = held.device \
         and latest.ordering_key = held.ordering_key and latest.topic = held.topic \
         where held.position < latest.position)) returning d.notification), \
         sent as (update gom.delivery d set state = '{sending}', attempts = attempts + 1, \
         lost = lost + (state = '{sending}')::int, leased_by = $1, sent_at = now(), \
         due_at = now() + $2::bigint * interval '1 millisecond' \
         where d.id = any(array(select taken.id from taken left join latest on latest.device = taken.device \
         and latest.ordering_key = taken.ordering_key and latest.topic = taken.topic \
         where taken.ordering_key is null or (latest.free and latest.position = taken.position))) \
         returning d.id, d.notification, d.recipient, d.endpoint, d.origin, d.attempts, d.lost, d.shortened) \
         select id, notification, recipient, endpoint, origin, attempts, lost, shortened from sent \
         union all select null, notification, null, null, null, null, null, null from superseded"
    )
}

pub(super) static CLAIM: LazyLock<String> = LazyLock::new(claim);

/// `$1` who, `$2` lease in ms, `$3` ids. Only what is being sent has somebody's name. What is locked is being recorded, or
/// claimed by another server: waiting for it here, with other rows locked, could be waiting for each other.
const RENEW: &str = "with mine as materialized (select id from gom.delivery \
     where leased_by = $1 and id = any(array(select json_array_elements_text($3::json))) for update skip locked) \
     update gom.delivery set due_at = now() + $2::bigint * interval '1 millisecond' \
     where id = any(array(select id from mine)) returning id";
/// `$1` ids.
const TEXTS: &str = "select id, kind, node, operation, title, body, urgency, topic, \
     (extract(epoch from expires_at - now()) * 1000)::bigint \
     from gom.notification where id = any(array(select json_array_elements_text($1::json)))";
/// `$1` who, `$2` results. A server that has lost the lease may record only that the message arrived. Rows are locked in the
/// order of their ids: two servers may record the same deliveries, of which one lost the leases.
const RECORD: &str = "with r as materialized (select * from json_to_recordset($2::json) as r(id text, state text, status int, \
     reason text, shortened boolean, unsent int, wait_ms bigint)), \
     locked as materialized (select id from gom.delivery where id = any(array(select id from r)) \
     and state || '' in ('WAITING', 'SENDING') order by id for update) \
     update gom.delivery d set state = r.state, status = r.status, reason = r.reason, \
     shortened = d.shortened or r.shortened, attempts = d.attempts - r.unsent, leased_by = null, \
     due_at = now() + r.wait_ms * interval '1 millisecond', \
     settled_at = case when r.state <> 'WAITING' then now() end \
     from r where d.id = r.id and d.id = any(array(select id from locked)) and d.state || '' in ('WAITING', 'SENDING') \
     and (d.leased_by = $1 or r.state = 'DELIVERED')";

/// A delivery that is intended.
#[derive(Debug, Clone)]
pub(in crate::push) struct Claimed {
    pub id: String,
    pub notification: String,
    pub recipient: String,
    pub endpoint: String,
    pub origin: String,
    pub attempts: u32,
    /// Attempts of which no result is known: their server died.
    pub lost: u32,
    pub shortened: bool,
}

/// What may be claimed.
#[derive(Debug)]
pub(in crate::push) struct Wanted {
    /// In all, and of what is not urgent.
    pub most: usize,
    pub others: usize,
    /// To services that have never taken a message: so much for all of them.
    pub unproven: usize,
    /// To a service of which nothing is known: in all, and of what is not urgent.
    pub each: (usize, usize),
    /// The services of which something is known.
    pub rooms: Vec<Room>,
    /// Ids in flight.
    pub in_flight: Vec<String>,
}

/// How many messages may be taken for one push service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::push) struct Room {
    pub origin: String,
    pub urgent: usize,
    /// Of what is not urgent.
    pub others: usize,
    /// It has taken a message before.
    pub proven: bool,
}

/// What a claim has brought.
#[derive(Debug, Default)]
pub(in crate::push) struct Claim {
    pub taken: Vec<Claimed>,
    /// Notifications with deliveries that newer ones have taken the place of.
    pub superseded: Vec<String>,
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
    pub state: DeliveryState,
    pub status: Option<u16>,
    pub reason: Option<String>,
    /// From now on a shorter text is sent.
    pub shortened: bool,
    /// 1 if it was not sent, so that the attempt does not count.
    pub unsent: u8,
    /// Until the next attempt.
    pub wait_ms: u64,
}

impl Ledger {
    /// Takes deliveries that are due: urgent ones first, of each push service those that are due the longest, and of each
    /// topic the newest. From here on they may have been sent.
    pub async fn claim(&self, wanted: &Wanted) -> Kept<Claim> {
        let params = [
            &self.who,
            &ms(self.lease),
            &json(&wanted.rooms),
            &wanted.each.0.to_string(),
            &wanted.each.1.to_string(),
            &wanted.most.to_string(),
            &wanted.others.to_string(),
            &wanted.unproven.to_string(),
            &json(&wanted.in_flight),
        ];
        let mut claim = Claim::default();
        for row in &self.ask(&CLAIM, params).await? {
            let notification = get(row, 1)?;
            let Some(id) = get(row, 0)? else {
                claim.superseded.push(notification);
                continue;
            };
            claim.taken.push(Claimed {
                id,
                notification,
                recipient: get(row, 2)?,
                endpoint: get(row, 3)?,
                origin: get(row, 4)?,
                attempts: get::<i32>(row, 5)?.unsigned_abs(),
                lost: get::<i32>(row, 6)?.unsigned_abs(),
                shortened: get(row, 7)?,
            });
        }
        Ok(claim)
    }

    /// Renews leases; gives those that it has renewed. The others are lost, or are being recorded.
    pub async fn renew(&self, ids: &[String]) -> Kept<HashSet<String>> {
        let renewed = self
            .ask(RENEW, [&self.who, &ms(self.lease), &json(ids)])
            .await?;
        renewed.iter().map(|row| get(row, 0)).collect()
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
                    left: u64::try_from(left)
                        .ok()
                        .filter(|left| *left > 0)
                        .map(Duration::from_millis),
                })
            })
            .collect()
    }

    pub async fn record(&self, records: &[Record]) -> Kept<()> {
        self.ask(RECORD, [&self.who, &json(records)])
            .await
            .map(drop)
    }
}
