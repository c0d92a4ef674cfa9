//! Renames that are kept in a file beside the datamodel: each was right when it was written, and a
//! database may have seen all of them, some, or none.

use super::layout::DatabaseLayout;
use super::rename::{Rename, RenameError};

/// Reads such a file: a rename a line, the oldest first, as `--rename` takes them; `#` begins a
/// comment. What was renamed again later goes to its last name at once.
///
/// # Errors
/// The number of a line, from 1, and what is wrong with it.
pub fn read_renames(text: &str) -> Result<Vec<Rename>, (usize, RenameError)> {
    let mut renames: Vec<Rename> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let rename: Rename = line.parse().map_err(|error| (index + 1, error))?;
        renames.push(Rename {
            kept: true,
            ..rename
        });
    }
    let (mut tables, mut columns) = (Vec::new(), Vec::new());
    for rename in renames {
        if rename.column.is_none() {
            follow(&mut tables, rename, |earlier, later| {
                earlier.new_name == later.table
            });
        } else {
            columns.push(rename);
        }
    }
    let last_name = |table: &str| {
        tables
            .iter()
            .find(|rename| rename.table == table)
            .map_or(table, |rename| &rename.new_name)
            .to_owned()
    };
    let mut kept = Vec::new();
    for rename in columns {
        let rename = Rename {
            table: last_name(&rename.table),
            ..rename
        };
        follow(&mut kept, rename, |earlier, later| {
            earlier.table == later.table && Some(&earlier.new_name) == later.column.as_ref()
        });
    }
    Ok(tables
        .into_iter()
        .chain(kept)
        .filter(|rename| !rename.is_noop())
        .collect())
}

/// Adds a rename; earlier ones that led to what it renames lead to its new name.
fn follow(renames: &mut Vec<Rename>, later: Rename, leads: impl Fn(&Rename, &Rename) -> bool) {
    for earlier in renames.iter_mut().filter(|earlier| leads(earlier, &later)) {
        earlier.new_name.clone_from(&later.new_name);
    }
    renames.push(later);
}

/// Whether a table is there under the old name only, and wanted under the new one only: so that a
/// kept rename is to be done.
pub(super) fn moves_table(
    wanted: &DatabaseLayout,
    found: &DatabaseLayout,
    old: &str,
    new: &str,
) -> bool {
    let there = |layout: &DatabaseLayout, name: &str| layout.table(name).is_some();
    there(found, old) && !there(found, new) && there(wanted, new) && !there(wanted, old)
}

/// The same of a column of this table.
pub(super) fn moves_column(
    wanted: &DatabaseLayout,
    found: &DatabaseLayout,
    table: &str,
    rename: &Rename,
) -> bool {
    let there = |layout: &DatabaseLayout, name: &str| {
        layout
            .table(table)
            .is_some_and(|table| table.column(name).is_some())
    };
    let (old, new) = (
        rename.column.as_deref().unwrap_or_default(),
        rename.new_name.as_str(),
    );
    there(found, old) && !there(found, new) && there(wanted, new) && !there(wanted, old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        read_renames(text)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_was_renamed_twice_goes_to_its_last_name() {
        let text = "# 2026-11\nOrder.stage=state\nOrder=Purchase # a comment\n\nPurchase.state=status\nPurchase=Deal\nItem=Line\n";
        assert_eq!(
            read(text),
            [
                "Order=Deal",
                "Purchase=Deal",
                "Item=Line",
                "Deal.stage=status",
                "Deal.state=status"
            ]
        );
        assert_eq!(read("A=B\nB=A\n"), ["B=A"], "and back");
        assert_eq!(read("A.x=y\nA.y=x"), ["A.y=x"]);
        let (line, error) = read_renames("A=B\n\nA B").unwrap_err();
        assert!(
            line == 3 && error.to_string().contains("`A B` has no `=`"),
            "{line}: {error}"
        );
    }
}
