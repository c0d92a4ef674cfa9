//! The statements of a migration, one function for each kind. Knows no order and no reasons.

use super::change_log::TRIGGER;
use super::layout::{Column, ColumnDefault, ForeignKey, Index, SequenceLayout, Table};
use super::names::{quote_identifier, quote_literal};

/// Writes statements for one schema.
pub(super) struct Ddl<'a> {
    pub schema: &'a str,
}

impl Ddl<'_> {
    fn qualified(&self, name: &str) -> String {
        format!(
            "{}.{}",
            quote_identifier(self.schema),
            quote_identifier(name)
        )
    }

    fn alter(&self, table: &Table, action: &str) -> String {
        format!("ALTER TABLE {} {action}", self.qualified(&table.name))
    }

    fn alter_column(&self, table: &Table, column: &Column, action: &str) -> String {
        self.alter(
            table,
            &format!("ALTER COLUMN {} {action}", quote_identifier(&column.name)),
        )
    }

    pub(super) fn create_schema(&self) -> String {
        format!(
            "CREATE SCHEMA IF NOT EXISTS {}",
            quote_identifier(self.schema)
        )
    }

    pub(super) fn create_sequence(&self, sequence: &SequenceLayout) -> String {
        format!(
            "CREATE SEQUENCE {} START {} INCREMENT {}",
            self.qualified(&sequence.name),
            sequence.start,
            sequence.increment
        )
    }

    pub(super) fn own_sequence(&self, sequence: &SequenceLayout) -> Option<String> {
        let (table, column) = sequence.owner.as_ref()?;
        Some(format!(
            "ALTER SEQUENCE {} OWNED BY {}.{}",
            self.qualified(&sequence.name),
            self.qualified(table),
            quote_identifier(column)
        ))
    }

    pub(super) fn create_table(&self, table: &Table) -> String {
        let mut parts: Vec<String> = table
            .columns
            .iter()
            .map(|c| format!("  {}", self.column(c)))
            .collect();
        if !table.primary_key.is_empty() {
            parts.push(format!(
                "  PRIMARY KEY ({})",
                identifiers(&table.primary_key)
            ));
        }
        format!(
            "CREATE TABLE {} (\n{}\n)",
            self.qualified(&table.name),
            parts.join(",\n")
        )
    }

    fn column(&self, column: &Column) -> String {
        let mut text = format!("{} {}", quote_identifier(&column.name), column.sql_type);
        if !column.nullable {
            text.push_str(" NOT NULL");
        }
        if let Some(ColumnDefault::NextValue(sequence)) = &column.default {
            text.push_str(" DEFAULT ");
            text.push_str(&self.next_value(sequence));
        }
        text
    }

    fn next_value(&self, sequence: &str) -> String {
        format!(
            "nextval({}::regclass)",
            quote_literal(&self.qualified(sequence))
        )
    }

    pub(super) fn drop_table(&self, table: &Table) -> String {
        format!("DROP TABLE {}", self.qualified(&table.name))
    }

    /// Existing rows of a required column get its fill; the default stays only where a sequence
    /// makes it.
    pub(super) fn add_column(&self, table: &Table, column: &Column) -> String {
        let add = self.alter(table, &format!("ADD COLUMN {}", self.column(column)));
        match &column.fill {
            Some(fill) if !column.nullable && column.default.is_none() => {
                let drop = self.alter_column(table, column, "DROP DEFAULT");
                format!("{add} DEFAULT {fill};\n{drop}")
            }
            _ => add,
        }
    }

    pub(super) fn drop_column(&self, table: &Table, column: &Column) -> String {
        self.alter(
            table,
            &format!("DROP COLUMN {}", quote_identifier(&column.name)),
        )
    }

    pub(super) fn change_type(
        &self,
        table: &Table,
        wanted: &Column,
        found: &Column,
        using: &str,
    ) -> String {
        let change = self.alter_column(
            table,
            wanted,
            &format!("TYPE {} USING {using}", wanted.sql_type),
        );
        match (&found.default, &wanted.default) {
            (Some(_), None) => format!(
                "{};\n{change}",
                self.alter_column(table, wanted, "DROP DEFAULT")
            ),
            _ => change,
        }
    }

    pub(super) fn drop_not_null(&self, table: &Table, column: &Column) -> String {
        self.alter_column(table, column, "DROP NOT NULL")
    }

    pub(super) fn set_not_null(&self, table: &Table, column: &Column) -> String {
        let set = self.alter_column(table, column, "SET NOT NULL");
        let name = quote_identifier(&column.name);
        match &column.fill {
            Some(fill) => {
                let fill = format!(
                    "UPDATE {} SET {name} = {fill} WHERE {name} IS NULL",
                    self.qualified(&table.name)
                );
                format!("{};\n{set}", self.without_log(table, &fill))
            }
            None => set,
        }
    }

    /// A statement whose changes of rows are not logged: a fill is no event, and causes no
    /// notification. The trigger names the columns of the datamodel before, too, some of which may
    /// be dropped or renamed by now. A table whose changes are not logged yet has no trigger.
    fn without_log(&self, table: &Table, statement: &str) -> String {
        let turn = |how: &str| {
            let alter = self.alter(table, &format!("{how} TRIGGER {TRIGGER}"));
            format!(
                "DO {}",
                quote_literal(&format!(
                    "BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgrelid = {}::regclass \
                     AND tgname = '{TRIGGER}') THEN {alter}; END IF; END",
                    quote_literal(&self.qualified(&table.name)),
                ))
            )
        };
        format!("{};\n{statement};\n{}", turn("DISABLE"), turn("ENABLE"))
    }

    /// Numbering goes on after the highest number that is there.
    pub(super) fn set_default(&self, table: &Table, column: &Column, sequence: &str) -> String {
        let next = self.next_value(sequence);
        let default = self.alter_column(table, column, &format!("SET DEFAULT {next}"));
        format!(
            "SELECT setval({}::regclass, max({name})) FROM {} HAVING max({name}) IS NOT NULL;\n{default}",
            quote_literal(&self.qualified(sequence)),
            self.qualified(&table.name),
            name = quote_identifier(&column.name)
        )
    }

    pub(super) fn add_primary_key(&self, table: &Table) -> String {
        self.alter(
            table,
            &format!("ADD PRIMARY KEY ({})", identifiers(&table.primary_key)),
        )
    }

    pub(super) fn drop_constraint(&self, table: &Table, name: &str) -> String {
        self.alter(
            table,
            &format!("DROP CONSTRAINT {}", quote_identifier(name)),
        )
    }

    pub(super) fn add_foreign_key(&self, table: &Table, key: &ForeignKey, name: &str) -> String {
        self.alter(
            table,
            &format!(
                "ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {}",
                quote_identifier(name),
                identifiers(&key.columns),
                self.qualified(&key.target_table),
                identifiers(&key.target_columns),
                key.on_delete.sql()
            ),
        )
    }

    pub(super) fn create_index(&self, table: &Table, index: &Index, name: &str) -> String {
        let columns = index.columns.iter().map(|c| {
            let direction = if c.descending { " DESC" } else { "" };
            format!("{}{direction}", quote_identifier(&c.name))
        });
        format!(
            "CREATE {}INDEX {} ON {} ({})",
            if index.unique { "UNIQUE " } else { "" },
            quote_identifier(name),
            self.qualified(&table.name),
            columns.collect::<Vec<_>>().join(", ")
        )
    }

    pub(super) fn drop_index(&self, index: &Index) -> String {
        format!("DROP INDEX {}", self.qualified(&index.name))
    }

    /// Leaves no value in a column, and gives it its type. Fires no trigger.
    pub(super) fn empty(&self, table: &Table, column: &Column) -> String {
        self.alter_column(
            table,
            column,
            &format!("TYPE {} USING NULL", column.sql_type),
        )
    }

    /// Takes the links out of a column that lead to no row of the target.
    pub(super) fn unlink(&self, table: &Table, column: &Column, key: &ForeignKey) -> String {
        let name = quote_identifier(&column.name);
        let unlink = format!(
            "UPDATE {} t SET {name} = NULL WHERE {}",
            self.qualified(&table.name),
            self.leads_nowhere(column, key)
        );
        self.without_log(table, &unlink)
    }

    /// Removes rows whose links lead to no row of the target.
    pub(super) fn remove_links(&self, table: &Table, column: &Column, key: &ForeignKey) -> String {
        self.delete(table, &self.leads_nowhere(column, key))
    }

    /// Removes all rows, and gives the column of links its type.
    pub(super) fn remove_all_links(
        &self,
        table: &Table,
        column: &Column,
        same_type: bool,
    ) -> String {
        let delete = self.delete(table, "true");
        match same_type {
            true => delete,
            // No row is left for the value, so the column may forbid null.
            false => format!("{delete};\n{}", self.empty(table, column)),
        }
    }

    fn leads_nowhere(&self, column: &Column, key: &ForeignKey) -> String {
        let name = quote_identifier(&column.name);
        let ids: Vec<String> = key
            .target_columns
            .iter()
            .map(|id| format!("p.{}", quote_identifier(id)))
            .collect();
        format!(
            "t.{name} IS NOT NULL AND NOT EXISTS (SELECT FROM {} p WHERE ({}) = (t.{name}))",
            self.qualified(&key.target_table),
            ids.join(", ")
        )
    }

    /// Removes rows, called `t` in the condition.
    pub(super) fn delete(&self, table: &Table, condition: &str) -> String {
        self.without_log(
            table,
            &format!(
                "DELETE FROM {} t WHERE {condition}",
                self.qualified(&table.name)
            ),
        )
    }
}

fn identifiers(names: &[String]) -> String {
    names
        .iter()
        .map(|n| quote_identifier(n))
        .collect::<Vec<_>>()
        .join(", ")
}
