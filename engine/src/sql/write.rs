//! Statements that write rows, lists and links. Each documents what it returns; all results are
//! text.

use super::filter::Filter;
use super::physical::{LinkAt, Physical};
use super::text::Sql;
use super::{Param, Statement};
use crate::datamodel::{Field, FieldId, FieldKind, ModelId, RelationRef, ScalarType};

/// A row that a statement refers to by a scalar expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The row with this id, whether or not it exists.
    Id(Param),
    /// The row that satisfies a filter which pins a unique value.
    Where(Filter),
    /// As `Where`, and locked against changes until the transaction ends.
    Held(Filter),
}

/// Which changes of the rows that a statement finds have to wait until the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// No lock.
    None,
    /// All changes; others may hold the same lock.
    Share,
    /// All changes and locks.
    Update,
}

/// The condition that rows are partners of a parent, along the parent's relation field.
#[derive(Debug, Clone, Copy)]
pub struct Linked<'a> {
    /// The relation, seen from the parent's field.
    pub relation: RelationRef,
    /// The model at the parent's end.
    pub parent_model: ModelId,
    /// The parent's id.
    pub parent: &'a Param,
}

impl Node {
    /// The condition that a row is this one.
    pub fn filter(&self) -> Filter {
        match self {
            Node::Id(id) => Filter::IdIs(id.clone()),
            Node::Where(filter) | Node::Held(filter) => filter.clone(),
        }
    }
}

/// What a statement that writes rows gives back of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    /// Its id.
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
    sql.push("update ")
        .push(physical.table(model))
        .push(" ")
        .push(&row)
        .push(" set ");
    for (i, (field, param)) in sets.iter().enumerate() {
        sql.push(if i > 0 { ", " } else { "" })
            .push(physical.column(model, *field))
            .push(" = ")
            .bind(param.clone());
    }
    sql.push(" where ")
        .matching(physical, model, &row, filter, linked)
        .push(" returning ");
    match returning {
        Returning::Id => sql.column(&row, physical.id(model)).push("::text"),
        Returning::Row => sql.push(&row).push(".*"),
    };
    sql.finish()
}

/// Records in the change log that the API updated a row of which no column is written.
pub fn log_update(physical: &Physical, model: ModelId, id: &Param) -> Statement {
    let mut sql = Sql::new();
    sql.push("insert into gom.change (schema_name, table_name, kind, node) values (");
    sql.bind(physical.schema_name())
        .push(", ")
        .bind(physical.model.model(model).table.as_str());
    sql.push(", 'T', ").bind(id.clone()).push(")");
    sql.finish()
}

/// Sets the writer that the jobs of this transaction record.
pub fn set_writer(who: String) -> Statement {
    let mut sql = Sql::new();
    sql.push("select set_config('gom.writer', ")
        .bind(Param::Text(who))
        .push(", true)");
    sql.finish()
}

/// Wraps a statement that returns one row for each changed row: returns how many there were.
pub fn counted(statement: Statement) -> Statement {
    let sql = format!(
        "with changed as ({}) select count(*)::text from changed",
        statement.sql
    );
    Statement {
        sql,
        params: statement.params,
    }
}

/// Returns the id of the row, and the same as an array literal. The row is locked against
/// concurrent changes until the transaction ends.
pub fn lock(physical: &Physical, model: ModelId, filter: &Filter) -> Statement {
    lock_as(physical, model, filter, Lock::Update)
}

/// As [`lock`], with another lock.
pub fn lock_as(physical: &Physical, model: ModelId, filter: &Filter, lock: Lock) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.id_and_array(physical, model, &row)
        .push(" from ")
        .push(physical.table(model));
    sql.push(" ")
        .push(&row)
        .push(" where ")
        .predicate(physical, model, &row, filter)
        .lock(lock);
    sql.finish()
}

/// Returns the id of a partner that satisfies the filter, and the same as an array literal.
pub fn find_partner(
    physical: &Physical,
    model: ModelId,
    filter: &Filter,
    linked: Linked<'_>,
    lock: Lock,
) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    sql.id_and_array(physical, model, &row)
        .push(" from ")
        .push(physical.table(model));
    sql.push(" ")
        .push(&row)
        .push(" where ")
        .matching(physical, model, &row, filter, Some(linked))
        .push(" limit 1")
        .lock(lock);
    sql.finish()
}

/// Returns the id of the row, the same as an array literal, and the id once more if the row is a
/// partner of the parent.
pub fn find_with_link(
    physical: &Physical,
    model: ModelId,
    filter: &Filter,
    linked: Linked<'_>,
    lock: Lock,
) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    let id = physical.id(model);
    sql.id_and_array(physical, model, &row).push(", case when ");
    sql.linked(physical, model, &row, linked)
        .push(" then ")
        .column(&row, id)
        .push("::text end from ");
    sql.push(physical.table(model))
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.predicate(physical, model, &row, filter).lock(lock);
    sql.finish()
}

/// Returns the ids of the rows as an array literal (null: no row), and how many there are. Locks
/// are taken in the order of the ids, so that two transactions that lock the same rows do not
/// deadlock.
pub fn find_ids(
    physical: &Physical,
    model: ModelId,
    filter: &Filter,
    linked: Option<Linked<'_>>,
    lock: Lock,
) -> Statement {
    let mut sql = Sql::new();
    let row = sql.alias();
    if lock != Lock::None {
        let found = sql.alias();
        let id = physical.id(model);
        sql.push("select array_agg(")
            .column(&found, "id")
            .push(")::text, count(*)::text from (select ");
        sql.column(&row, id)
            .push(" as id from ")
            .push(physical.table(model))
            .push(" ")
            .push(&row);
        sql.push(" where ")
            .matching(physical, model, &row, filter, linked)
            .push(" order by ");
        sql.column(&row, id).lock(lock).push(") ").push(&found);
        return sql.finish();
    }
    sql.push("select array_agg(")
        .column(&row, physical.id(model))
        .push(")::text, count(*)::text from ");
    sql.push(physical.table(model))
        .push(" ")
        .push(&row)
        .push(" where ");
    sql.matching(physical, model, &row, filter, linked);
    sql.finish()
}

/// Removes the values of a scalar list of the rows whose ids are in the array (or of the one row).
pub fn clear_list(
    physical: &Physical,
    model: ModelId,
    field: FieldId,
    nodes: &Filter,
) -> Statement {
    let mut sql = Sql::new();
    sql.push("delete from ")
        .push(physical.list_table(model, field))
        .push(" where \"nodeId\" = ");
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
    sql.push("insert into ")
        .push(physical.list_table(model, field));
    sql.push(
        " (\"nodeId\", \"position\", \"value\") select n.id, (v.i * 1000)::int, v.value from ",
    );
    match nodes {
        Filter::IdIn(ids) => sql
            .push("unnest(")
            .bind(ids.clone())
            .push("::")
            .push(id_type)
            .push("[]) n(id)"),
        Filter::IdIs(id) => sql
            .push("(select ")
            .bind(id.clone())
            .push("::")
            .push(id_type)
            .push(" as id) n"),
        _ => sql.push("(select null as id where false) n"),
    };
    sql.push(", unnest(")
        .bind(values)
        .push("::")
        .push(value_type(physical.model.field(model, field)));
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

impl Sql {
    /// The node's id as a scalar expression.
    pub(super) fn node(&mut self, physical: &Physical, model: ModelId, node: &Node) -> &mut Self {
        match node {
            Node::Id(id) => self
                .bind(id.clone())
                .push("::")
                .push(physical.id_type(model)),
            Node::Where(filter) | Node::Held(filter) => {
                let row = self.alias();
                self.push("(select ")
                    .column(&row, physical.id(model))
                    .push(" from ");
                self.push(physical.table(model))
                    .push(" ")
                    .push(&row)
                    .push(" where ");
                self.predicate(physical, model, &row, filter);
                self.lock(if matches!(node, Node::Held(_)) {
                    Lock::Share
                } else {
                    Lock::None
                })
                .push(")")
            }
        }
    }

    pub(super) fn lock(&mut self, lock: Lock) -> &mut Self {
        self.push(match lock {
            Lock::None => "",
            Lock::Share => " for share",
            Lock::Update => " for update",
        })
    }

    fn id_and_array(&mut self, physical: &Physical, model: ModelId, row: &str) -> &mut Self {
        let id = physical.id(model);
        self.push("select ")
            .column(row, id)
            .push("::text, array[")
            .column(row, id)
            .push("]::text")
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
    fn linked(
        &mut self,
        physical: &Physical,
        model: ModelId,
        row: &str,
        linked: Linked<'_>,
    ) -> &mut Self {
        let Linked {
            relation,
            parent_model,
            parent,
        } = linked;
        match physical.link(relation) {
            LinkAt::Own(column) => {
                self.column(row, physical.id(model))
                    .push(" = (select ")
                    .push(column)
                    .push(" from ");
                self.push(physical.table(parent_model))
                    .push(" where ")
                    .push(physical.id(parent_model));
                self.push(" = ").bind(parent.clone()).push(")")
            }
            LinkAt::Partner(column) => self.column(row, column).push(" = ").bind(parent.clone()),
            LinkAt::Table {
                table,
                own,
                partner,
                ..
            } => {
                let link = self.alias();
                self.push("exists (select 1 from ")
                    .push(table)
                    .push(" ")
                    .push(&link)
                    .push(" where ");
                self.column(&link, own)
                    .push(" = ")
                    .bind(parent.clone())
                    .push(" and ");
                self.column(&link, partner)
                    .push(" = ")
                    .column(row, physical.id(model))
                    .push(")")
            }
        }
    }
}
