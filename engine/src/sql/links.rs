//! Statements that tie and cut links, wherever they are kept. Anyone who holds the link in a column is stamped with it.

use super::physical::{LinkAt, Physical};
use super::predicate::Filter;
use super::text::Sql;
use super::write::{Linked, Lock, Node};
use super::{Param, Statement};
use crate::datamodel::{FieldId, ModelId, RelationRef};

/// A column that says who wrote a row, and what it is set to.
pub type Stamp = (FieldId, String);

/// Makes a node the parent's partner. Returns the partner's id; null or no row: it does not exist.
pub fn link(physical: &Physical, linked: Linked<'_>, child: &Node, stamps: &[Stamp]) -> Statement {
    let mut sql = Sql::new();
    let Linked {
        relation,
        parent_model,
        parent,
    } = linked;
    let target = relation.target;
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.push("update ")
                .push(physical.table(parent_model))
                .push(" set ")
                .push(column)
                .push(" = ");
            sql.node(physical, target, child)
                .stamps(physical, parent_model, stamps);
            sql.push(" where ")
                .push(physical.id(parent_model))
                .push(" = ");
            sql.bind(parent.clone())
                .push(" returning ")
                .push(column)
                .push("::text");
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.push("update ")
                .push(physical.table(target))
                .push(" ")
                .push(&row)
                .push(" set ")
                .push(column);
            sql.push(" = ")
                .bind(parent.clone())
                .stamps(physical, target, stamps)
                .push(" where ");
            sql.predicate(physical, target, &row, &child.filter())
                .push(" returning ");
            sql.column(&row, physical.id(target)).push("::text");
        }
        LinkAt::Table {
            table,
            own,
            partner,
            id,
        } => {
            let row = sql.alias();
            sql.push("with child as (select ")
                .column(&row, physical.id(target))
                .push(" as id from ");
            sql.push(physical.table(target))
                .push(" ")
                .push(&row)
                .push(" where ");
            sql.predicate(physical, target, &row, &child.filter());
            sql.lock(if matches!(child, Node::Held(_)) {
                Lock::Share
            } else {
                Lock::None
            });
            sql.push("), linked as (insert into ");
            sql.push(table)
                .push(" (")
                .push(own)
                .push(", ")
                .push(partner);
            if let Some(id) = id {
                sql.push(", ").push(id);
            }
            sql.push(") select ")
                .bind(parent.clone())
                .push("::")
                .push(physical.id_type(parent_model));
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
pub fn cut_from_parent(
    physical: &Physical,
    linked: Linked<'_>,
    among: &Filter,
    stamps: &[Stamp],
) -> Statement {
    let mut sql = Sql::new();
    let Linked {
        relation,
        parent_model,
        parent,
    } = linked;
    let target = relation.target;
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.cut(physical, parent_model, None, column, stamps);
            sql.push(physical.id(parent_model))
                .push(" = ")
                .bind(parent.clone());
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.cut(physical, target, Some(&row), column, stamps);
            sql.column(&row, column).push(" = ").bind(parent.clone());
            if !among.is_true() {
                sql.push(" and ").predicate(physical, target, &row, among);
            }
        }
        LinkAt::Table {
            table,
            own,
            partner,
            ..
        } => {
            let link = sql.alias();
            sql.push("delete from ")
                .push(table)
                .push(" ")
                .push(&link)
                .push(" where ");
            sql.column(&link, own).push(" = ").bind(parent.clone());
            if !among.is_true() {
                let row = sql.alias();
                sql.push(" and exists (select 1 from ")
                    .push(physical.table(target))
                    .push(" ")
                    .push(&row);
                sql.push(" where ")
                    .column(&row, physical.id(target))
                    .push(" = ")
                    .column(&link, partner);
                sql.push(" and ")
                    .predicate(physical, target, &row, among)
                    .push(")");
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
    stamps: &[Stamp],
) -> Statement {
    let mut sql = Sql::new();
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.cut(physical, parent_model, None, column, stamps);
            sql.push(column)
                .push(" = ")
                .node(physical, relation.target, child);
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.cut(physical, relation.target, Some(&row), column, stamps);
            sql.predicate(physical, relation.target, &row, &child.filter());
        }
        LinkAt::Table { table, partner, .. } => {
            sql.push("delete from ")
                .push(table)
                .push(" where ")
                .push(partner)
                .push(" = ");
            sql.node(physical, relation.target, child);
        }
    }
    sql.finish()
}

/// Removes the link between the parent and one child.
pub fn cut_pair(
    physical: &Physical,
    linked: Linked<'_>,
    child: &Node,
    stamps: &[Stamp],
) -> Statement {
    let mut sql = Sql::new();
    let Linked {
        relation,
        parent_model,
        parent,
    } = linked;
    match physical.link(relation) {
        LinkAt::Own(column) => {
            sql.cut(physical, parent_model, None, column, stamps);
            sql.push(physical.id(parent_model))
                .push(" = ")
                .bind(parent.clone())
                .push(" and ")
                .push(column);
            sql.push(" = ").node(physical, relation.target, child);
        }
        LinkAt::Partner(column) => {
            let row = sql.alias();
            sql.cut(physical, relation.target, Some(&row), column, stamps);
            sql.predicate(physical, relation.target, &row, &child.filter());
            sql.push(" and ")
                .column(&row, column)
                .push(" = ")
                .bind(parent.clone());
        }
        LinkAt::Table {
            table,
            own,
            partner,
            ..
        } => {
            sql.push("delete from ")
                .push(table)
                .push(" where ")
                .push(own)
                .push(" = ")
                .bind(parent.clone());
            sql.push(" and ")
                .push(partner)
                .push(" = ")
                .node(physical, relation.target, child);
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
            sql.predicate(physical, relation.target, &row, &child.filter())
                .push(" and ");
            sql.column(&row, column).push(" is not null");
            column
        }
        LinkAt::Table {
            table,
            own,
            partner,
            ..
        } => {
            sql.push("select 1 from ")
                .push(table)
                .push(" where ")
                .push(partner)
                .push(" = ");
            sql.node(physical, relation.target, child);
            own
        }
    };
    if let Some(parent) = except {
        sql.push(" and ")
            .push(parent_column)
            .push(" <> ")
            .bind(parent.clone());
    }
    sql.finish()
}

/// Returns a row if the parent has a partner other than the child, of those that satisfy the filter.
pub fn other_children(
    physical: &Physical,
    linked: Linked<'_>,
    except: Option<&Node>,
    among: &Filter,
) -> Statement {
    let mut sql = Sql::new();
    let Linked {
        relation,
        parent_model,
        parent,
    } = linked;
    let target = relation.target;
    // The row that holds the link; the child's id stands in one of its columns.
    let row = sql.alias();
    let (table, held_by, child_column) = match physical.link(relation) {
        LinkAt::Own(column) => (
            physical.table(parent_model),
            physical.id(parent_model),
            column,
        ),
        LinkAt::Partner(column) => (physical.table(target), column, physical.id(target)),
        LinkAt::Table {
            table,
            own,
            partner,
            ..
        } => (table, own, partner),
    };
    sql.push("select 1 from ")
        .push(table)
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.column(&row, held_by).push(" = ").bind(parent.clone());
    if matches!(physical.link(relation), LinkAt::Own(_)) {
        sql.push(" and ")
            .column(&row, child_column)
            .push(" is not null");
    }
    if !among.is_true() {
        let child = sql.alias();
        sql.push(" and exists (select 1 from ")
            .push(physical.table(target))
            .push(" ")
            .push(&child);
        sql.push(" where ")
            .column(&child, physical.id(target))
            .push(" = ")
            .column(&row, child_column);
        sql.push(" and ")
            .predicate(physical, target, &child, among)
            .push(")");
    }
    if let Some(child) = except {
        // A child that does not exist is no exception.
        sql.push(" and ")
            .column(&row, child_column)
            .push(" is distinct from ");
        sql.node(physical, target, child);
    }
    sql.push(" limit 1");
    sql.finish()
}

/// Stamps the partners of rows that are about to be deleted, where the partners' own rows hold the link (which the
/// foreign key cuts).
pub fn stamp_partners(
    physical: &Physical,
    model: ModelId,
    column: &str,
    going: &Param,
    stamps: &[Stamp],
) -> Statement {
    let mut sql = Sql::new();
    sql.push("update ")
        .push(physical.table(model))
        .push(" set ");
    for (i, (field, text)) in stamps.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" })
            .push(physical.column(model, *field))
            .push(" = ");
        sql.bind(Param::Text(text.clone()));
    }
    sql.push(" where ")
        .push(column)
        .push(" = any(")
        .bind(going.clone())
        .push(")");
    sql.finish()
}

impl Sql {
    /// Empties the column of rows that holds a link: `update … set … = null where `.
    fn cut(
        &mut self,
        physical: &Physical,
        model: ModelId,
        row: Option<&str>,
        column: &str,
        stamps: &[Stamp],
    ) -> &mut Self {
        self.push("update ").push(physical.table(model));
        if let Some(row) = row {
            self.push(" ").push(row);
        }
        self.push(" set ")
            .push(column)
            .push(" = null")
            .stamps(physical, model, stamps)
            .push(" where ")
    }

    fn stamps(&mut self, physical: &Physical, model: ModelId, stamps: &[Stamp]) -> &mut Self {
        for (field, text) in stamps {
            self.push(", ")
                .push(physical.column(model, *field))
                .push(" = ");
            self.bind(Param::Text(text.clone()));
        }
        self
    }
}
