//! Rows that a datamodel does not allow, and for which PostgreSQL has no constraint: values outside
//! an enum, several partners where one is allowed, required relations without a partner. The
//! queries run before the migration, and are about what it will leave.

use std::fmt;

use super::layout::{DatabaseLayout, Table};
use super::plan::MigrationPlan;
use super::rows::{FoundRows, RowQueries, RowQuery};
use crate::datamodel::{DataModel, FieldKind, Model, Relation, RelationEnd, RelationStorage, Side};

/// A query for rows that do not fit, and what to report of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataCheck {
    /// The query that finds such rows.
    pub query: RowQuery,
    pub(super) problem: String,
    /// What is counted: one and many.
    pub(super) counted: (String, String),
    pub(super) remedy: String,
    /// What such rows would do.
    pub gravity: Severity,
    /// The datamodel that was deployed last forbids the same rows: nothing gets worse.
    pub known: bool,
}

/// What rows that do not fit would do if a datamodel were deployed over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// PostgreSQL refuses a step.
    Blocks,
    /// The API returns what its schema does not have, or later writes cut links.
    Harms,
    /// A required relation is empty. Nothing is lost, and databases made by Prisma 1 may have such
    /// rows.
    Hole,
}

/// Rows that do not fit the datamodel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong, without anything from a row.
    pub problem: String,
    /// How many rows, with an example.
    pub rows: FoundRows,
    counted: (String, String),
    /// What to do about it.
    pub remedy: String,
    /// What the rows would do.
    pub gravity: Severity,
    /// The datamodel that was deployed last forbids the same rows.
    pub known: bool,
}

impl DataCheck {
    /// Notes whether the datamodel that was deployed last has the same check over the same
    /// database, or one that forbids more values.
    pub fn compare(&mut self, previous: &[DataCheck]) {
        self.known = previous.iter().any(|before| {
            let allows_all = match (&self.query.allowed, &before.query.allowed) {
                (Some(now), Some(before)) => before.iter().all(|value| now.contains(value)),
                (now, before) => now == before,
            };
            // Both are written with the names and types that the database has before the migration.
            before.gravity == self.gravity && before.query.sql == self.query.sql && allows_all
        });
    }

    /// The misfit, if the query found any row.
    pub fn misfit(&self, rows: FoundRows) -> Option<Misfit> {
        (rows.count > 0).then(|| Misfit {
            problem: self.problem.clone(),
            rows,
            counted: self.counted.clone(),
            remedy: self.remedy.clone(),
            gravity: self.gravity,
            known: self.known,
        })
    }
}

impl Misfit {
    /// How many rows, and the id of one, without any value: for logs.
    pub fn extent(&self) -> String {
        // What blocks a step may have a value for its key.
        let example = self
            .rows
            .example
            .clone()
            .filter(|_| self.gravity != Severity::Blocks);
        let rows = FoundRows {
            example,
            ..self.rows.clone()
        };
        rows.describe(&self.counted.0, &self.counted.1, false)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.describe(&self.counted.0, &self.counted.1, true);
        write!(f, "{}: {rows}; {}", self.problem, self.remedy)
    }
}

/// The rows of one table, as they are counted.
pub(super) fn rows_of(table: &str) -> (String, String) {
    (format!("row of `{table}`"), format!("rows of `{table}`"))
}

/// What has to be looked for in the rows, beside what the steps themselves check.
pub(super) fn checks(
    model: &DataModel,
    wanted: &DatabaseLayout,
    planned: &MigrationPlan,
) -> Vec<DataCheck> {
    let checker = Checker {
        model,
        wanted,
        planned,
        queries: planned.queries(),
    };
    let enums = model.models.iter().flat_map(|one| checker.enums(one));
    let relations = model.relations.iter().flat_map(|relation| {
        let sides = [Side::A, Side::B];
        sides
            .into_iter()
            .flat_map(|side| checker.end(relation, side))
            .collect::<Vec<_>>()
    });
    enums.chain(relations).collect()
}

struct Checker<'a> {
    model: &'a DataModel,
    wanted: &'a DatabaseLayout,
    planned: &'a MigrationPlan,
    queries: RowQueries<'a>,
}

impl Checker<'_> {
    /// A table that is there and stays.
    fn found(&self, table: &str) -> Option<&Table> {
        self.wanted
            .table(table)
            .and(self.planned.found.table(table))
    }

    fn enums(&self, model: &Model) -> Vec<DataCheck> {
        let mut checks = Vec::new();
        for field in &model.fields {
            let FieldKind::Enum(id) = field.kind else {
                continue;
            };
            let values = self.model.enumeration(id);
            let list = field.list.then(|| model.list_table(field));
            let (table, column) = match &list {
                Some(list) => (list.as_str(), "value"),
                None => (model.table.as_str(), field.column.as_str()),
            };
            let Some(found) = self
                .found(table)
                .filter(|found| found.column(column).is_some())
            else {
                continue;
            };
            let stored = self.queries.of_row(table, column);
            let lost = self
                .planned
                .lost(table, column)
                .map_or(String::new(), |lost| format!(" AND NOT ({lost})"));
            let condition = format!("{stored} IS NOT NULL AND {stored}::text <> ALL ($1){lost}");
            let mut query = self.queries.rows(found, &condition, Some(column));
            query.allowed = Some(values.values.clone());
            checks.push(DataCheck {
                query,
                problem: format!(
                    "`{}.{}` holds values that the enum `{}` lacks",
                    model.name, field.name, values.name
                ),
                counted: rows_of(table),
                remedy: "change these rows, or keep the values in the enum".into(),
                gravity: Severity::Harms,
                known: false,
            });
        }
        checks
    }

    fn end(&self, relation: &Relation, side: Side) -> Vec<DataCheck> {
        let end = relation.end(side);
        let mut checks = Vec::new();
        let Some(field) = end.field else {
            return checks;
        };
        let model = self.model.model(end.model);
        let name = format!("`{}.{}`", model.name, model.field(field).name);
        if !end.list {
            checks.extend(
                self.with_several_partners(relation, side, model)
                    .map(|query| DataCheck {
                        query,
                        problem: format!(
                            "{name} is a single relation, but there are nodes with several partners"
                        ),
                        counted: (
                            format!("node of `{}`", model.name),
                            format!("nodes of `{}`", model.name),
                        ),
                        remedy: "leave each of them one partner, or make the field a list".into(),
                        gravity: Severity::Harms,
                        known: false,
                    }),
            );
        }
        if end.required {
            checks.extend(
                self.without_partner(relation, side, end)
                    .map(|query| DataCheck {
                        query,
                        problem: format!(
                            "{name} is required, but there are nodes without a partner"
                        ),
                        counted: (
                            format!("node of `{}`", model.name),
                            format!("nodes of `{}`", model.name),
                        ),
                        remedy: "give each of them a partner, or make the field optional".into(),
                        gravity: Severity::Hole,
                        known: false,
                    }),
            );
        }
        checks
    }

    /// Nodes at this end that have more than one partner.
    fn with_several_partners(
        &self,
        relation: &Relation,
        side: Side,
        model: &Model,
    ) -> Option<RowQuery> {
        let (table, column) = match &relation.storage {
            RelationStorage::Inline { side: at, .. } if *at == side => return None,
            RelationStorage::Inline { column, .. } => (
                self.model
                    .model(relation.end(side.other()).model)
                    .table
                    .as_str(),
                column.as_str(),
            ),
            RelationStorage::Table { table, .. } => (table.as_str(), own_column(relation, side)?),
        };
        let found = self
            .found(table)
            .filter(|found| found.column(column).is_some())?;
        self.found(&model.table)?;
        let links = self.queries.of_row(table, column);
        let kept = match self.planned.lost(table, column) {
            None => links,
            Some("true") => return None,
            Some(lost) => format!("CASE WHEN NOT ({lost}) THEN {links} END"),
        };
        Some(self.queries.duplicates(found, &[kept]))
    }

    /// Nodes at this end that have no partner.
    fn without_partner(
        &self,
        relation: &Relation,
        side: Side,
        end: &RelationEnd,
    ) -> Option<RowQuery> {
        let table = self.model.model(end.model).table.as_str();
        let found = self.found(table)?;
        let key_column = found.primary_key.first()?;
        let key_type = found.column(key_column).map(|column| &column.sql_type);
        let key = self.queries.of_row(table, key_column);
        let condition = match &relation.storage {
            RelationStorage::Inline { side: at, column } if *at == side => {
                match found.column(column) {
                    None => "true".to_owned(),
                    Some(_) => {
                        let empty = format!("{} IS NULL", self.queries.of_row(table, column));
                        let lost = self.planned.lost(table, column);
                        lost.map_or(empty.clone(), |lost| format!("({empty} OR {lost})"))
                    }
                }
            }
            RelationStorage::Inline { column, .. } => {
                let partner = self
                    .model
                    .model(relation.end(side.other()).model)
                    .table
                    .as_str();
                self.not_linked(partner, column, &key, key_type)
            }
            RelationStorage::Table { table: links, .. } => {
                self.not_linked(links, own_column(relation, side)?, &key, key_type)
            }
        };
        Some(self.queries.rows(found, &condition, None))
    }

    /// That no row of the table links to this key.
    fn not_linked(
        &self,
        table: &str,
        column: &str,
        key: &str,
        key_type: Option<&String>,
    ) -> String {
        let lost = self.planned.lost(table, column);
        match self
            .found(table)
            .filter(|found| found.column(column).is_some())
        {
            // The condition of a part of the links is about the row `t`, which is another one here:
            // what loses links is reported by itself.
            Some(links) if lost != Some("true") => {
                let same_type = links.column(column).map(|c| &c.sql_type) == key_type;
                let cast = if same_type { "" } else { "::text" };
                let (links, column) = (
                    self.queries.table(table),
                    self.queries.column(table, column),
                );
                format!("NOT EXISTS (SELECT FROM {links} p WHERE p.{column}{cast} = {key}{cast})")
            }
            _ => "true".to_owned(),
        }
    }
}

/// The column, in a relation's table, that holds the ids of this end.
fn own_column(relation: &Relation, side: Side) -> Option<&str> {
    match (&relation.storage, side) {
        (RelationStorage::Table { a_column, .. }, Side::A) => Some(a_column),
        (RelationStorage::Table { b_column, .. }, Side::B) => Some(b_column),
        (RelationStorage::Inline { .. }, _) => None,
    }
}
