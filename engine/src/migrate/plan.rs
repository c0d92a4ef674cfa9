//! From differences to steps: what has to be done, in an order that PostgreSQL accepts, and what it costs.
//! Knows nothing of how the differences were found.

use std::collections::HashSet;

use super::compare::{DescribedKey, Difference, describe_columns, differences};
use super::ddl::Ddl;
use super::layout::{Column, DatabaseLayout, ForeignKey, Index, Table};
use super::names::free_name;
use super::rename::{self, Rename, RenameError};

/// One step of a migration; steps are run in order, all in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStep {
    /// What it does, for people.
    pub description: String,
    /// One or more statements, separated by semicolons, without parameters.
    pub sql: String,
    /// Why running it may destroy data; such a step needs permission.
    pub data_loss: Option<String>,
    /// What would make the step fail, looked at before it is run.
    pub check: Option<StepCheck>,
}

/// A condition on the rows that a plan, which only knows the catalog, cannot see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCheck {
    /// Answers one boolean: true when the step cannot be done.
    pub sql: String,
    /// What is wrong then, and what to do.
    pub problem: String,
}

impl MigrationStep {
    pub(super) fn harmless(description: String, sql: String) -> Self {
        MigrationStep { description, sql, data_loss: None, check: None }
    }

    pub fn loses_data(&self) -> bool {
        self.data_loss.is_some()
    }
}

/// The order of steps: what goes makes room for what comes, and constraints come when their columns are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Schema,
    Rename,
    DropForeignKey,
    DropIndex,
    DropPrimaryKey,
    DropColumn,
    DropTable,
    CreateSequence,
    CreateTable,
    AddColumn,
    AlterColumn,
    OwnSequence,
    AddPrimaryKey,
    AddForeignKey,
    CreateIndex,
}

/// The steps that bring `found` to `wanted`.
///
/// # Errors
/// A rename that fits neither the database nor the datamodel.
pub fn plan(
    wanted: &DatabaseLayout,
    found: &DatabaseLayout,
    renames: &[Rename],
) -> Result<Vec<MigrationStep>, RenameError> {
    let mut found = found.clone();
    let renaming = rename::apply(wanted, &mut found, renames)?;
    let differences = differences(wanted, &found);
    let mut planner = Planner {
        ddl: Ddl { schema: &wanted.schema },
        wanted,
        found: &found,
        steps: renaming.into_iter().map(|step| (Phase::Rename, step)).collect(),
        suspended: HashSet::new(),
        taken: names_that_stay(&found, &differences),
    };
    differences.iter().for_each(|difference| planner.remove(difference));
    planner.steps.sort_by_key(|(phase, _)| *phase);
    Ok(planner.steps.into_iter().map(|(_, step)| step).collect())
}

/// Tables, indexes and sequences share one space of names.
fn names_that_stay(found: &DatabaseLayout, differences: &[Difference]) -> HashSet<String> {
    let tables = found.tables.iter().map(|t| &t.name);
    let indexes = found.tables.iter().flat_map(|t| t.indexes.iter().map(|i| &i.name));
    let sequences = found.sequences.iter().map(|s| &s.name);
    let mut names: HashSet<String> = tables.chain(indexes).chain(sequences).cloned().collect();
    for difference in differences {
        match difference {
            Difference::UnneededIndex { index, .. } => {
                names.remove(&index.name);
            }
            Difference::UnknownTable { table } => {
                names.remove(&table.name);
                table.indexes.iter().for_each(|index| {
                    names.remove(&index.name);
                });
            }
            Difference::UnknownColumn { table, column } => {
                let with_column = table.indexes.iter().filter(|i| i.column_names().any(|c| c == column.name));
                with_column.for_each(|index| {
                    names.remove(&index.name);
                });
            }
            _ => {}
        }
    }
    names
}

struct Planner<'a> {
    ddl: Ddl<'a>,
    wanted: &'a DatabaseLayout,
    found: &'a DatabaseLayout,
    steps: Vec<(Phase, MigrationStep)>,
    /// Table and name of foreign keys that are dropped, for good or for a while.
    suspended: HashSet<(String, String)>,
    taken: HashSet<String>,
}

impl Planner<'_> {
    fn push(&mut self, phase: Phase, description: String, sql: String) -> &mut MigrationStep {
        self.steps.push((phase, MigrationStep::harmless(description, sql)));
        let last = self.steps.len() - 1;
        &mut self.steps[last].1
    }

    fn remove(&mut self, difference: &Difference) {
        match difference {
            Difference::MissingSchema { name } => {
                self.push(Phase::Schema, format!("create the schema `{name}`"), self.ddl.create_schema());
            }
            Difference::MissingSequence { sequence } => {
                let sql = self.ddl.create_sequence(sequence);
                self.push(Phase::CreateSequence, format!("create the sequence `{}`", sequence.name), sql);
                if let Some(sql) = self.ddl.own_sequence(sequence) {
                    let description = format!("let the sequence `{}` go with its column", sequence.name);
                    self.push(Phase::OwnSequence, description, sql);
                }
            }
            Difference::MissingTable { table } => self.create_table(table),
            Difference::UnknownTable { table } => self.drop_table(table),
            Difference::MissingColumn { table, column } => self.add_column(table, column),
            Difference::UnknownColumn { table, column } => {
                let description = format!("drop the column `{}.{}`", table.name, column.name);
                let sql = self.ddl.drop_column(table, column);
                let step = self.push(Phase::DropColumn, description, sql);
                step.data_loss = Some("the column's values are lost".into());
            }
            Difference::Type { table, wanted, found } => self.change_type(table, wanted, found),
            Difference::Nullability { table, column } => self.change_nullability(table, column),
            Difference::MissingDefault { table, column, sequence } => {
                let description = format!("number `{}.{}` with `{sequence}`", table.name, column.name);
                let sql = self.ddl.set_default(table, column, sequence);
                self.push(Phase::AlterColumn, description, sql);
            }
            Difference::PrimaryKey { table, found } => self.change_primary_key(table, found),
            Difference::MissingForeignKey { table, key } => self.add_foreign_key(table, key),
            Difference::UnknownForeignKey { table, key } => self.drop_foreign_key(table, key),
            Difference::MissingIndex { table, index } => self.create_index(table, index),
            Difference::UnneededIndex { table, index } => {
                let columns = describe_columns(index);
                let description = format!("drop the index `{}` on `{}` ({columns})", index.name, table.name);
                self.push(Phase::DropIndex, description, self.ddl.drop_index(index));
            }
        }
    }

    fn create_table(&mut self, table: &Table) {
        let sql = self.ddl.create_table(table);
        self.push(Phase::CreateTable, format!("create the table `{}`", table.name), sql);
        self.taken.insert(table.name.clone());
        table.foreign_keys.iter().for_each(|key| self.add_foreign_key(table, key));
        table.indexes.iter().for_each(|index| self.create_index(table, index));
    }

    fn drop_table(&mut self, table: &Table) {
        // Unknown tables may point at each other.
        for key in table.foreign_keys.iter().filter(|k| k.target_table != table.name) {
            if self.wanted.table(&key.target_table).is_none() {
                self.drop_foreign_key(table, key);
            }
        }
        let sql = self.ddl.drop_table(table);
        let step = self.push(Phase::DropTable, format!("drop the table `{}`", table.name), sql);
        step.data_loss = Some("the table's rows are lost".into());
    }

    fn add_column(&mut self, table: &Table, column: &Column) {
        let description = format!("add the column `{}.{}` ({})", table.name, column.name, column.sql_type);
        let sql = self.ddl.add_column(table, column);
        let check =
            (!column.nullable && column.fill.is_none() && column.default.is_none()).then(|| StepCheck {
                sql: self.ddl.has_rows(table),
                problem: format!(
                    "`{}.{}` is required and has no default, but `{}` has rows already; \
                 make the field optional or give it a `@default`",
                    table.name, column.name, table.name
                ),
            });
        self.push(Phase::AddColumn, description, sql).check = check;
    }

    fn change_type(&mut self, table: &Table, wanted: &Column, found: &Column) {
        self.suspend_keys(|owner, key| {
            (owner.name == table.name && key.columns.contains(&found.name))
                || (key.target_table == table.name && key.target_columns.contains(&found.name))
        });
        let description = format!(
            "change the type of `{}.{}` from {} to {}",
            table.name, wanted.name, found.sql_type, wanted.sql_type
        );
        let sql = self.ddl.change_type(table, wanted, found);
        let step = self.push(Phase::AlterColumn, description, sql);
        if !keeps_values(&found.sql_type, &wanted.sql_type) {
            step.data_loss =
                Some("values may be rounded, and those that do not fit stop the migration".into());
        }
    }

    fn change_nullability(&mut self, table: &Table, column: &Column) {
        let name = format!("`{}.{}`", table.name, column.name);
        if column.nullable {
            let sql = self.ddl.drop_not_null(table, column);
            self.push(Phase::AlterColumn, format!("let {name} hold null"), sql);
            return;
        }
        let (description, check) = match &column.fill {
            Some(fill) => (format!("make {name} required; rows without a value get {fill}"), None),
            None => {
                let problem = format!(
                    "{name} becomes required, but there are rows without a value; \
                     give them one, or give the field a `@default`"
                );
                let sql = self.ddl.has_nulls(table, column);
                (format!("make {name} required"), Some(StepCheck { sql, problem }))
            }
        };
        let sql = self.ddl.set_not_null(table, column);
        self.push(Phase::AlterColumn, description, sql).check = check;
    }

    fn change_primary_key(&mut self, wanted: &Table, found: &Table) {
        if let Some(name) = &found.primary_key_name {
            self.suspend_keys(|_, key| key.target_table == wanted.name);
            let description = format!("drop the primary key of `{}`", wanted.name);
            self.push(Phase::DropPrimaryKey, description, self.ddl.drop_constraint(wanted, name));
        }
        let description =
            format!("make ({}) the primary key of `{}`", wanted.primary_key.join(", "), wanted.name);
        self.push(Phase::AddPrimaryKey, description, self.ddl.add_primary_key(wanted));
    }

    /// Drops the foreign keys that stand in the way of a change, and brings back those that are wanted.
    fn suspend_keys(&mut self, in_the_way: impl Fn(&Table, &ForeignKey) -> bool) {
        let found = self.found;
        for table in &found.tables {
            for key in table.foreign_keys.iter().filter(|k| in_the_way(table, k)) {
                if self.suspended.contains(&(table.name.clone(), key.name.clone())) {
                    continue;
                }
                self.drop_foreign_key(table, key);
                let stays = self.wanted.table(&table.name).filter(|wanted| {
                    wanted.foreign_keys.iter().any(|w| {
                        let same_columns = w.columns == key.columns && w.target_columns == key.target_columns;
                        same_columns && w.target_table == key.target_table && w.on_delete == key.on_delete
                    })
                });
                if let Some(wanted) = stays {
                    self.add_foreign_key(wanted, key);
                }
            }
        }
    }

    fn drop_foreign_key(&mut self, table: &Table, key: &ForeignKey) {
        if self.suspended.insert((table.name.clone(), key.name.clone())) {
            let description = format!("drop the foreign key {}", DescribedKey(table, key));
            self.push(Phase::DropForeignKey, description, self.ddl.drop_constraint(table, &key.name));
        }
    }

    fn add_foreign_key(&mut self, table: &Table, key: &ForeignKey) {
        let name = free_name(&key.name, |name| {
            let existing =
                self.found.table(&table.name).map(|t| t.foreign_keys.as_slice()).unwrap_or_default();
            let stays = !self.suspended.contains(&(table.name.clone(), name.to_string()));
            stays && existing.iter().any(|k| k.name == name && k.columns != key.columns)
        });
        let description = format!("add the foreign key {}", DescribedKey(table, key));
        self.push(Phase::AddForeignKey, description, self.ddl.add_foreign_key(table, key, &name));
    }

    fn create_index(&mut self, table: &Table, index: &Index) {
        let name = free_name(&index.name, |name| self.taken.contains(name));
        self.taken.insert(name.clone());
        let kind = if index.unique { "unique index" } else { "index" };
        let description =
            format!("create the {kind} `{name}` on `{}` ({})", table.name, describe_columns(index));
        let sql = self.ddl.create_index(table, index, &name);
        let check = index.unique.then(|| StepCheck {
            sql: self.ddl.has_duplicates(table, index),
            problem: format!(
                "`{}` ({}) becomes unique, but some rows share a value; change or remove them first",
                table.name,
                describe_columns(index)
            ),
        });
        // A new table has no rows to look at, and is not there yet when somebody looks.
        let is_new = self.found.table(&table.name).is_none();
        self.push(Phase::CreateIndex, description, sql).check = check.filter(|_| !is_new);
    }
}

/// Whether every value of the one type is also a value of the other.
fn keeps_values(from: &str, to: &str) -> bool {
    matches!((from, to), (_, "text") | ("integer" | "smallint", "numeric(65,30)") | ("smallint", "integer"))
        || (from == "date" && to.starts_with("timestamp"))
}
