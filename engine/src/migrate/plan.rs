//! From differences to steps: what has to be done, in an order that PostgreSQL accepts, and what it costs.
//! Knows nothing of how the differences were found.

mod keys;
mod links;

use std::collections::{HashMap, HashSet};

use super::compare::{
    Difference, LeftAlone, Target, describe_columns, differences_after, left_alone,
};
use super::convert::conversion;
use super::ddl::Ddl;
use super::layout::{Column, DatabaseLayout, Index, Table, TablePurpose};
use super::misfits::{self, DataCheck, Gravity, rows_of};
use super::names::{free_name, quote_identifier};
use super::rename::{self, Rename, RenameError};
use super::rows::{Origins, RowQueries};
use super::step::{Loss, MigrationStep};
use crate::datamodel::DataModel;

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
    AllowNull,
    AlterColumn,
    Unlink,
    OwnSequence,
    AddPrimaryKey,
    AddForeignKey,
    CreateIndex,
}

/// What has to be done, before anybody has looked at the rows.
#[derive(Debug)]
pub struct Planned {
    pub steps: Vec<MigrationStep>,
    /// What PostgreSQL would refuse, or what no constraint forbids but the datamodel does.
    pub checks: Vec<DataCheck>,
    /// Tables and columns that are not in the datamodel, were never Gom's, and stay.
    pub left_alone: Vec<LeftAlone>,
    /// The tables of which a column changes its type.
    pub(super) retyped: HashSet<String>,
    /// The tables of links whose columns change places: what the change log has of them is the other way round.
    pub(super) swapped: HashSet<String>,
    /// After the renames.
    pub(super) found: DatabaseLayout,
    origins: Origins,
    /// For table and column, by their new names: the condition on a row `t` under which its value goes.
    lost: HashMap<(String, String), String>,
}

impl Planned {
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
    target: &Target<'_>,
    found: &DatabaseLayout,
    renames: &[Rename],
) -> Result<Planned, RenameError> {
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
    let mut planner = Planner {
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
    let mut planned = Planned {
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
fn swapped(wanted: &DatabaseLayout, origins: &Origins) -> HashSet<String> {
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

struct Planner<'a> {
    ddl: Ddl<'a>,
    wanted: &'a DatabaseLayout,
    found: &'a DatabaseLayout,
    queries: RowQueries<'a>,
    steps: Vec<(Phase, MigrationStep)>,
    checks: Vec<DataCheck>,
    /// See [`Planned::lost`].
    lost: HashMap<(String, String), String>,
    /// For table and column: what becomes of the value of a row `t` whose type changes.
    values: HashMap<(String, String), String>,
    /// Table and name of foreign keys that are dropped, for good or for a while.
    suspended: HashSet<(String, String)>,
    /// The same of those that the target does not have and that are not left alone.
    going: HashSet<(String, String)>,
    taken: HashSet<String>,
}

impl Planner<'_> {
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
            gravity: Gravity::Blocks,
            known: false,
        });
    }

    fn add_column(&mut self, table: &Table, column: &Column) {
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

    fn change_type(&mut self, table: &Table, wanted: &Column, found: &Column) {
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

    fn change_nullability(&mut self, table: &Table, column: &Column) {
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

    fn change_primary_key(&mut self, wanted: &Table, found: &Table) {
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

    fn create_index(&mut self, table: &Table, index: &Index) {
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
            gravity: Gravity::Blocks,
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
