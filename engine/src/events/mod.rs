//! From the change log to what subscribers receive: rows of the log become changes of nodes, and a subscription says
//! which of them it wants and how they are read. Pure: who reads the log and who sends is elsewhere.

mod change;
mod cursor;

pub use change::{ChangeKind, LogKind, LogRow};
pub use cursor::{BadCursor, Cursor};
mod stub;
pub use stub::*;
