//! Primary keys and indexes, and the rows that would share what has to be unique.

use super::{MigrationPlanner, Phase};
use crate::migrate::difference::describe_columns;
use crate::migrate::layout::{Index, Table};
use crate::migrate::misfits::{DataCheck, Severity};
use crate::migrate::names::free_name;

impl MigrationPlanner<'_> {
    pub(super) fn change_primary_key(&mut self, wanted: &Table, found: &Table) {
        if let Some(name) = &found.primary_key_name {
            self.suspend_keys(|_, key| key.target_table == wanted.name);
            let description = format!("drop the primary key of `{}`", wanted.name);
            self.push(
                Phase::DropPrimaryKey,
                description,
                self.ddl.drop_constraint(wanted, name),
            );
        }
        let columns = wanted.primary_key.join(", ");
        self.check_uniqueness(
            wanted,
            &wanted.primary_key,
            format!(
                "`{}` ({columns}) becomes the primary key, but rows share a value",
                wanted.name
            ),
        );
        let description = format!("make ({columns}) the primary key of `{}`", wanted.name);
        self.push(
            Phase::AddPrimaryKey,
            description,
            self.ddl.add_primary_key(wanted),
        );
    }

    pub(super) fn create_index(&mut self, table: &Table, index: &Index) {
        let name = free_name(&index.name, |name| self.taken.contains(name));
        self.taken.insert(name.clone());
        let kind = if index.unique {
            "unique index"
        } else {
            "index"
        };
        let description = format!(
            "create the {kind} `{name}` on `{}` ({})",
            table.name,
            describe_columns(index)
        );
        let sql = self.ddl.create_index(table, index, &name);
        if index.unique {
            let columns: Vec<String> = index.column_names().map(str::to_owned).collect();
            let problem = format!(
                "`{}` ({}) becomes unique, but rows share a value",
                table.name,
                describe_columns(index)
            );
            self.check_uniqueness(table, &columns, problem);
        }
        self.push(Phase::CreateIndex, description, sql);
    }

    /// Rows that will share the values of these columns.
    fn check_uniqueness(&mut self, table: &Table, columns: &[String], problem: String) {
        let Some(found) = self.found.table(&table.name) else {
            return;
        };
        let values: Option<Vec<String>> = columns
            .iter()
            .map(|column| self.value_after(table, column))
            .collect();
        // A column that comes without values shares none.
        let Some(values) = values else { return };
        let query = self.queries.duplicates(found, &values);
        let counted = ("value".to_owned(), "values".to_owned());
        let remedy = "change or remove them first".to_owned();
        self.checks.push(DataCheck {
            query,
            problem,
            counted,
            remedy,
            gravity: Severity::Blocks,
            known: false,
        });
    }

    /// What a column will hold of a row `t`; nothing for a column that comes without values.
    fn value_after(&self, table: &Table, column: &str) -> Option<String> {
        let place = (table.name.clone(), column.to_owned());
        let lost = self.lost.get(&place);
        let wanted = table.column(column)?;
        let stored = match self.values.get(&place) {
            Some(value) => Some(value.clone()),
            None => self
                .found
                .table(&table.name)?
                .column(column)
                .map(|_| self.queries.of_row(&table.name, column)),
        };
        let kept = match (stored, lost.map(String::as_str)) {
            (None, _) | (_, Some("true")) => None,
            (Some(value), None) => Some(value),
            (Some(value), Some(lost)) => Some(format!("CASE WHEN NOT ({lost}) THEN {value} END")),
        };
        let fill = wanted.fill.as_ref().filter(|_| !wanted.nullable);
        match (kept, fill) {
            (Some(value), Some(fill)) => Some(format!(
                "coalesce({value}, CAST({fill} AS {}))",
                wanted.sql_type
            )),
            (Some(value), None) => Some(value),
            (None, Some(fill)) => Some(format!("CAST({fill} AS {})", wanted.sql_type)),
            (None, None) => None,
        }
    }
}
