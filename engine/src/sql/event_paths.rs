//! Statements that read the values by which the hub's index finds subscriptions.

use super::Statement;
use super::changes::{ChangeBatch, RowSource};
use super::filter::Filter;
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
    /// As [`Path::Column`], before the change: of nodes that are there after it as well.
    ColumnBefore(FieldId),
    /// As [`Path::Linked`], before the change: of nodes that are there after it as well.
    LinkedBefore(FieldId, FieldId),
}

impl Path {
    /// The same place before the change.
    #[must_use]
    pub fn before(self) -> Path {
        match self {
            Path::Column(field) => Path::ColumnBefore(field),
            Path::Linked(field, unique) => Path::LinkedBefore(field, unique),
            before => before,
        }
    }

    fn is_before(self) -> bool {
        matches!(self, Path::ColumnBefore(_) | Path::LinkedBefore(..))
    }
}

/// Rows `(ordinal, path, value)`, two ints and a text: the values of the changed nodes, now or, of
/// deleted ones and on paths that say so, as they were. The path is its position in `paths`.
pub fn event_values(
    physical: &Physical,
    model: ModelId,
    paths: &[Path],
    events: &ChangeBatch<'_>,
) -> Statement {
    let mut sql = Sql::new();
    sql.each(events, |sql, changes, living| {
        let (change, row, found) = (sql.alias(), sql.alias(), sql.alias());
        let was = (living && paths.iter().any(|path| path.is_before())).then(|| sql.alias());
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
        );
        if let Some(was) = &was {
            sql.push(" left join lateral ")
                .row_if_visible(
                    physical,
                    model,
                    &change,
                    SnapshotTime::Before,
                    &Filter::TRUE,
                )
                .push(" ")
                .push(was)
                .push(" on true");
        }
        sql.push(" cross join lateral (");
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
            if !path.is_before() {
                sql.value_at(physical, model, &row, *path, named);
            } else if let Some(was) = &was {
                sql.enter_snapshot(&change, SnapshotTime::Before);
                sql.value_at(physical, model, was, *path, named);
                sql.leave_snapshot();
            } else {
                // Of a deleted node this is what the other paths give.
                sql.push("null").push(named);
            }
        }
        if paths.is_empty() {
            sql.push("select null::int as path, null::text as value");
        }
        if !living || was.is_some() {
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
            Path::Column(field) | Path::ColumnBefore(field) => {
                return self.column(row, physical.column(model, field)).push(named);
            }
            Path::Linked(field, unique) | Path::LinkedBefore(field, unique) => (field, unique),
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
