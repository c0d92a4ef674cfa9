//! From differences to steps: what has to be done, in an order that PostgreSQL accepts, and what it
//! costs. Knows nothing of how the differences were found.

mod columns;
mod keys;
mod links;
mod uniqueness;

use std::collections::{HashMap, HashSet};

use super::compare::{MigrationTarget, differences_after, left_alone};
use super::ddl::Ddl;
use super::difference::{Difference, LeftAlone, describe_columns};
use super::layout::{Column, DatabaseLayout, Table, TablePurpose};
use super::misfits::{self, DataCheck, Severity, rows_of};
use super::rename::{self, Rename, RenameError};
use super::rows::{OriginalNames, RowQueries};
use super::step::{Loss, MigrationStep};
use crate::datamodel::DataModel;

/// The order of steps: what goes makes room for what comes, and constraints come when their columns
/// are there.
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
    AllowNull,
    AlterColumn,
    Unlink,
    OwnSequence,
    AddPrimaryKey,
    AddForeignKey,
    CreateIndex,
}

/// The steps of a migration, before its checks have queried the rows.
#[derive(Debug)]
pub struct MigrationPlan {
    /// The steps, in the order in which they run.
    pub steps: Vec<MigrationStep>,
    /// What PostgreSQL would refuse, or what no constraint forbids but the datamodel does.
    pub checks: Vec<DataCheck>,
    /// Tables and columns that are not in the datamodel, were never Gom's, and stay.
    pub left_alone: Vec<LeftAlone>,
    /// The tables of which a column changes its type.
    pub(super) retyped: HashSet<String>,
    /// The tables of links whose columns change places: what the change log has of them is the
    /// other way round.
    pub(super) swapped: HashSet<String>,
    /// After the renames.
    pub(super) found: DatabaseLayout,
    origins: OriginalNames,
    /// For table and column, by their new names: the condition on a row `t` under which its value
    /// goes.
    lost: HashMap<(String, String), String>,
}

impl MigrationPlan {
    /// The tables of links whose columns change places, in the order of their names.
    pub fn swapped_tables(&self) -> Vec<String> {
        let mut tables: Vec<String> = self.swapped.iter().cloned().collect();
        tables.sort_unstable();
        tables
    }

    pub(super) fn queries(&self) -> RowQueries<'_> {
        RowQueries {
            found: &self.found,
            origins: &self.origins,
        }
    }

    /// What the table is called until its renames are done.
    pub(super) fn earlier_name<'a>(&'a self, table: &'a str) -> &'a str {
        self.origins.table(table)
    }

    pub(super) fn lost(&self, table: &str, column: &str) -> Option<&str> {
        self.lost
            .get(&(table.to_owned(), column.to_owned()))
            .map(String::as_str)
    }
}

/// The steps that bring `found` to the target, with all that depends on the rows.
///
/// # Errors
/// A rename that fits neither the database nor the datamodel.
pub fn plan(
    model: &DataModel,
    target: &MigrationTarget<'_>,
    found: &DatabaseLayout,
    renames: &[Rename],
) -> Result<MigrationPlan, RenameError> {
    let wanted = target.wanted;
    let mut found = found.clone();
    let (renaming, origins) = rename::apply(target, &mut found, renames)?;
    let differences = differences_after(target, &found, &origins);
    let swapped = swapped(wanted, &origins);
    let retyped = differences
        .iter()
        .filter_map(|difference| match difference {
            Difference::Type { table, .. } => Some(table.name.clone()),
            _ => None,
        });
    let retyped = retyped.chain(swapped.iter().cloned()).collect();
    let mut planner = MigrationPlanner {
        ddl: Ddl {
            schema: &wanted.schema,
        },
        wanted,
        found: &found,
        queries: RowQueries {
            found: &found,
            origins: &origins,
        },
        steps: renaming
            .into_iter()
            .map(|step| (Phase::Rename, step))
            .collect(),
        checks: Vec::new(),
        lost: HashMap::new(),
        values: HashMap::new(),
        suspended: HashSet::new(),
        going: keys::going(&differences),
        taken: names_that_stay(&found, &differences),
    };
    differences
        .iter()
        .for_each(|difference| planner.remove(difference));
    planner.steps.sort_by_key(|(phase, _)| *phase);
    let (steps, checks, lost) = (planner.steps, planner.checks, planner.lost);
    let left_alone = left_alone(target, &found, &origins);
    let steps = steps.into_iter().map(|(_, step)| step).collect();
    let mut planned = MigrationPlan {
        steps,
        checks,
        left_alone,
        retyped,
        swapped,
        found,
        origins,
        lost,
    };
    let more = misfits::checks(model, wanted, &planned);
    planned.checks.extend(more);
    Ok(planned)
}

/// The tables of links whose columns change places.
fn swapped(wanted: &DatabaseLayout, origins: &OriginalNames) -> HashSet<String> {
    let has_moved =
        |table: &Table, column: &Column| origins.column(&table.name, &column.name) != column.name;
    let relations = wanted
        .tables
        .iter()
        .filter(|table| table.purpose == TablePurpose::Relation);
    let moved =
        relations.filter(|table| table.columns.iter().any(|column| has_moved(table, column)));
    moved.map(|table| table.name.clone()).collect()
}

/// Tables, indexes and sequences share one space of names.
fn names_that_stay(found: &DatabaseLayout, differences: &[Difference]) -> HashSet<String> {
    let tables = found.tables.iter().map(|t| &t.name);
    let indexes = found
        .tables
        .iter()
        .flat_map(|t| t.indexes.iter().map(|i| &i.name));
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
                let with_column = table
                    .indexes
                    .iter()
                    .filter(|i| i.column_names().any(|c| c == column.name));
                with_column.for_each(|index| {
                    names.remove(&index.name);
                });
            }
            _ => {}
        }
    }
    names
}

struct MigrationPlanner<'a> {
    ddl: Ddl<'a>,
    wanted: &'a DatabaseLayout,
    found: &'a DatabaseLayout,
    queries: RowQueries<'a>,
    steps: Vec<(Phase, MigrationStep)>,
    checks: Vec<DataCheck>,
    /// See [`MigrationPlan::lost`].
    lost: HashMap<(String, String), String>,
    /// For table and column: what becomes of the value of a row `t` whose type changes.
    values: HashMap<(String, String), String>,
    /// Table and name of foreign keys that are dropped, for good or for a while.
    suspended: HashSet<(String, String)>,
    /// The same of those that the target does not have and that are not left alone.
    going: HashSet<(String, String)>,
    taken: HashSet<String>,
}

impl MigrationPlanner<'_> {
    fn push(&mut self, phase: Phase, description: String, sql: String) -> &mut MigrationStep {
        self.steps
            .push((phase, MigrationStep::harmless(description, sql)));
        let last = self.steps.len() - 1;
        &mut self.steps[last].1
    }

    fn remove(&mut self, difference: &Difference) {
        match difference {
            Difference::MissingSchema { name } => {
                self.push(
                    Phase::Schema,
                    format!("create the schema `{name}`"),
                    self.ddl.create_schema(),
                );
            }
            Difference::MissingSequence { sequence } => {
                let sql = self.ddl.create_sequence(sequence);
                self.push(
                    Phase::CreateSequence,
                    format!("create the sequence `{}`", sequence.name),
                    sql,
                );
                if let Some(sql) = self.ddl.own_sequence(sequence) {
                    let description =
                        format!("let the sequence `{}` go with its column", sequence.name);
                    self.push(Phase::OwnSequence, description, sql);
                }
            }
            Difference::MissingTable { table } => self.create_table(table),
            Difference::UnknownTable { table } => self.drop_table(table),
            Difference::MissingColumn { table, column } => self.add_column(table, column),
            Difference::UnknownColumn { table, column } => {
                let description = format!("drop the column `{}.{}`", table.name, column.name);
                let sql = self.ddl.drop_column(table, column);
                let values = format!(
                    "{} IS NOT NULL",
                    self.queries.of_row(&table.name, &column.name)
                );
                let loss = self.loss(table, "the column's values are lost", &values);
                let step = self.push(Phase::DropColumn, description, sql);
                step.data_loss = loss.map(|loss| Loss {
                    drops: true,
                    ..loss
                });
            }
            Difference::Type {
                table,
                wanted,
                found,
            } => self.change_type(table, wanted, found),
            Difference::Nullability { table, column } => self.change_nullability(table, column),
            Difference::MissingDefault {
                table,
                column,
                sequence,
            } => {
                let description =
                    format!("number `{}.{}` with `{sequence}`", table.name, column.name);
                let sql = self.ddl.set_default(table, column, sequence);
                self.push(Phase::AlterColumn, description, sql);
            }
            Difference::PrimaryKey { table, found } => self.change_primary_key(table, found),
            Difference::MissingForeignKey { table, key } => {
                self.make_room_for_links(table, key);
                self.add_foreign_key(table, key);
            }
            Difference::UnknownForeignKey { table, key } => {
                self.drop_foreign_key(table, key);
            }
            Difference::MissingIndex { table, index } => self.create_index(table, index),
            Difference::UnneededIndex { table, index } => {
                let columns = describe_columns(index);
                let description = format!(
                    "drop the index `{}` on `{}` ({columns})",
                    index.name, table.name
                );
                self.push(Phase::DropIndex, description, self.ddl.drop_index(index));
            }
        }
    }

    fn create_table(&mut self, table: &Table) {
        let sql = self.ddl.create_table(table);
        self.push(
            Phase::CreateTable,
            format!("create the table `{}`", table.name),
            sql,
        );
        self.taken.insert(table.name.clone());
        table
            .foreign_keys
            .iter()
            .for_each(|key| self.add_foreign_key(table, key));
        table
            .indexes
            .iter()
            .for_each(|index| self.create_index(table, index));
    }

    fn drop_table(&mut self, table: &Table) {
        // Unknown tables may point at each other.
        for key in table
            .foreign_keys
            .iter()
            .filter(|k| k.target_table != table.name)
        {
            if self.wanted.table(&key.target_table).is_none() {
                self.drop_foreign_key(table, key);
            }
        }
        let sql = self.ddl.drop_table(table);
        let loss = self.loss(table, "the table's rows are lost", "true");
        let step = self.push(
            Phase::DropTable,
            format!("drop the table `{}`", table.name),
            sql,
        );
        step.data_loss = loss.map(|loss| Loss {
            drops: true,
            ..loss
        });
    }

    /// What a step destroys in the rows of a found table for which the condition holds.
    fn loss(&self, table: &Table, reason: &'static str, condition: &str) -> Option<Loss> {
        let found = self.found.table(&table.name)?;
        Some(Loss {
            reason,
            query: self.queries.rows(found, condition, None),
            table: self.queries.table(&table.name),
            rows: Default::default(),
            only_for_rows: false,
            drops: false,
            always: false,
        })
    }

    /// Rows of a found table that forbid a step.
    fn check(&mut self, table: &Table, condition: &str, problem: String, remedy: &str) {
        let Some(found) = self.found.table(&table.name) else {
            return;
        };
        let query = self.queries.rows(found, condition, None);
        let counted = rows_of(&table.name);
        self.checks.push(DataCheck {
            query,
            problem,
            counted,
            remedy: remedy.to_owned(),
            gravity: Severity::Blocks,
            known: false,
        });
    }
}
