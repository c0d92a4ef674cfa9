//! Columns that come, change their type, or begin or cease to hold null.

use super::{MigrationPlanner, Phase};
use crate::migrate::convert::conversion;
use crate::migrate::layout::{Column, Table, TablePurpose};
use crate::migrate::names::quote_identifier;

impl MigrationPlanner<'_> {
    pub(super) fn add_column(&mut self, table: &Table, column: &Column) {
        let description = format!(
            "add the column `{}.{}` ({})",
            table.name, column.name, column.sql_type
        );
        if !column.nullable && column.fill.is_none() && column.default.is_none() {
            let problem = format!(
                "`{}.{}` is required and has no default, but there are rows",
                table.name, column.name
            );
            self.check(
                table,
                "true",
                problem,
                "make the field optional, or give it a `@default`",
            );
        }
        self.push(
            Phase::AddColumn,
            description,
            self.ddl.add_column(table, column),
        );
    }

    pub(super) fn change_type(&mut self, table: &Table, wanted: &Column, found: &Column) {
        self.suspend_keys(|owner, key| {
            (owner.name == table.name && key.columns.contains(&found.name))
                || (key.target_table == table.name && key.target_columns.contains(&found.name))
        });
        if self.is_retargeted(table, wanted) {
            // What empties the column changes its type, too.
            return;
        }
        let description = format!(
            "change the type of `{}.{}` from {} to {}",
            table.name, wanted.name, found.sql_type, wanted.sql_type
        );
        let value = self.queries.of_row(&table.name, &wanted.name);
        let before = conversion(&value, &found.sql_type, &wanted.sql_type);
        let loss = before.changes(&value).and_then(|changed| {
            let reason = "values that do not fit the new type are lost, others are rounded";
            self.loss(table, reason, &changed)
        });
        let place = (table.name.clone(), wanted.name.clone());
        self.values.insert(place.clone(), before.value());
        let fill = wanted.fill.as_ref().filter(|_| !wanted.nullable);
        if let Some(lost) = before.loses(&value).filter(|_| fill.is_none()) {
            if !wanted.nullable && table.purpose != TablePurpose::ScalarList {
                let problem = format!(
                    "`{}.{}` is required, but there are values that are not of type {}",
                    table.name, wanted.name, wanted.sql_type
                );
                let remedy = "change them, make the field optional, or give it a `@default`";
                self.check(table, &lost, problem, remedy);
            }
            self.lost.insert(place, lost);
        }
        let name = quote_identifier(&wanted.name);
        let after = conversion(&name, &found.sql_type, &wanted.sql_type);
        let using = match fill {
            Some(fill) if after.fits.is_some() => {
                format!(
                    "CASE WHEN {name} IS NOT NULL THEN coalesce({}, {fill}) END",
                    after.value()
                )
            }
            _ => after.value(),
        };
        let mut sql = self.ddl.change_type(table, wanted, found, &using);
        if let (TablePurpose::ScalarList, Some(fits)) = (table.purpose, &after.fits) {
            // The items of a list cannot be null.
            sql = format!(
                "{};\n{sql}",
                self.ddl.delete(table, &format!("NOT ({fits})"))
            );
        }
        self.push(Phase::AlterColumn, description, sql).data_loss = loss;
    }

    pub(super) fn change_nullability(&mut self, table: &Table, column: &Column) {
        let name = format!("`{}.{}`", table.name, column.name);
        if column.nullable {
            let sql = self.ddl.drop_not_null(table, column);
            self.push(Phase::AllowNull, format!("let {name} hold null"), sql);
            return;
        }
        let description = match &column.fill {
            Some(fill) => format!("make {name} required; rows without a value get {fill}"),
            None => {
                let problem =
                    format!("{name} becomes required, but there are rows without a value");
                let empty = format!("{} IS NULL", self.queries.of_row(&table.name, &column.name));
                self.check(
                    table,
                    &empty,
                    problem,
                    "give them one, or give the field a `@default`",
                );
                format!("make {name} required")
            }
        };
        self.push(
            Phase::AlterColumn,
            description,
            self.ddl.set_not_null(table, column),
        );
    }
}
