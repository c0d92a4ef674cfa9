//! Statements of a deletion: which rows go by cascade, whether a row that stays needs one of them,
//! and the deletion itself. Links are removed by the foreign keys (`set null`, `cascade`).

use super::link_row::LinkHolder;
use super::physical::Physical;
use super::text::Sql;
use super::write::Lock;
use super::{Param, Register, Statement};
use crate::datamodel::{ModelId, RelationId, Side};

/// A cascade: deleting a row at the end `side` deletes its partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cascade {
    /// The relation whose links the deletion follows.
    pub relation: RelationId,
    /// The end whose deletion takes the partners along.
    pub side: Side,
}

/// The rows that go when the given ones (an array literal of ids) go. Returns for each of `models`
/// the ids as an array literal, null if there are none.
pub fn cascade_ids(
    physical: &Physical,
    root: ModelId,
    ids: &Param,
    models: &[ModelId],
    cascades: &[Cascade],
) -> Statement {
    let mut sql = with_cascade(physical, root, ids, cascades);
    sql.push("select ");
    for (i, model) in models.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" });
        sql.push("array_agg(doomed.id) filter (where doomed.model = ")
            .push(&model.0.to_string())
            .push(")::text");
    }
    sql.push(" from doomed");
    sql.finish()
}

/// Returns a row if those that go when the given ones go are not (or no longer) exactly those that
/// `going` holds for each model.
pub fn cascade_differs(
    physical: &Physical,
    root: ModelId,
    ids: &Param,
    going: &[(ModelId, Register)],
    cascades: &[Cascade],
) -> Statement {
    let mut sql = with_cascade(physical, root, ids, cascades);
    sql.push("select 1 from doomed full join (");
    for (i, (model, ids)) in going.iter().enumerate() {
        sql.push(if i > 0 {
            " union all select "
        } else {
            "select "
        })
        .push(&model.0.to_string());
        sql.push(" as model, unnest(")
            .bind(Param::Register(*ids))
            .push("::text[]) as id");
    }
    sql.push(") going on going.model = doomed.model and going.id = doomed.id");
    sql.push(" where going.id is null or doomed.id is null limit 1");
    sql.finish()
}

/// `with recursive cascade_ids(model, id) as (…) `: the rows that go when the given ones go.
fn with_cascade(physical: &Physical, root: ModelId, ids: &Param, cascades: &[Cascade]) -> Sql {
    let mut sql = Sql::new();
    sql.push("with recursive doomed(model, id) as (select ")
        .push(&root.0.to_string())
        .push(", root.id::text from ");
    sql.push("unnest(")
        .bind(ids.clone())
        .push("::")
        .push(physical.id_type(root))
        .push("[]) root(id)");
    sql.push(" union select partner.model, partner.id from doomed cross join lateral (");
    for (i, cascade) in cascades.iter().enumerate() {
        let relation = physical.model.relation(cascade.relation);
        let (from, to) = (
            relation.end(cascade.side).model,
            relation.end(cascade.side.other()).model,
        );
        sql.push(if i > 0 {
            " union all select "
        } else {
            "select "
        });
        sql.push(&to.0.to_string()).push(" as model, ");
        // The ids of all models are text here; the guard comes before the cast back.
        let id = |sql: &mut Sql| {
            sql.push("(case when doomed.model = ")
                .push(&from.0.to_string())
                .push(" then doomed.id end)::");
            sql.push(physical.id_type(from));
        };
        let row = sql.alias();
        let link = physical.link_row_at(cascade.relation, cascade.side);
        sql.column(&row, link.partner)
            .push("::text as id from ")
            .push(link.table)
            .push(" ")
            .push(&row);
        sql.push(" where ").column(&row, link.own).push(" = ");
        id(&mut sql);
        if matches!(link.holder, LinkHolder::Own(_)) {
            sql.push(" and ")
                .column(&row, link.partner)
                .push(" is not null");
        }
    }
    sql.push(") partner) ");
    sql
}

/// Returns a row if the id is among those that go (an array literal, null if there are none).
pub fn is_going(physical: &Physical, model: ModelId, id: &Param, going: &Param) -> Statement {
    let mut sql = Sql::new();
    let id_type = physical.id_type(model);
    sql.push("select 1 where ")
        .bind(id.clone())
        .push("::")
        .push(id_type)
        .push(" = any(");
    sql.bind(going.clone()).push("::").push(id_type).push("[])");
    sql.finish()
}

/// Returns a row if one that stays has a required link to one that goes: `side` is the end that
/// goes, `going` its ids, `partners_going` the ids of rows of the other end's model that go as
/// well.
pub fn required_by(
    physical: &Physical,
    relation: RelationId,
    side: Side,
    going: &Param,
    partners_going: Option<&Param>,
) -> Statement {
    let mut sql = Sql::new();
    let ends = physical.model.relation(relation);
    let partner_model = ends.end(side.other()).model;
    let row = sql.alias();
    let link = physical.link_row_at(relation, side);
    sql.push("select 1 from ")
        .push(link.table)
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.column(&row, link.own)
        .push(" = any(")
        .bind(going.clone())
        .push(")");
    if matches!(link.holder, LinkHolder::Own(_)) {
        sql.push(" and ")
            .column(&row, link.partner)
            .push(" is not null");
    }
    if let Some(ids) = partners_going {
        // A null array (no partner goes) excludes nothing. As a sub-select, because PostgreSQL
        // hashes it, also in a plan for all values, as long as it expects the ids to fit into
        // `work_mem`; an array that is a parameter is searched from its beginning for each row by
        // such a plan.
        sql.push(" and ")
            .column(&row, link.partner)
            .push(" not in (select unnest(")
            .bind(ids.clone())
            .push("::");
        sql.push(physical.id_type(partner_model)).push("[]))");
    }
    sql.push(" limit 1");
    sql.finish()
}

/// Locks rows by an array literal of ids (null: none), in the order of the ids. Returns how many
/// there are.
pub fn lock_rows(physical: &Physical, model: ModelId, ids: &Param) -> Statement {
    let mut sql = Sql::new();
    let (row, found) = (sql.alias(), sql.alias());
    let id = physical.id(model);
    sql.push("select count(*)::text from (select from ")
        .push(physical.table(model))
        .push(" ")
        .push(&row);
    sql.push(" where ")
        .column(&row, id)
        .push(" = any(")
        .bind(ids.clone())
        .push(") order by ");
    sql.column(&row, id)
        .lock(Lock::Update)
        .push(") ")
        .push(&found);
    sql.finish()
}

/// Deletes rows by an array literal of ids (null: none).
pub fn delete_rows(physical: &Physical, model: ModelId, ids: &Param) -> Statement {
    let mut sql = Sql::new();
    sql.push("delete from ")
        .push(physical.table(model))
        .push(" where ")
        .push(physical.id(model))
        .push(" = any(");
    sql.bind(ids.clone()).push(")");
    sql.finish()
}
