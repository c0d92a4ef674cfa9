//! Statements that make and remove links, in whichever row they are stored. A row that holds the
//! link in a column gets the stamps of its model as well.

use super::filter::Filter;
use super::link_row::{LinkHolder, LinkRow};
use super::physical::{LinkAt, Physical};
use super::text::Sql;
use super::write::{Linked, Lock, Node};
use super::{Param, Statement};
use crate::datamodel::{FieldId, ModelId, RelationRef};

/// A column that names the writer of a row, and its value.
pub type WriterStamp = (FieldId, String);

/// Makes a node the parent's partner. Returns the partner's id; null or no row: it does not exist.
pub fn link(
    physical: &Physical,
    linked: Linked<'_>,
    child: &Node,
    stamps: &[WriterStamp],
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

/// Removes the links of the parent to partners that satisfy the filter (a link in the parent's own
/// row: in any case).
pub fn cut_from_parent(
    physical: &Physical,
    linked: Linked<'_>,
    among: &Filter,
    stamps: &[WriterStamp],
) -> Statement {
    let mut sql = Sql::new();
    let target = linked.relation.target;
    let link = physical.link_row(linked.relation);
    let row = (!matches!(link.holder, LinkHolder::Own(_))).then(|| sql.alias());
    sql.cut(physical, &link, row.as_deref(), stamps)
        .optional_column(row.as_deref(), link.own)
        .push(" = ")
        .bind(linked.parent.clone());
    let Some(row) = row.filter(|_| !among.is_true()) else {
        return sql.finish();
    };
    match link.holder {
        LinkHolder::Table => {
            sql.push(" and ")
                .partner_exists(physical, target, (&row, link.partner), among)
        }
        LinkHolder::Own(_) | LinkHolder::Partner(_) => {
            sql.push(" and ").predicate(physical, target, &row, among)
        }
    };
    sql.finish()
}

/// Removes the child's links to whatever parents it has along the relation.
pub fn cut_from_child(
    physical: &Physical,
    relation: RelationRef,
    child: &Node,
    stamps: &[WriterStamp],
) -> Statement {
    let mut sql = Sql::new();
    let link = physical.link_row(relation);
    let row = sql.alias_of_child(&link);
    sql.cut(physical, &link, row.as_deref(), stamps)
        .links_child(physical, relation, row.as_deref(), child);
    sql.finish()
}

/// Removes the link between the parent and one child.
pub fn cut_pair(
    physical: &Physical,
    linked: Linked<'_>,
    child: &Node,
    stamps: &[WriterStamp],
) -> Statement {
    let mut sql = Sql::new();
    let Linked {
        relation, parent, ..
    } = linked;
    let link = physical.link_row(relation);
    let row = sql.alias_of_child(&link);
    sql.cut(physical, &link, row.as_deref(), stamps);
    if let Some(row) = &row {
        sql.links_child(physical, relation, Some(row), child)
            .push(" and ")
            .column(row, link.own)
            .push(" = ")
            .bind(parent.clone());
    } else {
        sql.push(link.own)
            .push(" = ")
            .bind(parent.clone())
            .push(" and ")
            .links_child(physical, relation, None, child);
    }
    sql.finish()
}

/// Returns a row if the child has a parent along the relation (other than the one named).
pub fn other_parent(
    physical: &Physical,
    relation: RelationRef,
    child: &Node,
    except: Option<&Param>,
) -> Statement {
    let mut sql = Sql::new();
    let link = physical.link_row(relation);
    let row = sql.alias_of_child(&link);
    sql.push("select 1 from ").push(link.table);
    if let Some(row) = &row {
        sql.push(" ").push(row);
    }
    sql.push(" where ")
        .links_child(physical, relation, row.as_deref(), child);
    if let Some(row) = &row {
        sql.push(" and ").column(row, link.own).push(" is not null");
    }
    if let Some(parent) = except {
        sql.push(" and ")
            .push(link.own)
            .push(" <> ")
            .bind(parent.clone());
    }
    sql.finish()
}

/// Returns a row if the parent has a partner other than the child, of those that satisfy the
/// filter.
pub fn other_children(
    physical: &Physical,
    linked: Linked<'_>,
    except: Option<&Node>,
    among: &Filter,
) -> Statement {
    let mut sql = Sql::new();
    let Linked {
        relation, parent, ..
    } = linked;
    let target = relation.target;
    let link = physical.link_row(relation);
    let row = sql.alias();
    sql.push("select 1 from ")
        .push(link.table)
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.column(&row, link.own).push(" = ").bind(parent.clone());
    if matches!(link.holder, LinkHolder::Own(_)) {
        sql.push(" and ")
            .column(&row, link.partner)
            .push(" is not null");
    }
    if !among.is_true() {
        sql.push(" and ")
            .partner_exists(physical, target, (&row, link.partner), among);
    }
    if let Some(child) = except {
        // A child that does not exist is no exception.
        sql.push(" and ")
            .column(&row, link.partner)
            .push(" is distinct from ");
        sql.node(physical, target, child);
    }
    sql.push(" limit 1");
    sql.finish()
}

/// Stamps the partners of rows that are about to be deleted, where the partners' own rows hold the
/// link (which the foreign key cuts).
pub fn stamp_partners(
    physical: &Physical,
    model: ModelId,
    column: &str,
    going: &Param,
    stamps: &[WriterStamp],
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
    /// Begins the statement that removes links, by an emptied column or a deleted row: `… where `.
    fn cut(
        &mut self,
        physical: &Physical,
        link: &LinkRow<'_>,
        row: Option<&str>,
        stamps: &[WriterStamp],
    ) -> &mut Self {
        let nullable = link.nullable();
        self.push(match nullable {
            Some(_) => "update ",
            None => "delete from ",
        })
        .push(link.table);
        if let Some(row) = row {
            self.push(" ").push(row);
        }
        if let Some((model, column)) = nullable {
            self.push(" set ")
                .push(column)
                .push(" = null")
                .stamps(physical, model, stamps);
        }
        self.push(" where ")
    }

    /// An alias where the child's own row holds the link: its conditions are on that row.
    fn alias_of_child(&mut self, link: &LinkRow<'_>) -> Option<String> {
        matches!(link.holder, LinkHolder::Partner(_)).then(|| self.alias())
    }

    /// The row that holds a link, which has an alias if it is the child's own, links the child.
    fn links_child(
        &mut self,
        physical: &Physical,
        relation: RelationRef,
        row: Option<&str>,
        child: &Node,
    ) -> &mut Self {
        match row {
            Some(row) => self.predicate(physical, relation.target, row, &child.filter()),
            None => self
                .push(physical.link_row(relation).partner)
                .push(" = ")
                .node(physical, relation.target, child),
        }
    }

    /// `exists (…)`: the partner that a column of a row names satisfies the filter.
    fn partner_exists(
        &mut self,
        physical: &Physical,
        target: ModelId,
        (row, column): (&str, &str),
        filter: &Filter,
    ) -> &mut Self {
        let partner = self.alias();
        self.push("exists (select 1 from ")
            .push(physical.table(target))
            .push(" ")
            .push(&partner);
        self.push(" where ")
            .column(&partner, physical.id(target))
            .push(" = ")
            .column(row, column);
        self.push(" and ")
            .predicate(physical, target, &partner, filter)
            .push(")")
    }

    /// The column of the row with that alias, or of a statement's only table.
    fn optional_column(&mut self, row: Option<&str>, column: &str) -> &mut Self {
        match row {
            Some(row) => self.column(row, column),
            None => self.push(column),
        }
    }

    fn stamps(&mut self, physical: &Physical, model: ModelId, stamps: &[WriterStamp]) -> &mut Self {
        for (field, text) in stamps {
            self.push(", ")
                .push(physical.column(model, *field))
                .push(" = ");
            self.bind(Param::Text(text.clone()));
        }
        self
    }
}
