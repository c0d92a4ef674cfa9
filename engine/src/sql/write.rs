//! Statements that write rows, lists and links. Each says what it returns; all results are text.

use super::physical::{LinkAt, Physical};
use super::predicate::Filter;
use super::text::Sql;
use crate::datamodel::{Field, FieldId, FieldKind, ModelId, RelationRef, ScalarType};
use crate::plan::{Param, Statement};

/// A row that a statement refers to by a scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Id(Param),
    /// The row that satisfies a filter which pins a unique value.
    Where(Filter),
}

/// The condition that rows are partners of a parent, along the parent's relation field.
#[derive(Debug, Clone, Copy)]
pub struct Linked<'a> {
    pub relation: RelationRef,
    /// The model at the parent's end.
    pub parent_model: ModelId,
    pub parent: &'a Param,
}

impl Node {
    pub fn filter(&self) -> Filter {
        match self {
            Node::Id(id) => Filter::IdIs(id.clone()),
            Node::Where(filter) => filter.clone(),
        }
    }
}

/// What a statement that writes rows gives back of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    Id,
    /// All its columns, for [`super::read_written`].
    Row,
}

/// Changes columns of the rows that satisfy the filter (and are partners of a parent).
pub fn update(
    physical: &Physical,
    model: ModelId,
    filter: &Filter,
    linked: Option<Linked<'_>>,
    sets: &[(FieldId, Param)],
    returning: Returning,
) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.push("update ").push(physical.table(model)).push(" ").push(&row).push(" set ");
    for (i, (field, param)) in sets.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" })
            .push(physical.column(model, *field))
            .push(" = ")
            .bind(param.clone());
    }
    sql.push(" where ").matching(physical, model, &row, filter, linked).push(" returning ");
    match returning {
        Returning::Id => sql.column(&row, physical.id(model)).push("::text"),
        Returning::Row => sql.push(&row).push(".*"),
    };
    sql.finish()
}

/// Notes in the change log that the API was asked to update a row of which no column is written.
pub fn note_update(physical: &Physical, model: ModelId, id: &Param) -> Statement {
    let mut sql = Sql::new();
    sql.push("insert into gom.change (schema_name, table_name, kind, node) values (");
    sql.bind(physical.schema_name()).push(", ").bind(physical.model.model(model).table.as_str());
    sql.push(", 'T', ").bind(id.clone()).push(")");
    sql.finish()
}

/// Tells the jobs that this transaction leaves who writes.
pub fn note_writer(who: String) -> Statement {
    let mut sql = Sql::new();
    sql.push("select set_config('gom.writer', ").bind(Param::Text(who)).push(", true)");
    sql.finish()
}

/// Wraps a statement that returns one row for each changed row: returns how many there were.
pub fn counted(statement: Statement) -> Statement {
    let sql = format!("with changed as ({}) select count(*)::text from changed", statement.sql);
    Statement { sql, params: statement.params }
}

/// Returns the id of the row, and the same as an array literal. The row is locked against concurrent changes
/// until the transaction ends.
pub fn lock(physical: &Physical, model: ModelId, filter: &Filter) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.id_and_array(physical, model, &row).push(" from ").push(physical.table(model));
    sql.push(" ").push(&row).push(" where ").predicate(physical, model, &row, filter).push(" for update");
    sql.finish()
}

/// Returns the id of a partner that satisfies the filter, and the same as an array literal.
pub fn find_partner(physical: &Physical, model: ModelId, filter: &Filter, linked: Linked<'_>) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.id_and_array(physical, model, &row).push(" from ").push(physical.table(model));
    sql.push(" ")
        .push(&row)
        .push(" where ")
        .matching(physical, model, &row, filter, Some(linked))
        .push(" limit 1");
    sql.finish()
}

/// Returns the id of the row, the same as an array literal, and the id once more if the row is a partner of
/// the parent.
pub fn find_with_link(physical: &Physical, model: ModelId, filter: &Filter, linked: Linked<'_>) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    let id = physical.id(model);
    sql.id_and_array(physical, model, &row).push(", case when ");
    sql.linked(physical, model, &row, linked).push(" then ").column(&row, id).push("::text end from ");
    sql.push(physical.table(model)).push(" ").push(&row).push(" where ");
    sql.predicate(physical, model, &row, filter);
    sql.finish()
}

/// Returns the ids of the rows as an array literal (null: no row), and how many there are.
pub fn find_ids(
    physical: &Physical,
    model: ModelId,
    filter: &Filter,
    linked: Option<Linked<'_>>,
) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.push("select array_agg(").column(&row, physical.id(model)).push(")::text, count(*)::text from ");
    sql.push(physical.table(model)).push(" ").push(&row).push(" where ");
    sql.matching(physical, model, &row, filter, linked);
    sql.finish()
}

/// Removes the values of a scalar list of the rows whose ids are in the array (or of the one row).
pub fn clear_list(physical: &Physical, model: ModelId, field: FieldId, nodes: &Filter) -> Statement {
    let mut sql = Sql::new();
    sql.push("delete from ").push(physical.list_table(model, field)).push(" where \"nodeId\" = ");
    match nodes {
        Filter::IdIn(ids) => sql.push("any(").bind(ids.clone()).push(")"),
        Filter::IdIs(id) => sql.bind(id.clone()),
        _ => sql.push("null"),
    };
    sql.finish()
}

/// Adds values (an array literal) to the empty scalar lists of rows, at positions 1000, 2000, ….
pub fn fill_list(
    physical: &Physical,
    model: ModelId,
    field: FieldId,
    nodes: &Filter,
    values: impl Into<Param>,
) -> Statement {
    let mut sql = Sql::new();
    let id_type = physical.id_type(model);
    sql.push("insert into ").push(physical.list_table(model, field));
    sql.push(" (\"nodeId\", \"position\", \"value\") select n.id, (v.i * 1000)::int, v.value from ");
    match nodes {
        Filter::IdIn(ids) => sql.push("unnest(").bind(ids.clone()).push("::").push(id_type).push("[]) n(id)"),
        Filter::IdIs(id) => sql.push("(select ").bind(id.clone()).push("::").push(id_type).push(" as id) n"),
        _ => sql.push("(select null as id where false) n"),
    };
    sql.push(", unnest(").bind(values).push("::").push(value_type(physical.model.field(model, field)));
    sql.push("[]) with ordinality v(value, i)");
    sql.finish()
}

fn value_type(field: &Field) -> &'static str {
    match field.kind {
        FieldKind::Scalar(ScalarType::Int) => "int",
        FieldKind::Scalar(ScalarType::Float) => "decimal",
        FieldKind::Scalar(ScalarType::Boolean) => "boolean",
        FieldKind::Scalar(ScalarType::DateTime) => "timestamp",
        FieldKind::Scalar(ScalarType::Uuid) => "uuid",
        _ => "text",
    }
}

/// Makes a node the parent's partner. Returns the partner's id; null or no row: it does not exist.
pub fn link(physical: &Physical, linked: Linked<'_>, child: &Node) -> Statement {
    let mut sql = Sql::new();
    let Linked { relation, parent_model, parent } = linked;
    let target = relation.target;
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.push("update ").push(physical.table(parent_model)).push(" set ").push(column).push(" = ");
            sql.node(physical, target, child).push(" where ").push(physical.id(parent_model)).push(" = ");
            sql.bind(parent.clone()).push(" returning ").push(column).push("::text");
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.push("update ").push(physical.table(target)).push(" ").push(&row).push(" set ").push(column);
            sql.push(" = ").bind(parent.clone()).push(" where ");
            sql.predicate(physical, target, &row, &child.filter()).push(" returning ");
            sql.column(&row, physical.id(target)).push("::text");
        }
        LinkAt::Table { table, own, partner, id } => {
            let row = sql.alias();
            sql.push("with child as (select ").column(&row, physical.id(target)).push(" as id from ");
            sql.push(physical.table(target)).push(" ").push(&row).push(" where ");
            sql.predicate(physical, target, &row, &child.filter()).push("), linked as (insert into ");
            sql.push(table).push(" (").push(own).push(", ").push(partner);
            if let Some(id) = id {
                sql.push(", ").push(id);
            }
            sql.push(") select ").bind(parent.clone()).push("::").push(physical.id_type(parent_model));
            sql.push(", child.id");
            if id.is_some() {
                // Old tables have a primary key of 25 characters that nothing refers to.
                sql.push(", left(replace(gen_random_uuid()::text, '-', ''), 25)");
            }
            sql.push(" from child on conflict do nothing) select child.id::text from child");
        }
    }
    sql.finish()
}

/// Removes the links of the parent to partners that satisfy the filter (a link in the parent's own row: in any case).
pub fn cut_from_parent(physical: &Physical, linked: Linked<'_>, among: &Filter) -> Statement {
    let mut sql = Sql::new();
    let Linked { relation, parent_model, parent } = linked;
    let target = relation.target;
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.push("update ")
                .push(physical.table(parent_model))
                .push(" set ")
                .push(column)
                .push(" = null where ");
            sql.push(physical.id(parent_model)).push(" = ").bind(parent.clone());
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.push("update ").push(physical.table(target)).push(" ").push(&row).push(" set ").push(column);
            sql.push(" = null where ").column(&row, column).push(" = ").bind(parent.clone());
            if !among.is_true() {
                sql.push(" and ").predicate(physical, target, &row, among);
            }
        }
        LinkAt::Table { table, own, partner, .. } => {
            let link = sql.alias();
            sql.push("delete from ").push(table).push(" ").push(&link).push(" where ");
            sql.column(&link, own).push(" = ").bind(parent.clone());
            if !among.is_true() {
                let row = sql.alias();
                sql.push(" and exists (select 1 from ").push(physical.table(target)).push(" ").push(&row);
                sql.push(" where ").column(&row, physical.id(target)).push(" = ").column(&link, partner);
                sql.push(" and ").predicate(physical, target, &row, among).push(")");
            }
        }
    }
    sql.finish()
}

/// Removes the child's links to whatever parents it has along the relation.
pub fn cut_from_child(
    physical: &Physical,
    relation: RelationRef,
    parent_model: ModelId,
    child: &Node,
) -> Statement {
    let mut sql = Sql::new();
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.push("update ")
                .push(physical.table(parent_model))
                .push(" set ")
                .push(column)
                .push(" = null where ");
            sql.push(column).push(" = ").node(physical, relation.target, child);
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.push("update ").push(physical.table(relation.target)).push(" ").push(&row).push(" set ");
            sql.push(column).push(" = null where ").predicate(
                physical,
                relation.target,
                &row,
                &child.filter(),
            );
        }
        LinkAt::Table { table, partner, .. } => {
            sql.push("delete from ").push(table).push(" where ").push(partner).push(" = ");
            sql.node(physical, relation.target, child);
        }
    }
    sql.finish()
}

/// Removes the link between the parent and one child.
pub fn cut_pair(physical: &Physical, linked: Linked<'_>, child: &Node) -> Statement {
    let mut sql = Sql::new();
    let Linked { relation, parent_model, parent } = linked;
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.push("update ")
                .push(physical.table(parent_model))
                .push(" set ")
                .push(column)
                .push(" = null where ");
            sql.push(physical.id(parent_model)).push(" = ").bind(parent.clone()).push(" and ").push(column);
            sql.push(" = ").node(physical, relation.target, child);
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.push("update ").push(physical.table(relation.target)).push(" ").push(&row).push(" set ");
            sql.push(column).push(" = null where ").predicate(
                physical,
                relation.target,
                &row,
                &child.filter(),
            );
            sql.push(" and ").column(&row, column).push(" = ").bind(parent.clone());
        }
        LinkAt::Table { table, own, partner, .. } => {
            sql.push("delete from ").push(table).push(" where ").push(own).push(" = ").bind(parent.clone());
            sql.push(" and ").push(partner).push(" = ").node(physical, relation.target, child);
        }
    }
    sql.finish()
}

/// Returns a row if the child has a parent along the relation (other than the one named).
pub fn other_parent(
    physical: &Physical,
    relation: RelationRef,
    parent_model: ModelId,
    child: &Node,
    except: Option<&Param>,
) -> Statement {
    let mut sql = Sql::new();
    let parent_column = match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.push("select 1 from ")
                .push(physical.table(parent_model))
                .push(" where ")
                .push(column)
                .push(" = ");
            sql.node(physical, relation.target, child);
            physical.id(parent_model)
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.push("select 1 from ")
                .push(physical.table(relation.target))
                .push(" ")
                .push(&row)
                .push(" where ");
            sql.predicate(physical, relation.target, &row, &child.filter()).push(" and ");
            sql.column(&row, column).push(" is not null");
            column
        }
        LinkAt::Table { table, own, partner, .. } => {
            sql.push("select 1 from ").push(table).push(" where ").push(partner).push(" = ");
            sql.node(physical, relation.target, child);
            own
        }
    };
    if let Some(parent) = except {
        sql.push(" and ").push(parent_column).push(" <> ").bind(parent.clone());
    }
    sql.finish()
}

/// Returns a row if the parent has a partner other than the children named, of those that satisfy the filter.
pub fn other_children(physical: &Physical, linked: Linked<'_>, except: &[Node], among: &Filter) -> Statement {
    let mut sql = Sql::new();
    let Linked { relation, parent_model, parent } = linked;
    let target = relation.target;
    // The row that holds the link; the child's id stands in one of its columns.
    let row = sql.alias();
    let (table, held_by, child_column) = match physical.link(relation) {
        LinkAt::Own(column) => (physical.table(parent_model), physical.id(parent_model), column),
        LinkAt::Partner(column) => (physical.table(target), column, physical.id(target)),
        LinkAt::Table { table, own, partner, .. } => (table, own, partner),
    };
    sql.push("select 1 from ").push(table).push(" ").push(&row).push(" where ");
    sql.column(&row, held_by).push(" = ").bind(parent.clone());
    if matches!(physical.link(relation), LinkAt::Own(_)) {
        sql.push(" and ").column(&row, child_column).push(" is not null");
    }
    if !among.is_true() {
        let child = sql.alias();
        sql.push(" and exists (select 1 from ").push(physical.table(target)).push(" ").push(&child);
        sql.push(" where ").column(&child, physical.id(target)).push(" = ").column(&row, child_column);
        sql.push(" and ").predicate(physical, target, &child, among).push(")");
    }
    for child in except {
        // A child that does not exist is no exception.
        sql.push(" and ").column(&row, child_column).push(" is distinct from ");
        sql.node(physical, target, child);
    }
    sql.push(" limit 1");
    sql.finish()
}

impl Sql {
    /// The node's id as a scalar expression.
    pub(super) fn node(&mut self, physical: &Physical, model: ModelId, node: &Node) -> &mut Self {
        match node {
            Node::Id(id) => self.bind(id.clone()).push("::").push(physical.id_type(model)),
            Node::Where(filter) => {
                let row = self.alias();
                self.push("(select ").column(&row, physical.id(model)).push(" from ");
                self.push(physical.table(model)).push(" ").push(&row).push(" where ");
                self.predicate(physical, model, &row, filter).push(")")
            }
        }
    }

    fn id_and_array(&mut self, physical: &Physical, model: ModelId, row: &str) -> &mut Self {
        let id = physical.id(model);
        self.push("select ").column(row, id).push("::text, array[").column(row, id).push("]::text")
    }

    fn matching(
        &mut self,
        physical: &Physical,
        model: ModelId,
        row: &str,
        filter: &Filter,
        linked: Option<Linked<'_>>,
    ) -> &mut Self {
        if let Some(linked) = linked {
            self.linked(physical, model, row, linked);
            if *filter == Filter::TRUE {
                return self;
            }
            self.push(" and ");
        }
        self.predicate(physical, model, row, filter)
    }

    /// The row is a partner of the parent.
    fn linked(&mut self, physical: &Physical, model: ModelId, row: &str, linked: Linked<'_>) -> &mut Self {
        let Linked { relation, parent_model, parent } = linked;
        match physical.link(relation) {
            LinkAt::Own(column) => {
                self.column(row, physical.id(model)).push(" = (select ").push(column).push(" from ");
                self.push(physical.table(parent_model)).push(" where ").push(physical.id(parent_model));
                self.push(" = ").bind(parent.clone()).push(")")
            }
            LinkAt::Partner(column) => self.column(row, column).push(" = ").bind(parent.clone()),
            LinkAt::Table { table, own, partner, .. } => {
                let link = self.alias();
                self.push("exists (select 1 from ").push(table).push(" ").push(&link).push(" where ");
                self.column(&link, own).push(" = ").bind(parent.clone()).push(" and ");
                self.column(&link, partner).push(" = ").column(row, physical.id(model)).push(")")
            }
        }
    }
}
