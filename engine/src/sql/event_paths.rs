//! Statements that read the values by which the hub's index finds subscriptions.

use super::Statement;
use super::changes::{ChangeBatch, RowSource};
use super::history::SnapshotTime;
use super::physical::Physical;
use super::text::Sql;
use crate::datamodel::{FieldId, ModelId};

/// Where a value is, seen from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// In the node's own column.
    Column(FieldId),
    /// In a column (the second field) of the partners that a relation field (the first) leads to.
    Linked(FieldId, FieldId),
}

/// Rows `(ordinal, path, value)`, two ints and a text: the values of the changed nodes, now or, of
/// deleted ones, as they were. The path is its position in `paths`.
pub fn event_values(
    physical: &Physical,
    model: ModelId,
    paths: &[Path],
    events: &ChangeBatch<'_>,
) -> Statement {
    let mut sql = Sql::new();
    sql.each(events, |sql, changes, living| {
        let (change, row, found) = (sql.alias(), sql.alias(), sql.alias());
        sql.push("select ")
            .column(&change, "\"o\"")
            .push(", ")
            .column(&found, "path")
            .push(", ");
        sql.column(&found, "value");
        sql.push_changes(
            physical,
            model,
            changes,
            (&change, &row),
            RowSource::of(living, true),
        )
        .push(" cross join lateral (");
        if !living {
            sql.enter_snapshot(&change, SnapshotTime::Before);
        }
        for (place, path) in paths.iter().enumerate() {
            sql.push(if place > 0 { " union all " } else { "" });
            sql.push(&format!(
                "select {place}{}, ",
                if place > 0 { "" } else { " as path" }
            ));
            let named = if place > 0 {
                "::text"
            } else {
                "::text as value"
            };
            sql.value_at(physical, model, &row, *path, named);
        }
        if paths.is_empty() {
            sql.push("select null::int as path, null::text as value");
        }
        if !living {
            // From the deleted nodes to their partners: PostgreSQL might read all partners first
            // otherwise.
            sql.push(" offset 0");
        }
        sql.leave_snapshot();
        sql.push(") ")
            .push(&found)
            .push(" where ")
            .column(&found, "value")
            .push(" is not null");
    });
    sql.finish_with_history(physical, events.since, events.ids.iter().copied())
}

impl Sql {
    /// The value, and for links where it is from.
    fn value_at(
        &mut self,
        physical: &Physical,
        model: ModelId,
        row: &str,
        path: Path,
        named: &str,
    ) -> &mut Self {
        let (field, unique) = match path {
            Path::Column(field) => {
                return self.column(row, physical.column(model, field)).push(named);
            }
            Path::Linked(field, unique) => (field, unique),
        };
        let Some(relation) = physical.model.field(model, field).relation() else {
            return self.push("null").push(named);
        };
        let (target, partner) = (relation.target, self.alias());
        self.column(&partner, physical.column(target, unique))
            .push(named)
            .push(" from ");
        self.rows_of(physical, target).push(" ").push(&partner);
        self.where_linked(physical, relation, &partner, row)
    }
}
