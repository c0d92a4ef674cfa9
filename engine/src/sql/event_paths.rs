//! Statements that read the values by which the hub's index finds subscriptions.

use super::Statement;
use super::changes::{ChangeBatch, RowSource};
use super::filter::Filter;
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
