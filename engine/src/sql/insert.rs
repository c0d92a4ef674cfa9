//! Statements that insert rows, one or several at once.

use super::physical::Physical;
use super::text::Sql;
use super::write::{Node, Returning};
use super::{Param, Statement};
use crate::datamodel::{FieldId, ModelId};

/// A new row.
#[derive(Debug)]
pub struct Insert<'a> {
    /// The row's model.
    pub model: ModelId,
    /// The columns that get a value; the others are null or have the database's default.
    pub values: Vec<(FieldId, Param)>,
    /// Quoted link columns of the row, the partner's model, and the partner.
    pub links: Vec<(&'a str, ModelId, Node)>,
}

/// Inserts a row. Returns its id and then each link as stored (null: that partner does not exist),
/// or all its columns.
pub fn insert(physical: &Physical, row: &Insert<'_>, returning: Returning) -> Statement {
    let mut sql = Sql::new();
    sql.insert(physical, row);
    if returning == Returning::Row {
        sql.push(" returning *");
        return sql.finish();
    }
    sql.push(" returning ")
        .push(physical.id(row.model))
        .push("::text");
    for (column, ..) in &row.links {
        sql.push(", ").push(column).push("::text");
    }
    sql.finish()
}

/// Inserts several rows by one statement, in their order: subscribers receive their events in this
/// order. Foreign keys among them are checked at its end. Returns one row with the requested links,
/// each by the position of its row and its quoted column.
pub fn insert_all(physical: &Physical, rows: &[Insert<'_>], links: &[(usize, &str)]) -> Statement {
    let mut sql = Sql::new();
    // PostgreSQL carries out what the main query does not read at the end, from the last to the
    // first (`lcons` in ExecInitModifyTable).
    for (i, row) in rows.iter().enumerate().rev() {
        sql.push(if i + 1 == rows.len() { "with " } else { ", " })
            .push(&format!("row{i} as ("));
        sql.insert(physical, row).push(" returning *)");
    }
    sql.push(" select ");
    let mut next = 0;
    for (i, (row, column)) in links.iter().enumerate() {
        sql.push(if i == 0 { "" } else { ", " });
        // What is read is carried out when it is: the rows before it first.
        let before = next..*row;
        for (n, earlier) in before.clone().enumerate() {
            sql.push(if n == 0 { "case when " } else { " and " });
            sql.push(&format!("exists (select from row{earlier}) is not null"));
        }
        sql.push(if before.is_empty() { "" } else { " then " });
        sql.push("(select ")
            .column(&format!("row{row}"), column)
            .push(&format!("::text from row{row})"));
        sql.push(if before.is_empty() { "" } else { " end" });
        next = next.max(row + 1);
    }
    if links.is_empty() {
        sql.push("1");
    }
    sql.finish()
}

impl Sql {
    fn insert(&mut self, physical: &Physical, row: &Insert<'_>) -> &mut Self {
        let Insert {
            model,
            values,
            links,
        } = row;
        self.push("insert into ").push(physical.table(*model));
        if values.is_empty() && links.is_empty() {
            return self.push(" default values");
        }
        let columns = values
            .iter()
            .map(|(f, _)| physical.column(*model, *f))
            .chain(links.iter().map(|l| l.0));
        for (i, column) in columns.enumerate() {
            self.push(if i == 0 { " (" } else { ", " }).push(column);
        }
        self.push(") values (");
        for (i, (_, param)) in values.iter().enumerate() {
            self.push(if i == 0 { "" } else { ", " })
                .bind(param.clone());
        }
        for (i, (_, target, node)) in links.iter().enumerate() {
            self.push(if i == 0 && values.is_empty() {
                ""
            } else {
                ", "
            })
            .node(physical, *target, node);
        }
        self.push(")")
    }
}
