//! Requested renames: none is guessed from similarity. They are applied to the found layout first,
//! so that the comparison reads the layout that the database will have.

use std::fmt;
use std::str::FromStr;

use super::compare::MigrationTarget;
use super::ends;
use super::kept_renames::{moves_column, moves_table};
use super::layout::{DatabaseLayout, TablePurpose};
use super::names::quote_identifier;
use super::rows::OriginalNames;
use super::step::MigrationStep;

/// `Table=NewTable` or `Table.column=newColumn`; the names are those of tables and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// As it stands in the database, or as another rename of the same run calls it.
    pub table: String,
    /// The column's present name; `None` if the table is renamed.
    pub column: Option<String>,
    /// The new name of the table or column.
    pub new_name: String,
    /// Of a file that travels with the datamodel ([`super::read_renames`]): passed over unless it
    /// is to be done.
    pub kept: bool,
}

/// Why a rename cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameError {
    message: String,
}

impl fmt::Display for RenameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RenameError {}

fn error<T>(message: String) -> Result<T, RenameError> {
    Err(RenameError { message })
}

impl FromStr for Rename {
    type Err = RenameError;

    fn from_str(text: &str) -> Result<Self, RenameError> {
        let form = "a rename is `Table=NewTable` or `Table.column=newColumn`";
        let Some((old, new_name)) = text.split_once('=') else {
            return error(format!("`{text}` has no `=`; {form}"));
        };
        let (table, column) = match old.split_once('.') {
            Some((table, column)) => (table, Some(column.to_string())),
            None => (old, None),
        };
        // `Order.stage=Order.status` is meant well.
        let new_name = match &column {
            Some(_) => new_name
                .strip_prefix(&format!("{table}."))
                .unwrap_or(new_name),
            None => new_name,
        };
        if table.is_empty() || new_name.is_empty() || column.as_deref() == Some("") {
            return error(format!("`{text}` lacks a name; {form}"));
        }
        Ok(Rename {
            table: table.to_string(),
            column,
            new_name: new_name.to_string(),
            kept: false,
        })
    }
}

impl Rename {
    /// Whether it changes no name.
    pub(super) fn is_noop(&self) -> bool {
        self.column.as_deref().unwrap_or(&self.table) == self.new_name
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "{}.{column}={}", self.table, self.new_name),
            None => write!(f, "{}={}", self.table, self.new_name),
        }
    }
}

/// Applies the renames to `found`, with what changes places because of them, and returns their
/// steps and what everything is called until they are done.
///
/// # Errors
/// When a name to be changed is not there, is taken, or the new one is not in the datamodel.
pub(super) fn apply(
    target: &MigrationTarget<'_>,
    found: &mut DatabaseLayout,
    renames: &[Rename],
) -> Result<(Vec<MigrationStep>, OriginalNames), RenameError> {
    let wanted = target.wanted;
    let mut steps = Renaming::default();
    let (columns, tables): (Vec<_>, Vec<_>) = renames.iter().partition(|r| r.column.is_some());
    let tables: Vec<_> = tables
        .into_iter()
        .filter(|r| !r.kept || moves_table(wanted, found, &r.table, &r.new_name))
        .collect();
    for rename in &tables {
        let lists = rename_table(wanted, found, &rename.table, &rename.new_name, &mut steps)?;
        for (old, new) in lists {
            rename_table(wanted, found, &old, &new, &mut steps)?;
        }
    }
    for rename in columns {
        // The table may go by its old name or by the one that it has just got.
        let moved = tables
            .iter()
            .find(|t| t.table == rename.table)
            .map(|t| t.new_name.as_str());
        let table = moved.unwrap_or(&rename.table);
        let column = rename.column.as_deref().unwrap_or_default();
        // A list has no column: its table carries the field's name, and perhaps still the old
        // table's.
        let earlier = tables
            .iter()
            .filter(|t| t.new_name == table)
            .map(|t| t.table.as_str());
        let mut lists = [table, &rename.table]
            .into_iter()
            .chain(earlier)
            .map(|name| format!("{name}_{column}"));
        let list = lists.find(|list| found.table(list).is_some());
        let has_column = found
            .table(table)
            .is_some_and(|t| t.column(column).is_some());
        match list.filter(|_| !has_column) {
            Some(list) => {
                let new_list = format!("{table}_{}", rename.new_name);
                if !rename.kept || moves_table(wanted, found, &list, &new_list) {
                    rename_table(wanted, found, &list, &new_list, &mut steps)?;
                }
            }
            None if rename.kept && !moves_column(wanted, found, table, rename) => {}
            None => rename_column(wanted, found, table, column, &rename.new_name, &mut steps)?,
        }
    }
    ends::swap(target, found, &mut steps);
    Ok((steps.steps, steps.origins))
}

#[derive(Default)]
pub(super) struct Renaming {
    steps: Vec<MigrationStep>,
    pub(super) origins: OriginalNames,
}

impl Renaming {
    pub(super) fn push(&mut self, step: MigrationStep) {
        self.steps.push(step);
    }
}

/// The scalar lists of a renamed table, which are called after it.
type Lists = Vec<(String, String)>;

fn rename_table(
    wanted: &DatabaseLayout,
    found: &mut DatabaseLayout,
    old: &str,
    new: &str,
    steps: &mut Renaming,
) -> Result<Lists, RenameError> {
    if found.table(old).is_none() {
        return error(format!(
            "cannot rename the table `{old}`: the database has none"
        ));
    }
    if found.table(new).is_some() {
        return error(format!(
            "cannot rename the table `{old}` to `{new}`: there is one already"
        ));
    }
    if wanted.table(new).is_none() {
        return error(format!(
            "cannot rename the table `{old}` to `{new}`: the datamodel has no such table"
        ));
    }
    steps.push(MigrationStep::harmless(
        format!("rename the table `{old}` to `{new}`"),
        format!(
            "ALTER TABLE {} RENAME TO {}",
            qualified(wanted, old),
            quote_identifier(new)
        ),
    ));
    steps.origins.rename_table(old, new);
    for table in &mut found.tables {
        if table.name == old {
            table.name = new.to_string();
        }
        for key in table
            .foreign_keys
            .iter_mut()
            .filter(|k| k.target_table == old)
        {
            key.target_table = new.to_string();
        }
    }
    let lists = wanted
        .tables
        .iter()
        .filter(|t| t.purpose == TablePurpose::ScalarList);
    let lists = lists.filter_map(|list| {
        let field = list.name.strip_prefix(new)?.strip_prefix('_')?;
        let old_list = format!("{old}_{field}");
        let is_there = found.table(&old_list).is_some() && found.table(&list.name).is_none();
        is_there.then(|| (old_list, list.name.clone()))
    });
    Ok(lists.collect())
}

fn rename_column(
    wanted: &DatabaseLayout,
    found: &mut DatabaseLayout,
    table: &str,
    old: &str,
    new: &str,
    steps: &mut Renaming,
) -> Result<(), RenameError> {
    let Some(found_table) = found.table(table) else {
        return error(format!(
            "cannot rename the column `{table}.{old}`: the database has no table `{table}`"
        ));
    };
    if found_table.column(old).is_none() {
        return error(format!(
            "cannot rename the column `{table}.{old}`: the database has none"
        ));
    }
    if found_table.column(new).is_some() {
        return error(format!(
            "cannot rename the column `{table}.{old}` to `{new}`: there is one already"
        ));
    }
    if wanted.table(table).and_then(|t| t.column(new)).is_none() {
        let message = format!("cannot rename the column `{table}.{old}` to `{new}`");
        return error(format!("{message}: the datamodel has no such column"));
    }
    steps.push(rename_step(wanted, table, old, new));
    steps.origins.rename_column(table, old, new);
    record_column(found, table, old, new);
    Ok(())
}

pub(super) fn rename_step(
    wanted: &DatabaseLayout,
    table: &str,
    old: &str,
    new: &str,
) -> MigrationStep {
    MigrationStep::harmless(
        format!("rename the column `{table}.{old}` to `{new}`"),
        format!(
            "ALTER TABLE {} RENAME COLUMN {} TO {}",
            qualified(wanted, table),
            quote_identifier(old),
            quote_identifier(new)
        ),
    )
}

/// Writes the column's new name wherever the layout mentions the old one.
pub(super) fn record_column(found: &mut DatabaseLayout, table: &str, old: &str, new: &str) {
    let rename = |name: &mut String| {
        if name == old {
            *name = new.to_string();
        }
    };
    for other in &mut found.tables {
        for key in other
            .foreign_keys
            .iter_mut()
            .filter(|k| k.target_table == table)
        {
            key.target_columns.iter_mut().for_each(rename);
        }
        if other.name == table {
            other.columns.iter_mut().for_each(|c| rename(&mut c.name));
            other.primary_key.iter_mut().for_each(rename);
            other
                .foreign_keys
                .iter_mut()
                .flat_map(|k| &mut k.columns)
                .for_each(rename);
            other
                .indexes
                .iter_mut()
                .flat_map(|i| &mut i.columns)
                .for_each(|c| rename(&mut c.name));
        }
    }
}

pub(super) fn qualified(wanted: &DatabaseLayout, table: &str) -> String {
    format!(
        "{}.{}",
        quote_identifier(&wanted.schema),
        quote_identifier(table)
    )
}
