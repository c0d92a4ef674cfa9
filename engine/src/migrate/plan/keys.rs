//! Foreign keys: those that come, those that go, and those that make way for a while.

use std::collections::HashSet;

use super::{MigrationPlanner, Phase};
use crate::migrate::difference::{DescribedKey, Difference};
use crate::migrate::layout::{ForeignKey, Table};
use crate::migrate::names::free_name;
use crate::migrate::step::{Loss, MigrationStep};

/// Table and name of the foreign keys that go for good.
pub(super) fn going(differences: &[Difference<'_>]) -> HashSet<(String, String)> {
    let keys = differences.iter().flat_map(|difference| match difference {
        Difference::UnknownTable { table } => keys_of(table, |_| true),
        Difference::UnknownColumn { table, column } => {
            keys_of(table, |key| key.columns.contains(&column.name))
        }
        Difference::UnknownForeignKey { table, key: goes } => {
            keys_of(table, |key| key.name == goes.name)
        }
        _ => Vec::new(),
    });
    keys.collect()
}

fn keys_of(table: &Table, such: impl Fn(&ForeignKey) -> bool) -> Vec<(String, String)> {
    let keys = table.foreign_keys.iter().filter(|key| such(key));
    keys.map(|key| (table.name.clone(), key.name.clone()))
        .collect()
}

impl MigrationPlanner<'_> {
    /// Drops the foreign keys that stand in the way of a change, and brings back those that are
    /// wanted or left alone. One that is left alone and cannot come back is a loss.
    pub(super) fn suspend_keys(&mut self, in_the_way: impl Fn(&Table, &ForeignKey) -> bool) {
        let found = self.found;
        for table in &found.tables {
            for key in table.foreign_keys.iter().filter(|k| in_the_way(table, k)) {
                if self
                    .suspended
                    .contains(&(table.name.clone(), key.name.clone()))
                {
                    continue;
                }
                let goes = self.going.contains(&(table.name.clone(), key.name.clone()));
                let stays = self.wanted.table(&table.name).filter(|wanted| {
                    wanted.foreign_keys.iter().any(|w| {
                        let same_columns =
                            w.columns == key.columns && w.target_columns == key.target_columns;
                        same_columns
                            && w.target_table == key.target_table
                            && w.on_delete == key.on_delete
                    })
                });
                let (stays, returns) = (stays.is_some(), self.can_return(table, key));
                let loss = (!goes && !stays && !returns)
                    .then(|| self.loss_of_key(table, key))
                    .flatten();
                if let Some(step) = self.drop_foreign_key(table, key) {
                    step.data_loss = loss;
                }
                if stays || (!goes && returns) {
                    self.add_foreign_key(table, key);
                }
            }
        }
    }

    /// Whether the database will take the same key again.
    fn can_return(&self, table: &Table, key: &ForeignKey) -> bool {
        let type_after = |table: &str, column: &String| {
            let layouts = [self.wanted, self.found];
            let column = layouts
                .into_iter()
                .find_map(|layout| layout.table(table)?.column(column))?;
            Some(family(&column.sql_type))
        };
        let agree = key
            .columns
            .iter()
            .zip(&key.target_columns)
            .all(|(from, to)| {
                let to = type_after(&key.target_table, to);
                to.is_some() && type_after(&table.name, from) == to
            });
        let unique = self.wanted.table(&key.target_table).is_none_or(|target| {
            let same = |columns: Vec<&str>| {
                columns
                    .into_iter()
                    .eq(key.target_columns.iter().map(String::as_str))
            };
            same(target.primary_key.iter().map(String::as_str).collect())
                || target
                    .indexes
                    .iter()
                    .any(|index| index.unique && same(index.column_names().collect()))
        });
        key.plain && agree && unique
    }

    fn loss_of_key(&self, table: &Table, key: &ForeignKey) -> Option<Loss> {
        let filled = key
            .columns
            .iter()
            .map(|column| format!("{} IS NOT NULL", self.queries.of_row(&table.name, column)));
        let reason =
            "a foreign key that is not in the datamodel is lost, and rows may then lead nowhere";
        let loss = self.loss(table, reason, &filled.collect::<Vec<_>>().join(" AND "))?;
        Some(Loss {
            always: true,
            ..loss
        })
    }

    /// The step, if there is none yet.
    pub(super) fn drop_foreign_key(
        &mut self,
        table: &Table,
        key: &ForeignKey,
    ) -> Option<&mut MigrationStep> {
        if !self
            .suspended
            .insert((table.name.clone(), key.name.clone()))
        {
            return None;
        }
        let description = format!("drop the foreign key {}", DescribedKey(table, key));
        Some(self.push(
            Phase::DropForeignKey,
            description,
            self.ddl.drop_constraint(table, &key.name),
        ))
    }

    pub(super) fn add_foreign_key(&mut self, table: &Table, key: &ForeignKey) {
        let name = free_name(&key.name, |name| {
            let existing = self
                .found
                .table(&table.name)
                .map(|t| t.foreign_keys.as_slice())
                .unwrap_or_default();
            let stays = !self
                .suspended
                .contains(&(table.name.clone(), name.to_string()));
            stays
                && existing
                    .iter()
                    .any(|k| k.name == name && k.columns != key.columns)
        });
        let description = format!("add the foreign key {}", DescribedKey(table, key));
        self.push(
            Phase::AddForeignKey,
            description,
            self.ddl.add_foreign_key(table, key, &name),
        );
    }
}

/// Types among which a foreign key may lead: one name for them all.
fn family(sql_type: &str) -> &str {
    match sql_type {
        "smallint" | "integer" | "bigint" => "integer",
        text if text.starts_with("character varying") => "text",
        other => other,
    }
}
