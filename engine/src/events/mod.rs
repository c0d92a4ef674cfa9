//! From the change log to what subscribers receive: rows of the log become changes of nodes, and a subscription says
//! which of them it wants and how they are read. Pure: who reads the log and who sends is elsewhere.

mod change;
mod condition;
mod cursor;
mod key;
mod merge;
mod payload;
mod subscription;
#[cfg(test)]
mod tests;

pub use change::{Cause, Change, ChangeKind, LinkChange, LogKind, LogRow};
pub use cursor::{BadCursor, Cursor};
pub use key::Key;
pub use subscription::{Identity, Subscription};

pub use crate::sql::Path;
