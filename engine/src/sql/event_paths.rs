//! Statements that read the values by which the hub's index finds subscriptions.

use super::Statement;
use super::changes::{ChangeBatch, RowSource};
use super::history::SnapshotTime;
use super::path::Path;
use super::physical::Physical;
use super::text::Sql;
use crate::datamodel::{FieldId, ModelId};

/// Rows `(ordinal, path, value)`, two ints and a text: the values of the changed nodes, now or, of
/// deleted ones and on paths that say so, as they were. The path is its position in `paths`.
pub fn event_values(
    physical: &Physical,
    model: ModelId,
    paths: &[Path],
    events: &ChangeBatch<'_>,
) -> Statement {
    let mut sql = Sql::new();
    let places = |before: bool| -> Vec<(usize, Path)> {
        let paths = paths.iter().copied().enumerate();
        paths
            .filter(|(_, path)| path.is_before() == before)
            .collect()
    };
    let (now, before) = (places(false), places(true));
    sql.each(events, |sql, changes, living| {
        let source = RowSource::of(living, true);
        sql.values(physical, model, changes, source, &now);
        // Of a deleted node this is what the other paths give. One that is there after the change may
        // be gone by now.
        if living && !before.is_empty() {
            sql.push(" union all ");
            sql.values(physical, model, changes, RowSource::Log, &before);
        }
    });
    sql.finish_with_history(physical, events.since, events.ids.iter().copied())
}

impl Sql {
    /// The values of the changed nodes on these paths: as they are, or from the log as they were
    /// before.
    fn values(
        &mut self,
        physical: &Physical,
        model: ModelId,
        changes: usize,
        source: RowSource,
        paths: &[(usize, Path)],
    ) -> &mut Self {
        let (change, row, found) = (self.alias(), self.alias(), self.alias());
        let is_before = source != RowSource::Table;
        self.push("select ")
            .column(&change, "\"o\"")
            .push(", ")
            .column(&found, "path")
            .push(", ");
        self.column(&found, "value");
        self.push_changes(physical, model, changes, (&change, &row), source)
            .push(" cross join lateral (");
        if is_before {
            self.enter_snapshot(&change, SnapshotTime::Before);
        }
        for (i, (place, path)) in paths.iter().enumerate() {
            self.push(if i > 0 { " union all " } else { "" });
            self.push(&format!(
                "select {place}{}, ",
                if i > 0 { "" } else { " as path" }
            ));
            let named = if i > 0 { "::text" } else { "::text as value" };
            self.value_at(physical, model, &row, *path, named);
        }
        if paths.is_empty() {
            self.push("select null::int as path, null::text as value");
        }
        if is_before {
            // From the nodes to their partners: PostgreSQL might read all partners first otherwise.
            self.push(" offset 0");
        }
        self.leave_snapshot();
        self.push(") ")
            .push(&found)
            .push(" where ")
            .column(&found, "value")
            .push(" is not null")
    }

    /// The value, and for links where it is from.
    fn value_at(
        &mut self,
        physical: &Physical,
        model: ModelId,
        row: &str,
        path: Path,
        named: &str,
    ) -> &mut Self {
        let hops: Vec<FieldId> = path.hops().collect();
        self.value_through(physical, model, row, (&hops, path.end()), named)
    }

    fn value_through(
        &mut self,
        physical: &Physical,
        model: ModelId,
        row: &str,
        (hops, column): (&[FieldId], FieldId),
        named: &str,
    ) -> &mut Self {
        let Some((hop, rest)) = hops.split_first() else {
            return self.column(row, physical.column(model, column)).push(named);
        };
        let Some(relation) = physical.model.field(model, *hop).relation() else {
            return self.push("null").push(named);
        };
        let (target, partner) = (relation.target, self.alias());
        if rest.is_empty() {
            self.column(&partner, physical.column(target, column))
                .push(named)
                .push(" from ");
            self.rows_of(physical, target).push(" ").push(&partner);
            return self.where_linked(physical, relation, &partner, row);
        }
        // From the node to its partners, and from each of them on.
        let far = self.alias();
        self.column(&far, "value")
            .push(named)
            .push(" from (select ")
            .push(&partner)
            .push(".* from ");
        self.rows_of(physical, target).push(" ").push(&partner);
        self.where_linked(physical, relation, &partner, row)
            .push(" offset 0) ")
            .push(&partner)
            .push(" cross join lateral (select ");
        self.value_through(physical, target, &partner, (rest, column), " as value")
            .push(") ")
            .push(&far)
    }
}
