//! What happened to the orders, as triggers of the test's own have noted it, and what a subscriber should have seen of it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use tokio_postgres::Client;

use crate::subscribers::{Event, Received};

/// Each write of an order's row, and each write of an item that ties it to an order or cuts it: its own table and
/// function, which share nothing with what is tested.
const INSTALL: &str = r#"
create schema audit;
create table audit.note (id bigserial primary key, transaction bigint not null default txid_current(), uid text not null,
  at timestamptz not null default clock_timestamp(), seller text, kind text not null, before text, after text);
create function audit.orders() returns trigger language plpgsql as $$
begin
  insert into audit.note (uid, seller, kind, before, after) values (
    coalesce(new.uid, old.uid),
    (select u."extUid" from "default$default"."User" u where u.uid = coalesce(new."assignedTo", old."assignedTo")),
    tg_op, old.name, new.name);
  return null;
end $$;
create function audit.items() returns trigger language plpgsql as $$
begin
  if tg_op <> 'INSERT' and old."order" is not null and (tg_op = 'DELETE' or old."order" is distinct from new."order") then
    insert into audit.note (uid, kind) values (old."order", 'LINK');
  end if;
  if tg_op <> 'DELETE' and new."order" is not null and (tg_op = 'INSERT' or old."order" is distinct from new."order") then
    insert into audit.note (uid, kind) values (new."order", 'LINK');
  end if;
  return null;
end $$;
-- What was trimmed has no position any more, so they are noted as they are given.
create table audit.stamp (transaction bigint primary key, position bigint not null, at timestamptz not null);
create function audit.stamps() returns trigger language plpgsql as $$
begin
  insert into audit.stamp values (new.transaction, new.position, clock_timestamp()) on conflict do nothing;
  return null;
end $$;
create trigger audit after insert on gom.stamp for each row execute function audit.stamps();
create trigger audit after insert or update or delete on "default$default"."Order" for each row execute function audit.orders();
create trigger audit after insert or update or delete on "default$default"."Item" for each row execute function audit.items();
"#;

pub async fn install(database: &Client) {
    database.batch_execute(INSTALL).await.unwrap();
}

/// What one transaction did to one order.
#[derive(Debug, Clone, PartialEq)]
struct OrderWrite {
    /// Its transaction's position, and when that was given.
    position: u64,
    stamped: SystemTime,
    /// When it was written; the transaction ended later.
    written: SystemTime,
    mutation: &'static str,
    /// Before and after, if the row itself was written.
    names: Option<(Option<String>, Option<String>)>,
}

pub struct History {
    /// By order, in the order of the row's writes.
    steps: HashMap<String, Vec<OrderWrite>>,
    seller: HashMap<String, String>,
}

struct Note {
    transaction: i64,
    position: u64,
    stamped: SystemTime,
    written: SystemTime,
    uid: String,
    kind: String,
    before: Option<String>,
    after: Option<String>,
}

impl History {
    pub async fn read(database: &Client) -> History {
        let query = "select n.transaction, n.uid, n.seller, n.kind, n.before, n.after, s.position, s.at, n.at
            from audit.note n left join audit.stamp s using (transaction) order by n.id";
        let mut notes: Vec<Note> = Vec::new();
        let mut seller = HashMap::new();
        for row in database.query(query, &[]).await.unwrap() {
            let uid: String = row.get(1);
            if let Some(of) = row.get::<_, Option<String>>(2) {
                seller.insert(uid.clone(), of);
            }
            notes.push(Note {
                transaction: row.get(0),
                position: row
                    .get::<_, Option<i64>>(6)
                    .expect("each transaction has a position")
                    .cast_unsigned(),
                stamped: row.get(7),
                written: row.get(8),
                uid,
                kind: row.get(3),
                before: row.get(4),
                after: row.get(5),
            });
        }
        // A transaction is as late as its last write of the order.
        let mut last: HashMap<(i64, &str), usize> = HashMap::new();
        for (i, note) in notes.iter().enumerate() {
            last.insert((note.transaction, &note.uid), i);
        }
        let mut ends: Vec<usize> = last.values().copied().collect();
        ends.sort_unstable();
        let mut steps: HashMap<String, Vec<OrderWrite>> = HashMap::new();
        for end in ends {
            let Note {
                transaction, uid, ..
            } = &notes[end];
            let own: Vec<&Note> = notes[..=end]
                .iter()
                .filter(|note| note.transaction == *transaction && note.uid == *uid)
                .collect();
            if let Some(step) = merged(&own) {
                steps.entry(uid.clone()).or_default().push(step);
            }
        }
        History { steps, seller }
    }

    /// Compares what a subscriber to a seller's orders has received with what it should have: every event, or the notice of a
    /// gap.
    pub fn check(&self, received: &Received) -> Checked {
        let Received {
            seller,
            events,
            gaps,
            ..
        } = received;
        let mut cursors = HashSet::new();
        for (before, event) in events.iter().zip(events.iter().skip(1)) {
            assert!(
                before.cursor < event.cursor,
                "in order, and none twice: {before:?} {event:?}"
            );
        }
        let mut of_order: HashMap<&str, Vec<&Event>> = HashMap::new();
        for event in events {
            assert!(cursors.insert(event.cursor));
            assert_eq!(
                self.seller.get(&event.uid).map(String::as_str),
                Some(*seller),
                "{event:?}"
            );
            of_order.entry(&event.uid).or_default().push(event);
        }
        let last = events.last().map_or(0, |event| event.cursor.position);
        // It stopped listening after the last event; gaps were reported to it.
        let may_be_missing = |step: &OrderWrite| {
            let in_gap = |gap: &crate::subscribers::Gap| {
                gap.after.position <= step.position
                    && gap.upto.is_none_or(|upto| step.position <= upto.position)
            };
            step.position > last || gaps.iter().any(in_gap)
        };
        // An event is read before the next one comes: what was deleted later was there when it was read.
        let may_be_gone = |step: &OrderWrite, deleted: Option<&OrderWrite>| {
            let next = events.partition_point(|event| event.cursor.position <= step.position);
            let read_by = events
                .get(next)
                .map_or(SystemTime::now(), |event| event.received);
            step.mutation != "DELETED" && deleted.is_some_and(|deleted| deleted.written < read_by)
        };
        let around = |step: &OrderWrite| {
            let next = events.partition_point(|event| event.cursor.position < step.position);
            let near = &events[next.saturating_sub(3)..(next + 3).min(events.len())];
            let near: Vec<_> = near
                .iter()
                .map(|event| (event.cursor, event.received, &event.mutation, &event.uid))
                .collect();
            format!("all of its events near that: {near:#?}, gaps {gaps:?}")
        };
        let excuses = Excuses {
            may_be_missing: &may_be_missing,
            may_be_gone: &may_be_gone,
            around: &around,
        };
        let mut expected = 0;
        let mut checked = Checked::default();
        for (uid, steps) in &self.steps {
            if self.seller.get(uid).is_none_or(|of| of != seller) {
                continue;
            }
            expected += 1;
            let events = of_order.remove(uid.as_str()).unwrap_or_default();
            compare(uid, steps, &events, &excuses, &mut checked);
        }
        assert!(of_order.is_empty() && expected > 0, "{of_order:?}");
        checked
    }
}

/// What was found of a subscriber's events.
#[derive(Debug, Default)]
pub struct Checked {
    /// The longest time from a position to its event.
    pub lag: Duration,
    /// Events of orders that were gone when they were read.
    pub gone: usize,
}

/// One event for one transaction's writes of an order.
fn merged(notes: &[&Note]) -> Option<OrderWrite> {
    let Note {
        position,
        stamped,
        written,
        ..
    } = **notes.last()?;
    let step = |mutation, names| OrderWrite {
        position,
        stamped,
        written,
        mutation,
        names,
    };
    let rows: Vec<&&Note> = notes.iter().filter(|note| note.kind != "LINK").collect();
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Some(step("UPDATED", None));
    };
    let names = Some((first.before.clone(), last.after.clone()));
    match (first.kind.as_str(), last.kind.as_str()) {
        ("INSERT", "DELETE") => None,
        ("INSERT", _) => Some(step("CREATED", names)),
        (_, "DELETE") => Some(step("DELETED", names)),
        _ => Some(step("UPDATED", names)),
    }
}

/// Why an event may be missing.
struct Excuses<'a> {
    may_be_missing: &'a dyn Fn(&OrderWrite) -> bool,
    /// The order was deleted, by that step, before the event was read: it is left out, and `DELETED` follows.
    may_be_gone: &'a dyn Fn(&OrderWrite, Option<&OrderWrite>) -> bool,
    /// What the subscriber received before and after it, of whatever order.
    around: &'a dyn Fn(&OrderWrite) -> String,
}

/// Every step must have come, those of the row itself in order; but for what was read when the order was gone.
fn compare(
    uid: &str,
    steps: &[OrderWrite],
    events: &[&Event],
    excuses: &Excuses<'_>,
    checked: &mut Checked,
) {
    let deleted = steps.last().filter(|step| step.mutation == "DELETED");
    let shown = || format!("order {uid}\nsteps {steps:#?}\nevents {events:#?}");
    let is_excused =
        |step: &OrderWrite| (excuses.may_be_missing)(step) || (excuses.may_be_gone)(step, deleted);
    // Items are tied and cut without a look at the order's row, so nothing says which comes first.
    let (links, rows): (Vec<&OrderWrite>, Vec<&OrderWrite>) =
        steps.iter().partition(|step| step.names.is_none());
    let (linked, written): (Vec<&Event>, Vec<&Event>) = events
        .iter()
        .partition(|event| event.mutation == "UPDATED" && event.updated == ["items"]);
    for step in &links {
        let came = linked
            .iter()
            .any(|event| event.cursor.position == step.position);
        assert!(
            came || is_excused(step),
            "{step:?} did not come: {}, {}",
            (excuses.around)(step),
            shown()
        );
    }
    let of_links = |event: &&&Event| {
        steps
            .iter()
            .any(|step| step.position == event.cursor.position)
    };
    let possible = linked.len() <= links.len() && linked.iter().all(|event| of_links(&event));
    assert!(possible, "more came than happened: {}", shown());

    let fits = |step: &OrderWrite, event: &Event| {
        let before = step
            .names
            .as_ref()
            .is_none_or(|(before, _)| event.mutation == "CREATED" || event.names.0 == *before);
        step.position == event.cursor.position && step.mutation == event.mutation && before
    };
    // An update of an order that writes only items leaves no change in the order's table.
    let logged_in_tables =
        |event: &&&Event| event.mutation != "UPDATED" || !event.updated.is_empty();
    let mut left = written.iter().filter(logged_in_tables).peekable();
    for (number, step) in rows.iter().enumerate() {
        if let Some(event) = left.next_if(|event| fits(step, event)) {
            checked.lag = checked.lag.max(
                event
                    .received
                    .duration_since(step.stamped)
                    .unwrap_or_default(),
            );
            // As the change left it, or as a later one did.
            let mut later = rows[number..]
                .iter()
                .filter_map(|step| Some(&step.names.as_ref()?.1));
            assert!(
                later.any(|name| *name == event.names.1),
                "{event:?} is older than its change: {}",
                shown()
            );
        } else {
            assert!(
                is_excused(step),
                "{step:?} did not come: {}, {}",
                (excuses.around)(step),
                shown()
            );
            checked.gone += usize::from(!(excuses.may_be_missing)(step));
        }
    }
    assert!(
        left.next().is_none(),
        "more came than happened: {}",
        shown()
    );
    for event in events.iter().filter(|event| event.mutation == "DELETED") {
        assert!(
            event.names.1.is_none() && event.updated.is_empty(),
            "{event:?}"
        );
    }
}
