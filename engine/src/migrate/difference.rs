//! What distinguishes a found layout from a wanted one, as values and in words. Knows neither how a
//! difference is found nor how it is removed.

use std::fmt;

use super::layout::{Column, ForeignKey, Index, SequenceLayout, Table};

/// One difference; the tables and columns are the wanted ones, or the found ones where nothing is
/// wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference<'a> {
    /// The schema does not exist.
    MissingSchema {
        /// The schema's name.
        name: &'a str,
    },
    /// A sequence does not exist.
    MissingSequence {
        /// The sequence.
        sequence: &'a SequenceLayout,
    },
    /// A table does not exist.
    MissingTable {
        /// The table.
        table: &'a Table,
    },
    /// The datamodel has no such table.
    UnknownTable {
        /// The table.
        table: &'a Table,
    },
    /// A column does not exist.
    MissingColumn {
        /// The table.
        table: &'a Table,
        /// The column.
        column: &'a Column,
    },
    /// The datamodel has no such column.
    UnknownColumn {
        /// The table.
        table: &'a Table,
        /// The column.
        column: &'a Column,
    },
    /// A column has another type.
    Type {
        /// The table.
        table: &'a Table,
        /// The column as it should be.
        wanted: &'a Column,
        /// What the database has.
        found: &'a Column,
    },
    /// The column may hold null, or may not, against the datamodel.
    Nullability {
        /// The table.
        table: &'a Table,
        /// The column.
        column: &'a Column,
    },
    /// The column does not draw its values from its sequence.
    MissingDefault {
        /// The table.
        table: &'a Table,
        /// The column.
        column: &'a Column,
        /// The sequence.
        sequence: &'a str,
    },
    /// The primary key has other columns.
    PrimaryKey {
        /// The table.
        table: &'a Table,
        /// What the database has.
        found: &'a Table,
    },
    /// A foreign key does not exist.
    MissingForeignKey {
        /// The table.
        table: &'a Table,
        /// The foreign key.
        key: &'a ForeignKey,
    },
    /// The datamodel has no such foreign key.
    UnknownForeignKey {
        /// The table.
        table: &'a Table,
        /// The foreign key.
        key: &'a ForeignKey,
    },
    /// No index serves in place of a wanted one.
    MissingIndex {
        /// The table.
        table: &'a Table,
        /// The index.
        index: &'a Index,
    },
    /// A unique index that the datamodel no longer declares, or one of our own that nothing needs
    /// any more.
    UnneededIndex {
        /// The table.
        table: &'a Table,
        /// The index.
        index: &'a Index,
    },
}

impl fmt::Display for Difference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::MissingSchema { name } => write!(f, "the schema `{name}` is missing"),
            Difference::MissingSequence { sequence } => {
                write!(f, "the sequence `{}` is missing", sequence.name)
            }
            Difference::MissingTable { table } => {
                write!(f, "the table `{}` is missing", table.name)
            }
            Difference::UnknownTable { table } => {
                write!(f, "the table `{}` is not in the datamodel", table.name)
            }
            Difference::MissingColumn { table, column } => {
                write!(f, "the column `{}.{}` is missing", table.name, column.name)
            }
            Difference::UnknownColumn { table, column } => {
                write!(
                    f,
                    "the column `{}.{}` is not in the datamodel",
                    table.name, column.name
                )
            }
            Difference::Type {
                table,
                wanted,
                found,
            } => write!(
                f,
                "the column `{}.{}` is of type {}, it should be {}",
                table.name, wanted.name, found.sql_type, wanted.sql_type
            ),
            Difference::Nullability { table, column } => {
                let (is, should) = match column.nullable {
                    true => ("forbids null", "allow it"),
                    false => ("allows null", "forbid it"),
                };
                write!(
                    f,
                    "the column `{}.{}` {is}, it should {should}",
                    table.name, column.name
                )
            }
            Difference::MissingDefault {
                table,
                column,
                sequence,
            } => {
                write!(
                    f,
                    "the column `{}.{}` is not numbered by `{sequence}`",
                    table.name, column.name
                )
            }
            Difference::PrimaryKey { table, found } => write!(
                f,
                "the primary key of `{}` is ({}), it should be ({})",
                table.name,
                found.primary_key.join(", "),
                table.primary_key.join(", ")
            ),
            Difference::MissingForeignKey { table, key } => {
                write!(f, "the foreign key {} is missing", DescribedKey(table, key))
            }
            Difference::UnknownForeignKey { table, key } => {
                write!(
                    f,
                    "the foreign key {} is not in the datamodel",
                    DescribedKey(table, key)
                )
            }
            Difference::MissingIndex { table, index } => {
                let kind = if index.unique {
                    "unique index"
                } else {
                    "index"
                };
                write!(
                    f,
                    "the {kind} on `{}` ({}) is missing",
                    table.name,
                    describe_columns(index)
                )
            }
            Difference::UnneededIndex { table, index } => {
                let kind = if index.unique {
                    "unique index"
                } else {
                    "index"
                };
                let columns = describe_columns(index);
                write!(
                    f,
                    "the {kind} `{}` on `{}` ({columns}) is not needed",
                    index.name, table.name
                )
            }
        }
    }
}

/// A foreign key in words.
pub(super) struct DescribedKey<'a>(pub &'a Table, pub &'a ForeignKey);

impl fmt::Display for DescribedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DescribedKey(table, key) = self;
        let (columns, targets) = (key.columns.join(", "), key.target_columns.join(", "));
        let rule = key.on_delete.sql();
        write!(
            f,
            "`{}` ({columns}) to `{}` ({targets}) on delete {rule}",
            table.name, key.target_table
        )
    }
}

/// `a, b desc`.
pub(super) fn describe_columns(index: &Index) -> String {
    let columns = index.columns.iter();
    let columns = columns.map(|c| {
        if c.descending {
            format!("{} desc", c.name)
        } else {
            c.name.clone()
        }
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// A table or column that is not in the datamodel, was never Gom's, and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftAlone {
    pub(super) what: String,
    /// It is a column without which no row can be created.
    pub forbids_rows: bool,
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match self.forbids_rows {
            true => f.write_str(", which forbids null and has no default: no row can be created"),
            false => Ok(()),
        }
    }
}
