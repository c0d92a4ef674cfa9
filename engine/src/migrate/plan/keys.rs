//! Foreign keys: those that come, those that go, and those that make way for a while.

use super::{Phase, Planner};
use crate::migrate::compare::DescribedKey;
use crate::migrate::layout::{ForeignKey, Table};
use crate::migrate::names::free_name;

impl Planner<'_> {
    /// Drops the foreign keys that stand in the way of a change, and brings back those that are wanted.
    pub(super) fn suspend_keys(&mut self, in_the_way: impl Fn(&Table, &ForeignKey) -> bool) {
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

    pub(super) fn drop_foreign_key(&mut self, table: &Table, key: &ForeignKey) {
        if self.suspended.insert((table.name.clone(), key.name.clone())) {
            let description = format!("drop the foreign key {}", DescribedKey(table, key));
            self.push(Phase::DropForeignKey, description, self.ddl.drop_constraint(table, &key.name));
        }
    }

    pub(super) fn add_foreign_key(&mut self, table: &Table, key: &ForeignKey) {
        let name = free_name(&key.name, |name| {
            let existing =
                self.found.table(&table.name).map(|t| t.foreign_keys.as_slice()).unwrap_or_default();
            let stays = !self.suspended.contains(&(table.name.clone(), name.to_string()));
            stays && existing.iter().any(|k| k.name == name && k.columns != key.columns)
        });
        let description = format!("add the foreign key {}", DescribedKey(table, key));
        self.push(Phase::AddForeignKey, description, self.ddl.add_foreign_key(table, key, &name));
    }
}
