//! The changes of a parameter as rows of a statement, each with the row of its node.

use super::filter::Filter;
use super::history::{Snapshot, SnapshotTime};
use super::physical::Physical;
use super::text::Sql;
use crate::datamodel::ModelId;

/// Changes of nodes of one model, as JSON arrays of `{"o": ordinal, "a": position of the
/// transaction, "i": id, "k": kind, "p": the row before, "l": {field: [removed values]}, "b":
/// [answers to the conditions on the change]}`; none where there are none. Of updates also `"u":
/// [names of fields]` for a viewer without rules, and for others `"e"`: whether the event is due
/// without a name, and `"n": [names]` or, where the visibility of partners decides, `"x": [{"o":
/// place, "n": name, "f": field, "c": [partners that came], "w": [partners that went]}]`.
#[derive(Debug)]
pub struct ChangeBatch<'a> {
    /// Of nodes that are read from their tables.
    pub living: Option<String>,
    /// Of deleted nodes, with their rows as they were.
    pub deleted: Option<String>,
    /// The lowest position.
    pub since: u64,
    /// The nodes' ids.
    pub ids: Vec<&'a str>,
}

/// The columns of a change, and their SQL types.
const COLUMNS: [(&str, &str); 10] = [
    ("k", "text"),
    ("o", "int"),
    ("a", "bigint"),
    ("u", "json"),
    ("n", "text[]"),
    ("x", "json"),
    ("e", "boolean"),
    ("p", "json"),
    ("l", "json"),
    ("b", "boolean[]"),
];

/// Where the row of a changed node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowSource {
    /// In its table.
    Table,
    /// It is deleted; the change holds the row as it was.
    Change,
    /// It is deleted; the log holds the row as it was before the whole transaction, of which the
    /// change may be a part.
    Log,
}

impl RowSource {
    pub(super) fn of(living: bool, from_log: bool) -> Self {
        match (living, from_log) {
            (true, _) => RowSource::Table,
            (false, false) => RowSource::Change,
            (false, true) => RowSource::Log,
        }
    }
}

impl Sql {
    /// Joins with `union all` what `write` produces for the existing and for the deleted nodes,
    /// given the parameter that holds their changes.
    pub(super) fn each(&mut self, events: &ChangeBatch<'_>, write: impl Fn(&mut Sql, usize, bool)) {
        let mut some = false;
        for (changes, living) in [(&events.living, true), (&events.deleted, false)] {
            let Some(changes) = changes else { continue };
            if some {
                self.push(" union all ");
            }
            some = true;
            let number = self.add_param(changes.as_str());
            write(self, number, living);
        }
        if !some {
            self.push("select null::int, null::text, null::text where false");
        }
    }

    /// ` from` the changes in a parameter, with their nodes' rows.
    pub(super) fn push_changes(
        &mut self,
        physical: &Physical,
        model: ModelId,
        changes: usize,
        (change, row): (&str, &str),
        source: RowSource,
    ) -> &mut Self {
        self.push(" from json_to_recordset(")
            .placeholder(changes)
            .push("::json) as ")
            .push(change);
        self.push("(\"i\" ").push(physical.id_type(model));
        for (name, ty) in COLUMNS {
            self.push(", ").name(name).push(" ").push(ty);
        }
        self.push(") cross join lateral ");
        match source {
            RowSource::Table => {
                // `offset 0` keeps PostgreSQL from another order: its estimate of the number of
                // changes is too high, and it would read all rows of an owner to find the changed
                // one.
                let read = self.alias();
                self.push("(select * from ")
                    .push(physical.table(model))
                    .push(" ");
                self.push(&read)
                    .push(" where ")
                    .column(&read, physical.id(model))
                    .push(" = ");
                self.column(change, "\"i\"").push(" offset 0)")
            }
            RowSource::Change => {
                self.push("json_populate_record(null::")
                    .push(physical.table(model));
                self.push(", ").column(change, "\"p\"").push(")")
            }
            RowSource::Log => {
                self.row_if_visible(physical, model, change, SnapshotTime::Before, &Filter::TRUE)
            }
        };
        self.push(" ").push(row)
    }

    /// `(select …)`: the changed node's row at a moment, if it satisfied the filter then.
    pub(super) fn row_if_visible(
        &mut self,
        physical: &Physical,
        model: ModelId,
        change: &str,
        when: SnapshotTime,
        visible: &Filter,
    ) -> &mut Self {
        let row = self.alias();
        self.push("(select ").push(&row).push(".* from ");
        self.changed_row(
            physical,
            model,
            &Snapshot {
                change: change.to_owned(),
                when,
            },
        );
        self.push(" ")
            .push(&row)
            .push(" where ")
            .column(&row, physical.id(model))
            .push(" = ");
        self.column(change, "\"i\"");
        if !visible.is_true() {
            self.enter_snapshot(change, when);
            self.push(" and ").predicate(physical, model, &row, visible);
            self.leave_snapshot();
        }
        self.push(" offset 0)")
    }
}
