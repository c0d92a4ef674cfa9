//! Statements that check rows against a filter: before a write, which it may change, and after it,
//! what it has left.

use super::Statement;
use super::filter::Filter;
use super::physical::Physical;
use super::text::Sql;
use crate::datamodel::{ModelId, RelationId, Side};

/// Returns a row if one of `rows` does not satisfy the filter.
pub fn outside(physical: &Physical, model: ModelId, rows: &Filter, filter: &Filter) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.push("select 1 from ")
        .push(physical.table(model))
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.predicate(physical, model, &row, rows).push(" and (");
    sql.predicate(physical, model, &row, filter)
        .push(") is not true limit 1");
    sql.finish()
}

/// Returns a row if a partner of one of `rows`, which stand at the end `side` of the relation, does
/// not satisfy the filter.
pub fn linked_outside(
    physical: &Physical,
    relation: RelationId,
    side: Side,
    rows: &Filter,
    filter: &Filter,
) -> Statement {
    let mut sql = Sql::new();
    sql.push("select 1 from ");
    let (row, partner) = (sql.alias(), sql.alias());
    sql.linked_to(physical, relation, side, rows, (&row, &partner));
    let target = physical.model.relation(relation).end(side.other()).model;
    sql.push(" and (")
        .predicate(physical, target, &partner, filter)
        .push(") is not true limit 1");
    sql.finish()
}

/// Returns the ids of the partners of `rows` that satisfy the filter, as an array literal (null:
/// none).
pub fn linked_ids(
    physical: &Physical,
    relation: RelationId,
    side: Side,
    rows: &Filter,
    filter: &Filter,
) -> Statement {
    let mut sql = Sql::new();
    let target = physical.model.relation(relation).end(side.other()).model;
    let (row, partner) = (sql.alias(), sql.alias());
    sql.push("select array_agg(")
        .column(&partner, physical.id(target))
        .push(")::text from ");
    sql.linked_to(physical, relation, side, rows, (&row, &partner));
    sql.push(" and ")
        .predicate(physical, target, &partner, filter);
    sql.finish()
}

/// Returns the ids of the partners of `rows`, as an array literal (null: none), locked against
/// changes in the order of the ids.
pub fn lock_linked(
    physical: &Physical,
    relation: RelationId,
    side: Side,
    rows: &Filter,
) -> Statement {
    let mut sql = Sql::new();
    let target = physical.model.relation(relation).end(side.other()).model;
    let (row, partner, found) = (sql.alias(), sql.alias(), sql.alias());
    let id = physical.id(target);
    sql.push("select array_agg(")
        .column(&found, "id")
        .push(")::text from (select ");
    sql.column(&partner, id).push(" as id from ");
    sql.linked_to(physical, relation, side, rows, (&row, &partner));
    sql.push(" order by ")
        .column(&partner, id)
        .push(" for update of ")
        .push(&partner)
        .push(") ");
    sql.push(&found);
    sql.finish()
}

impl Sql {
    /// `rows join partners where …`, by these aliases.
    fn linked_to(
        &mut self,
        physical: &Physical,
        relation: RelationId,
        side: Side,
        rows: &Filter,
        (row, partner): (&str, &str),
    ) -> &mut Self {
        let ends = physical.model.relation(relation);
        let (model, target) = (ends.end(side).model, ends.end(side.other()).model);
        self.push(physical.table(model)).push(" ").push(row);
        let link = physical.link_row_at(relation, side);
        self.join_partners(physical, &link, target, (row, partner));
        self.push(" where ").predicate(physical, model, row, rows)
    }
}
