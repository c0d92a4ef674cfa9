//! Compares a found layout with a wanted one. Knows no SQL, and nothing of how a difference is
//! removed.
//!
//! Databases made by Prisma 1 pass: ids of old relation tables, names of constraints and indexes,
//! further indexes and Prisma's own book-keeping are no differences.

use super::difference::{Difference, LeftAlone};
use super::layout::{
    Column, ColumnDefault, DatabaseLayout, ForeignKey, Index, SequenceLayout, Table, TablePurpose,
};
use super::names::{is_own_index, is_unique_index};
use super::rows::OriginalNames;

/// Prisma 1's register of ids; neither read nor written here.
const PRISMA_TABLES: [&str; 1] = ["_RelayId"];

/// What a found layout is compared with.
#[derive(Debug, Clone, Copy)]
pub struct MigrationTarget<'a> {
    /// The layout that the datamodel asks for.
    pub wanted: &'a DatabaseLayout,
    /// The layout of the datamodel that was deployed last. What neither has was never Gom's, and is
    /// left alone.
    pub previous: Option<&'a DatabaseLayout>,
    /// Drops what was never Gom's, too.
    pub drop_unknown: bool,
}

impl<'a> MigrationTarget<'a> {
    /// The target for a database to which nothing was deployed before.
    pub fn new(wanted: &'a DatabaseLayout) -> Self {
        MigrationTarget {
            wanted,
            previous: None,
            drop_unknown: false,
        }
    }

    fn had_table(&self, origins: &OriginalNames, table: &str) -> Option<&'a Table> {
        self.previous?.table(origins.table(table))
    }

    fn drops_table(&self, origins: &OriginalNames, table: &Table) -> bool {
        self.drop_unknown || self.had_table(origins, &table.name).is_some()
    }

    fn drops_column(&self, origins: &OriginalNames, table: &Table, column: &Column) -> bool {
        let origin = origins.column(&table.name, &column.name);
        let had = self
            .had_table(origins, &table.name)
            .and_then(|had| had.column(origin));
        self.drop_unknown || had.is_some()
    }

    /// Also those that stand where another one is wanted.
    fn drops_key(&self, origins: &OriginalNames, wanted: &Table, key: &ForeignKey) -> bool {
        let same = |columns: &[String]| columns == key.columns;
        let origin: Vec<String> = key
            .columns
            .iter()
            .map(|column| origins.column(&wanted.name, column).to_owned())
            .collect();
        let had = self.had_table(origins, &wanted.name);
        self.drop_unknown
            || wanted.foreign_keys.iter().any(|one| same(&one.columns))
            || had.is_some_and(|had| had.foreign_keys.iter().any(|one| one.columns == origin))
    }
}

/// Every difference, in the order of the wanted layout; what only the database has comes last.
pub fn differences<'a>(
    target: &MigrationTarget<'a>,
    found: &'a DatabaseLayout,
) -> Vec<Difference<'a>> {
    differences_after(target, found, &OriginalNames::default())
}

/// The differences that remain after renames.
pub(super) fn differences_after<'a>(
    target: &MigrationTarget<'a>,
    found: &'a DatabaseLayout,
    origins: &OriginalNames,
) -> Vec<Difference<'a>> {
    let wanted = target.wanted;
    let mut differences = Vec::new();
    if !found.exists {
        differences.push(Difference::MissingSchema {
            name: &wanted.schema,
        });
    }
    for sequence in &wanted.sequences {
        if !found.sequences.iter().any(|s| s.name == sequence.name) && !is_numbered(found, sequence)
        {
            differences.push(Difference::MissingSequence { sequence });
        }
    }
    for table in &wanted.tables {
        match found.table(&table.name) {
            None => differences.push(Difference::MissingTable { table }),
            Some(found_table) => {
                compare_tables(target, origins, table, found_table, &mut differences)
            }
        }
    }
    let unknown = unknown_tables(wanted, found).filter(|table| target.drops_table(origins, table));
    differences.extend(unknown.map(|table| Difference::UnknownTable { table }));
    differences
}

fn unknown_tables<'a>(
    wanted: &DatabaseLayout,
    found: &'a DatabaseLayout,
) -> impl Iterator<Item = &'a Table> {
    let unknown = found
        .tables
        .iter()
        .filter(|table| wanted.table(&table.name).is_none());
    unknown.filter(|table| !PRISMA_TABLES.contains(&table.name.as_str()))
}

fn unknown_columns<'a>(wanted: &Table, found: &'a Table) -> impl Iterator<Item = &'a Column> {
    let unknown = found
        .columns
        .iter()
        .filter(|column| wanted.column(&column.name).is_none());
    // Old relation tables have an id of their own.
    unknown.filter(|column| wanted.purpose != TablePurpose::Relation || column.name != "id")
}

/// What is not in the datamodel, was never Gom's, and stays.
pub(super) fn left_alone(
    target: &MigrationTarget<'_>,
    found: &DatabaseLayout,
    origins: &OriginalNames,
) -> Vec<LeftAlone> {
    let mut all = Vec::new();
    for wanted in &target.wanted.tables {
        let Some(table) = found.table(&wanted.name) else {
            continue;
        };
        for column in
            unknown_columns(wanted, table).filter(|c| !target.drops_column(origins, table, c))
        {
            let what = format!("the column `{}.{}`", table.name, column.name);
            all.push(LeftAlone {
                what,
                forbids_rows: !column.nullable && column.default.is_none(),
            });
        }
    }
    let tables = unknown_tables(target.wanted, found).filter(|t| !target.drops_table(origins, t));
    all.extend(tables.map(|table| LeftAlone {
        what: format!("the table `{}`", table.name),
        forbids_rows: false,
    }));
    all
}

/// Whether the id that the sequence should number has some other maker already.
fn is_numbered(found: &DatabaseLayout, sequence: &SequenceLayout) -> bool {
    let Some((table, column)) = &sequence.owner else {
        return false;
    };
    found
        .table(table)
        .and_then(|t| t.column(column))
        .is_some_and(|c| c.default.is_some())
}

fn compare_tables<'a>(
    target: &MigrationTarget<'a>,
    origins: &OriginalNames,
    wanted: &'a Table,
    found: &'a Table,
    differences: &mut Vec<Difference<'a>>,
) {
    for column in &wanted.columns {
        match found.column(&column.name) {
            None => differences.push(Difference::MissingColumn {
                table: wanted,
                column,
            }),
            Some(found) => compare_columns(wanted, column, found, differences),
        }
    }
    let unknown =
        unknown_columns(wanted, found).filter(|column| target.drops_column(origins, found, column));
    differences.extend(unknown.map(|column| Difference::UnknownColumn {
        table: found,
        column,
    }));
    if wanted.purpose != TablePurpose::Relation && wanted.primary_key != found.primary_key {
        differences.push(Difference::PrimaryKey {
            table: wanted,
            found,
        });
    }
    for key in &wanted.foreign_keys {
        if !found.foreign_keys.iter().any(|f| key_serves(key, f)) {
            differences.push(Difference::MissingForeignKey { table: wanted, key });
        }
    }
    for key in &found.foreign_keys {
        let dropped_with_column = key.columns.iter().any(|c| wanted.column(c).is_none());
        let in_the_way = target.drops_key(origins, wanted, key);
        if !dropped_with_column
            && in_the_way
            && !wanted.foreign_keys.iter().any(|w| key_serves(w, key))
        {
            differences.push(Difference::UnknownForeignKey { table: found, key });
        }
    }
    for index in &wanted.indexes {
        if !found.indexes.iter().any(|f| index_serves(wanted, index, f)) {
            differences.push(Difference::MissingIndex {
                table: wanted,
                index,
            });
        }
    }
    for index in found
        .indexes
        .iter()
        .filter(|i| is_unneeded(&target.wanted.schema, wanted, i))
    {
        differences.push(Difference::UnneededIndex {
            table: found,
            index,
        });
    }
}

fn compare_columns<'a>(
    table: &'a Table,
    wanted: &'a Column,
    found: &'a Column,
    differences: &mut Vec<Difference<'a>>,
) {
    let own_id_of_links =
        table.purpose == TablePurpose::Relation && table.primary_key.contains(&wanted.name);
    if wanted.sql_type != found.sql_type && !own_id_of_links {
        differences.push(Difference::Type {
            table,
            wanted,
            found,
        });
    }
    if wanted.nullable != found.nullable && !own_id_of_links {
        differences.push(Difference::Nullability {
            table,
            column: wanted,
        });
    }
    if let (Some(ColumnDefault::NextValue(sequence)), None) = (&wanted.default, &found.default) {
        differences.push(Difference::MissingDefault {
            table,
            column: wanted,
            sequence,
        });
    }
}

fn key_serves(wanted: &ForeignKey, found: &ForeignKey) -> bool {
    wanted.columns == found.columns
        && wanted.target_table == found.target_table
        && wanted.target_columns == found.target_columns
        && wanted.on_delete == found.on_delete
}

fn index_serves(table: &Table, wanted: &Index, found: &Index) -> bool {
    // An index on a column that goes, goes with it.
    let stays = table.purpose == TablePurpose::Relation
        || found
            .column_names()
            .all(|column| table.column(column).is_some());
    if !found.plain || !stays {
        return false;
    }
    if wanted.unique && table.purpose == TablePurpose::Relation {
        // Either order keeps a link from standing twice.
        let same_columns = wanted
            .column_names()
            .all(|c| found.column_names().any(|f| f == c));
        return found.unique && same_columns && wanted.columns.len() == found.columns.len();
    }
    match wanted.unique {
        true => found.unique && found.column_names().eq(wanted.column_names()),
        false => found.columns.starts_with(&wanted.columns),
    }
}

fn is_unneeded(schema: &str, wanted: &Table, found: &Index) -> bool {
    let known = found.column_names().all(|c| wanted.column(c).is_some());
    if !known
        || found.constraint
        || wanted
            .indexes
            .iter()
            .any(|w| index_serves(wanted, w, found))
    {
        return false;
    }
    let ends_uniqueness = match found.columns.as_slice() {
        [one] => found.unique && is_unique_index(&found.name, schema, &wanted.name, &one.name),
        _ => false,
    };
    is_own_index(&found.name) || ends_uniqueness
}
