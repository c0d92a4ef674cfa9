//! Tables as they were before or after the transaction of a change: the current rows, without those
//! that were written since according to the change log, and with the versions of these that the log
//! keeps.
//!
//! The statement that reads the tables reads the log as well, so that both belong to one snapshot:
//! the log holds every change that the tables show, stamped or not.

use super::Statement;
use super::physical::{LinkAt, Physical};
use super::text::{Sql, array_literal};
use crate::datamodel::{ModelId, RelationId, Side};

/// A moment in the log, relative to the transaction of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SnapshotTime {
    Before,
    After,
}

/// The moment as of which tables are read.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// The alias of the change, whose column `a` is the position of its transaction.
    pub change: String,
    pub when: SnapshotTime,
}

/// A table of which a statement reads earlier rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistoricTable {
    Rows(ModelId),
    Links(RelationId),
}

/// The tables of which a statement reads earlier rows.
#[derive(Debug, Default)]
pub(super) struct History {
    tables: Vec<HistoricTable>,
    /// Of this model only the changed nodes are read, unless it is among `tables`.
    changed: Option<ModelId>,
}

/// The position of what is committed and has none yet: after all others.
const UNSTAMPED: &str = "9223372036854775807";

impl Sql {
    /// From here on, partners are read as of that moment.
    pub(super) fn enter_snapshot(&mut self, change: &str, when: SnapshotTime) {
        self.snapshot = Some(Snapshot {
            change: change.to_owned(),
            when,
        });
    }

    pub(super) fn leave_snapshot(&mut self) {
        self.snapshot = None;
    }

    pub(super) fn reads_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Writes a model's table, or a sub-select of its rows as of the snapshot's moment.
    pub(super) fn rows_of(&mut self, physical: &Physical, model: ModelId) -> &mut Self {
        let Some(snapshot) = self.snapshot.clone() else {
            return self.push(physical.table(model));
        };
        self.read_history_of(HistoricTable::Rows(model));
        self.snapshot_rows(physical, model, &snapshot)
    }

    /// The row of the changed node itself, at that moment: `(select …)`, at most one row.
    pub(super) fn changed_row(
        &mut self,
        physical: &Physical,
        model: ModelId,
        snapshot: &Snapshot,
    ) -> &mut Self {
        self.history.changed = Some(model);
        self.snapshot_rows(physical, model, snapshot)
    }

    /// Writes a relation table, or a sub-select of its rows as of the snapshot's moment.
    pub(super) fn links_of(&mut self, physical: &Physical, relation: RelationId) -> &mut Self {
        let LinkAt::Table {
            table,
            own,
            partner,
            ..
        } = physical.link_at(relation, Side::A)
        else {
            return self.push("(select)");
        };
        let Some(snapshot) = self.snapshot.clone() else {
            return self.push(table);
        };
        let of = HistoricTable::Links(relation);
        self.read_history_of(of);
        self.snapshot_source(table, of, &[(own, "node"), (partner, "partner")], &snapshot)
    }

    fn snapshot_rows(
        &mut self,
        physical: &Physical,
        model: ModelId,
        snapshot: &Snapshot,
    ) -> &mut Self {
        let (table, id) = (physical.table(model), physical.id(model));
        self.snapshot_source(table, HistoricTable::Rows(model), &[(id, "node")], snapshot)
    }

    /// `keys`: columns of the table, and where the log has their values.
    fn snapshot_source(
        &mut self,
        table: &str,
        of: HistoricTable,
        keys: &[(&str, &str)],
        Snapshot { change, when }: &Snapshot,
    ) -> &mut Self {
        let (row, later, was) = (self.alias(), self.alias(), self.alias());
        // A row's first change after that moment holds the row as it was then.
        let [later_than, since] = match when {
            SnapshotTime::Before => [" >= ", " < "],
            SnapshotTime::After => [" > ", " <= "],
        };
        self.push("(select ")
            .push(&row)
            .push(".* from ")
            .push(table)
            .push(" ")
            .push(&row);
        self.push(" where not exists (select 1 from ")
            .history_name(of)
            .push(" ")
            .push(&later);
        self.push(" where ");
        for (column, logged) in keys {
            self.column(&later, logged)
                .push(" = ")
                .column(&row, column)
                .push("::text and ");
        }
        self.column(&later, "position")
            .push(later_than)
            .column(change, "\"a\"")
            .push(")");
        self.push(" union all select (")
            .column(&was, "was")
            .push(").* from ")
            .history_name(of);
        self.push(" ")
            .push(&was)
            .push(" where ")
            .column(&was, "since")
            .push(since);
        self.column(change, "\"a\"")
            .push(" and ")
            .column(&was, "position")
            .push(later_than);
        self.column(change, "\"a\"")
            .push(" and ")
            .column(&was, "existed")
            .push(")")
    }

    fn read_history_of(&mut self, of: HistoricTable) {
        if !self.history.tables.contains(&of) {
            self.history.tables.push(of);
        }
    }

    /// The name of the `with` query that holds a table's part of the log.
    fn history_name(&mut self, of: HistoricTable) -> &mut Self {
        let name = match of {
            HistoricTable::Rows(model) => format!("rows~{}", model.0),
            HistoricTable::Links(relation) => format!("links~{}", relation.0),
        };
        self.name(&name)
    }

    /// Ends the statement. One that reads snapshots begins with the rows of the log that it needs:
    /// those since a position, and of the changed model those of the nodes with these ids.
    pub(super) fn finish_with_history<'a>(
        mut self,
        physical: &Physical,
        since: u64,
        changed: impl IntoIterator<Item = &'a str>,
    ) -> Statement {
        let History {
            tables,
            changed: model,
        } = std::mem::take(&mut self.history);
        let alone = model.filter(|model| !tables.contains(&HistoricTable::Rows(*model)));
        if tables.is_empty() && alone.is_none() {
            return self.finish();
        }
        let body = self.take_text();
        let since = self.add_param(since.to_string());
        let ids = alone.map(|_| self.add_param(array_literal(changed)));
        self.push(
            "with \"log~\" as materialized (select table_name, node, partner, old, position, ",
        );
        self.push(
            "kind not in ('C', 'L') as existed, coalesce(lag(position) over (partition by table_name, ",
        );
        self.push("node, partner order by sequence), -1) as since from (");
        let wanted = |sql: &mut Sql| {
            sql.push("c.schema_name = ").literal(physical.schema_name());
            sql.push(" and c.kind in ('C', 'U', 'D', 'L', 'R') and (c.table_name in (''");
            for of in &tables {
                sql.push(", ").literal(logged_name(physical, *of));
            }
            sql.push(")");
            if let (Some(model), Some(ids)) = (alone, ids) {
                sql.push(" or (c.table_name = ")
                    .literal(&physical.model.model(model).table);
                sql.push(" and c.node = any(")
                    .placeholder(ids)
                    .push("::text[]))");
            }
            sql.push(")");
        };
        let columns = "select c.sequence, c.table_name, c.kind, c.node, c.partner, c.old, ";
        // One walk along each table, and a hash join: a look at the log for each stamp costs twenty
        // times as much.
        self.push(columns)
            .push("s.position from gom.change c join gom.stamp s on s.transaction = c.transaction");
        self.push(
            " and c.sequence between s.first_sequence and s.last_sequence where s.position >= ",
        );
        self.placeholder(since)
            .push("::bigint and c.sequence >= (select min(m.first_sequence) from gom.stamp m");
        self.push(" where m.position >= ")
            .placeholder(since)
            .push("::bigint) and ");
        wanted(&mut self);
        for (ranges, among) in [
            ("", "c.sequence > f.seen"),
            (
                " cross join unnest(f.gap_from, f.gap_to) g(low, high)",
                "c.sequence between g.low and g.high",
            ),
        ] {
            // OFFSET keeps it one look into the index for each range.
            self.push(" union all select c.*, ")
                .push(UNSTAMPED)
                .push(" from gom.feed f")
                .push(ranges);
            self.push(" cross join lateral (")
                .push(columns.trim_end_matches(", "))
                .push(" from gom.change c where ");
            self.push(among).push(" and ");
            wanted(&mut self);
            self.push(" offset 0) c");
        }
        self.push(") l)");
        for of in tables.iter().copied().chain(alone.map(HistoricTable::Rows)) {
            self.push(", ")
                .history_name(of)
                .push(" as materialized (select node, partner, position, since, existed, ");
            match of {
                HistoricTable::Rows(model) => {
                    self.push("jsonb_populate_record(null::")
                        .push(physical.table(model))
                        .push(", old) as was");
                }
                HistoricTable::Links(relation) => {
                    let LinkAt::Table {
                        table,
                        own,
                        partner,
                        ..
                    } = physical.link_at(relation, Side::A)
                    else {
                        continue;
                    };
                    let (own, partner) = (unquoted(own), unquoted(partner));
                    self.push("jsonb_populate_record(null::")
                        .push(table)
                        .push(", jsonb_build_object(");
                    self.literal(&own)
                        .push(", node, ")
                        .literal(&partner)
                        .push(", partner)) as was");
                }
            }
            self.push(" from \"log~\" where table_name = ")
                .literal(logged_name(physical, of))
                .push(")");
        }
        self.push(" ").push(&body);
        self.finish()
    }
}

fn logged_name(physical: &Physical, of: HistoricTable) -> &str {
    match of {
        HistoricTable::Rows(model) => &physical.model.model(model).table,
        HistoricTable::Links(relation) => physical.link_table(relation),
    }
}

/// A quoted column as the log's JSON names it.
fn unquoted(column: &str) -> String {
    column.trim_matches('"').replace("\"\"", "\"")
}
