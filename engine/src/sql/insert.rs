//! Statements that insert rows, one or several at once.

use super::physical::Physical;
use super::text::Sql;
use super::write::{Node, Returning};
use crate::datamodel::{FieldId, ModelId};
use crate::plan::{Param, Statement};

/// A new row.
#[derive(Debug)]
pub struct Insert<'a> {
    pub model: ModelId,
    pub values: Vec<(FieldId, Param)>,
    /// Quoted link columns of the row, the partner's model, and the partner.
    pub links: Vec<(&'a str, ModelId, Node)>,
}

/// Inserts a row. Returns its id and then each link as stored (null: that partner does not exist), or all its
/// columns.
pub fn insert(physical: &Physical, row: &Insert<'_>, returning: Returning) -> Statement {
    let mut sql = Sql::new();
    sql.insert(physical, row);
    if returning == Returning::Row {
        sql.push(" returning *");
        return sql.finish();
    }
    sql.push(" returning ").push(physical.id(row.model)).push("::text");
    for (column, ..) in &row.links {
        sql.push(", ").push(column).push("::text");
    }
    sql.finish()
}

/// Inserts several rows by one statement; foreign keys among them are checked at its end. Returns one row with
/// the links asked for, each by the position of its row and its quoted column.
pub fn insert_all(physical: &Physical, rows: &[Insert<'_>], links: &[(usize, &str)]) -> Statement {
    let mut sql = Sql::new();
    for (i, row) in rows.iter().enumerate() {
        sql.push(if i == 0 { "with " } else { ", " }).push(&format!("row{i} as ("));
        sql.insert(physical, row).push(" returning *)");
    }
    sql.push(" select ");
    for (i, (row, column)) in links.iter().enumerate() {
        sql.push(if i == 0 { "" } else { ", " }).column(&format!("row{row}"), column).push("::text");
    }
    if links.is_empty() {
        sql.push("1");
    }
    let mut shown: Vec<usize> = links.iter().map(|(row, _)| *row).collect();
    shown.dedup();
    for (i, row) in shown.iter().enumerate() {
        sql.push(if i == 0 { " from " } else { ", " }).push(&format!("row{row}"));
    }
    sql.finish()
}

impl Sql {
    fn insert(&mut self, physical: &Physical, row: &Insert<'_>) -> &mut Self {
        let Insert { model, values, links } = row;
        self.push("insert into ").push(physical.table(*model));
        if values.is_empty() && links.is_empty() {
            return self.push(" default values");
        }
        let columns =
            values.iter().map(|(f, _)| physical.column(*model, *f)).chain(links.iter().map(|l| l.0));
        for (i, column) in columns.enumerate() {
            self.push(if i == 0 { " (" } else { ", " }).push(column);
        }
        self.push(") values (");
        for (i, (_, param)) in values.iter().enumerate() {
            self.push(if i == 0 { "" } else { ", " }).bind(param.clone());
        }
        for (i, (_, target, node)) in links.iter().enumerate() {
            self.push(if i == 0 && values.is_empty() { "" } else { ", " }).node(physical, *target, node);
        }
        self.push(")")
    }
}
