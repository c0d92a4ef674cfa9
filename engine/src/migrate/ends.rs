//! Tables of links whose columns change places. The ends of a relation stand in the order of the
//! alphabet: of its models, or of the fields where a model is related to itself. So a new name may
//! move an end to the other column, and its links must move with it.

use super::compare::MigrationTarget;
use super::layout::{DatabaseLayout, ForeignKey, Table, TablePurpose};
use super::names::free_name;
use super::rename::{Renaming, qualified, record_column, rename_step};
use super::rows::{FoundRows, RowQuery};
use super::step::Loss;

/// Exchanges the columns of each table of links whose ends stand on the other sides.
pub(super) fn swap(target: &MigrationTarget<'_>, found: &mut DatabaseLayout, steps: &mut Renaming) {
    let relations = target
        .wanted
        .tables
        .iter()
        .filter(|table| table.purpose == TablePurpose::Relation);
    for table in relations {
        swap_columns(target, table, found, steps);
    }
}

fn swap_columns(
    target: &MigrationTarget<'_>,
    wanted: &Table,
    found: &mut DatabaseLayout,
    steps: &mut Renaming,
) {
    let [a, b] = wanted.foreign_keys.as_slice() else {
        return;
    };
    let Some(found_table) = found.table(&wanted.name) else {
        return;
    };
    let previous = target
        .previous
        .and_then(|previous| previous.table(steps.origins.table(&wanted.name)));
    let crossed = match &wanted.ends {
        None => is_crossed(found_table, a, b),
        Some(ends) => {
            let before = previous.and_then(|previous| previous.ends.as_ref());
            before.is_some_and(|before| have_changed_places(before, ends))
        }
    };
    if !crossed {
        return;
    }
    let is_renamed = |table: &str| steps.origins.table(table) != table;
    let is_asked_for = [&wanted.name, &a.target_table, &b.target_table]
        .into_iter()
        .any(|name| is_renamed(name));
    let (a_column, b_column) = (&a.columns[0], &b.columns[0]);
    let spare = free_name("swap", |name| found_table.column(name).is_some());
    let origin = qualified(target.wanted, steps.origins.table(&wanted.name));
    for (old, new) in [(a_column, &spare), (b_column, a_column), (&spare, b_column)] {
        let mut step = rename_step(target.wanted, &wanted.name, old, new);
        // The names in `--rename` are the same for both versions: either would undo what the other
        // one has done.
        step.data_loss = (!is_asked_for).then(|| loss(&origin));
        steps.push(step);
        steps.origins.rename_column(&wanted.name, old, new);
        record_column(found, &wanted.name, old, new);
    }
}

/// The foreign keys show which column holds the ids of which end.
fn is_crossed(found: &Table, a: &ForeignKey, b: &ForeignKey) -> bool {
    let target = |column: &String| {
        let key = found
            .foreign_keys
            .iter()
            .find(|key| key.columns == [column.as_str()])?;
        Some(&key.target_table)
    };
    a.target_table != b.target_table
        && target(&a.columns[0]) == Some(&b.target_table)
        && target(&b.columns[0]) == Some(&a.target_table)
}

/// Of a model with itself only the fields distinguish the ends: one that keeps its name on the
/// other side has moved.
fn have_changed_places(before: &[Option<String>; 2], now: &[Option<String>; 2]) -> bool {
    let moved = |side: usize| before[side].is_some() && before[side] == now[1 - side];
    moved(0) || moved(1)
}

/// Nothing is lost, but for a version of the datamodel that is still served.
fn loss(table: &str) -> Loss {
    Loss {
        reason: "a server of the previous datamodel would read these links the other way round",
        query: RowQuery {
            sql: "SELECT 0::bigint, NULL::text, NULL::text".to_owned(),
            allowed: None,
        },
        table: table.to_owned(),
        rows: FoundRows::default(),
        only_for_rows: false,
        drops: true,
        always: false,
    }
}
