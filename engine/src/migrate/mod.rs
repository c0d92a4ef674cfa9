//! From a datamodel to its tables: the layout that it wants, the layout that a database has, and
//! the steps between the two. Pure: the catalog's rows and the running of steps are for others.

mod change_log;
mod compare;
mod convert;
mod ddl;
mod difference;
mod ends;
pub mod introspect;
mod kept_renames;
mod layout;
mod misfits;
mod names;
mod plan;
mod rename;
mod rows;
mod step;
#[cfg(test)]
mod tests;
mod wanted;
mod watch;

pub use change_log::{FoundTrigger, TRIGGERS_QUERY, change_log_steps, epoch_step, unlogged_tables};
pub use compare::{MigrationTarget, differences};
pub use difference::{Difference, LeftAlone};
pub use introspect::{found, links_with_required_id};
pub use kept_renames::read_renames;
pub use layout::*;
pub use misfits::{DataCheck, Misfit, Severity};
pub use names::{quote_identifier, quote_literal};
pub use plan::{MigrationPlan, plan};
pub use rename::{Rename, RenameError};
pub use rows::{FoundRows, MAX_ROWS, RowQuery};
pub use step::{Loss, MigrationStep};
pub use wanted::{column_type, layout};
pub use watch::{FoundWatch, WATCHES_QUERY, watch_steps};

/// The steps as one SQL text for review, in one transaction.
pub fn sql_text(steps: &[MigrationStep]) -> String {
    if steps.is_empty() {
        return String::from("-- The database is as the datamodel wants it.\n");
    }
    let mut text = String::from("BEGIN;\n");
    for step in steps {
        text.push_str(&format!("\n-- {}\n", in_comment(&step.description)));
        if let Some(reason) = &step.data_loss {
            text.push_str(&format!(
                "-- LOSES DATA: {}\n",
                in_comment(&reason.to_string())
            ));
        }
        text.push_str(&step.sql);
        text.push_str(";\n");
    }
    text.push_str("\nCOMMIT;\n");
    text
}

/// The text as a comment of SQL holds it, which ends with its line.
pub fn in_comment(text: &str) -> String {
    text.replace(char::is_control, " ")
}
