//! Columns of links that will lead to another table than they do.

use super::{MigrationPlanner, Phase};
use crate::migrate::layout::{Column, ForeignKey, Table, TablePurpose};
use crate::migrate::step::Loss;

impl MigrationPlanner<'_> {
    /// Whether a column of links will lead to another table than it does.
    pub(super) fn is_retargeted(&self, table: &Table, column: &Column) -> bool {
        let of = |keys: &[ForeignKey]| {
            keys.iter()
                .find(|key| key.columns == [column.name.as_str()])
                .map(|key| key.target_table.clone())
        };
        let found = self
            .found
            .table(&table.name)
            .and_then(|found| of(&found.foreign_keys));
        matches!((of(&table.foreign_keys), found), (Some(wanted), Some(found)) if wanted != found)
    }

    /// Removes what a column that is there holds and the new foreign key forbids.
    pub(super) fn make_room_for_links(&mut self, table: &Table, key: &ForeignKey) {
        let Some(found) = self.found.table(&table.name) else {
            return;
        };
        let [name] = key.columns.as_slice() else {
            return;
        };
        let (Some(wanted), Some(_)) = (table.column(name), found.column(name)) else {
            return;
        };
        let present = found
            .foreign_keys
            .iter()
            .find(|one| one.columns == key.columns);
        if present.is_some_and(|present| present.target_table == key.target_table) {
            return;
        }
        let value = self.queries.of_row(&table.name, name);
        let target = self
            .found
            .table(&key.target_table)
            .filter(|_| present.is_none());
        let orphans = target.zip(key.target_columns.first()).map(|(target, id)| {
            format!(
                "NOT EXISTS (SELECT FROM {} p WHERE p.{}::text = {value}::text)",
                self.queries.table(&target.name),
                self.queries.column(&target.name, id)
            )
        });
        let of_model = table.purpose == TablePurpose::Model;
        let lost = match &orphans {
            Some(orphans) => format!("({value} IS NOT NULL AND {orphans})"),
            None => "true".to_owned(),
        };
        let condition = if orphans.is_some() {
            lost.clone()
        } else {
            format!("{value} IS NOT NULL")
        };
        let reason = "links to what is no node of the other model are lost";
        let Some(loss) = self.loss(table, reason, &condition) else {
            return;
        };
        // In a table of links the row goes, and with it what its other columns hold.
        for column in found
            .columns
            .iter()
            .filter(|column| column.name == *name || !of_model)
        {
            let place = (table.name.clone(), column.name.clone());
            let lost = match self.lost.get(&place) {
                Some(before) if lost != "true" => format!("({before} OR {lost})"),
                _ => lost.clone(),
            };
            self.lost.insert(place, lost);
        }
        let target = &key.target_table;
        let same_type = found
            .column(name)
            .is_some_and(|found| found.sql_type == wanted.sql_type);
        let (phase, sql) = match (of_model, orphans.is_some()) {
            (true, false) => (Phase::AlterColumn, self.ddl.empty(table, wanted)),
            (true, true) => (Phase::Unlink, self.ddl.unlink(table, wanted, key)),
            (false, false) => (
                Phase::AlterColumn,
                self.ddl.remove_all_links(table, wanted, same_type),
            ),
            (false, true) => (Phase::Unlink, self.ddl.remove_links(table, wanted, key)),
        };
        let description = format!(
            "empty `{}.{name}` of what is no node in `{target}`",
            table.name
        );
        let only_for_rows = same_type || phase == Phase::Unlink;
        self.push(phase, description, sql).data_loss = Some(Loss {
            only_for_rows,
            ..loss
        });
    }
}
