//! Records the outcome that each answer reported, and compares it with the rows in the database.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::client::Reply;

/// The outcome of a write that an answer reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reported {
    Written,
    Nothing,
    Unknown,
}

/// The values that a repeatedly updated row may hold.
#[derive(Debug, Default)]
pub struct Changes {
    /// The last value that an answer reported as written.
    pub confirmed: String,
    /// Values whose outcome is unknown. A write in flight to a frozen server may be executed late.
    pub possible: BTreeSet<String>,
}

impl Changes {
    pub fn allow(&self, value: &str) -> bool {
        value == self.confirmed || self.possible.contains(value)
    }
}

#[derive(Default)]
pub struct Ledger {
    next: Cell<u32>,
    /// By the name of the row that the client wrote.
    reported: RefCell<BTreeMap<String, Reported>>,
    pub changes: RefCell<BTreeMap<String, Changes>>,
    pub reads: Cell<u32>,
    pub refused_reads: Cell<u32>,
    pub refused_writes: Cell<u32>,
    last_read: Cell<Option<Instant>>,
    last_write: Cell<Option<Instant>>,
    last_refusal: Cell<Option<Instant>>,
    /// Requests that started before this moment do not show that service has resumed.
    marked: Cell<Option<Instant>>,
    first_read: Cell<Option<Instant>>,
    first_write: Cell<Option<Instant>>,
}

impl Ledger {
    /// A number that no other write has.
    pub fn next(&self) -> u32 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    pub fn record(&self, name: &str, reported: Reported) {
        assert_eq!(
            self.reported.borrow_mut().insert(name.to_owned(), reported),
            None,
            "{name} was written twice by the client"
        );
    }

    pub fn read(&self, reply: &Reply) {
        if !reply.problems.is_empty() {
            self.refused_reads.set(self.refused_reads.get() + 1);
            return self.last_refusal.set(Some(reply.answered));
        }
        self.reads.set(self.reads.get() + 1);
        self.last_read.set(Some(reply.started));
        self.first_after(&self.first_read, reply);
    }

    pub fn wrote(&self, reply: &Reply) {
        if !reply.problems.is_empty() {
            self.refused_writes.set(self.refused_writes.get() + 1);
            return self.last_refusal.set(Some(reply.answered));
        }
        self.last_write.set(Some(reply.started));
        self.first_after(&self.first_write, reply);
    }

    fn first_after(&self, first: &Cell<Option<Instant>>, reply: &Reply) {
        if first.get().is_none()
            && self
                .marked
                .get()
                .is_some_and(|marked| reply.started >= marked)
        {
            first.set(Some(reply.answered));
        }
    }

    pub fn refused(&self) -> u32 {
        self.refused_reads.get() + self.refused_writes.get()
    }

    /// From now on the first successes are recorded.
    pub fn mark(&self, moment: Instant) {
        self.marked.set(Some(moment));
        self.first_read.set(None);
        self.first_write.set(None);
    }

    /// Since when a read and a write that set out after the mark are answered, and nothing is refused any more.
    pub fn serves_since(&self) -> Option<Instant> {
        let served = self.first_read.get()?.max(self.first_write.get()?);
        let after = |moment: Instant| (Some(moment) > self.marked.get()).then_some(moment);
        Some(
            self.last_refusal
                .get()
                .and_then(after)
                .map_or(served, |refused| served.max(refused)),
        )
    }

    /// Compares the reported outcomes with the rows in the database.
    pub async fn compare(&self, database: &Client) {
        let rows = database
            .query(
                r#"select name1, count(*) from "default$default"."Bp" group by name1"#,
                &[],
            )
            .await
            .unwrap();
        let customers: BTreeMap<String, i64> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let whole = r#"
            select o.name, count(distinct o.uid), count(distinct i.uid), count(distinct p.uid)
            from "default$default"."Order" o
            left join "default$default"."Item" i on i."order" = o.uid
            left join "default$default"."Price" p on p."item" = i.uid
            group by o.name"#;
        let rows = database.query(whole, &[]).await.unwrap();
        let orders: BTreeMap<String, [i64; 3]> = rows
            .iter()
            .map(|row| (row.get(0), [row.get(1), row.get(2), row.get(3)]))
            .collect();

        let mut counts = [0; 3];
        for (name, reported) in &*self.reported.borrow() {
            let copies = customers.get(name).copied().unwrap_or_default();
            match reported {
                Reported::Written => assert_eq!(copies, 1, "{name} was reported as written"),
                Reported::Nothing => assert_eq!(copies, 0, "{name} was reported as not written"),
                Reported::Unknown => assert!(copies <= 1, "{name} exists {copies} times"),
            }
            counts[*reported as usize] += 1;
            if name.starts_with("order") {
                let expected = (copies == 1).then_some([1, 2, 2]);
                assert_eq!(orders.get(name).copied(), expected, "{name} is not whole");
            }
        }
        let rows = database
            .query(r#"select uid, business from "default$default"."User""#, &[])
            .await
            .unwrap();
        for row in rows {
            let (uid, business): (String, String) = (row.get(0), row.get(1));
            if let Some(changes) = self.changes.borrow().get(&uid) {
                assert!(
                    changes.allow(&business),
                    "{uid} holds {business}: {changes:?}"
                );
            }
        }
        let [written, nothing, unknown] = counts;
        println!(
            "  {} reads and {} refused; {written} rows written, {nothing} not, {unknown} of unknown outcome; {} writes refused",
            self.reads.get(),
            self.refused_reads.get(),
            self.refused_writes.get(),
        );
    }
}
