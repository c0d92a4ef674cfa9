//! From the change log to what subscribers receive: rows of the log become changes of nodes, and a
//! subscription selects which of them match and how they are read. Pure: reads no log and sends
//! nothing.

mod change;
mod condition;
mod cursor;
mod key;
mod membership;
mod merge;
mod moves;
mod payload;
mod subscription;
#[cfg(test)]
mod tests;
mod watched;

pub use change::{ChangeKind, LinkChange, LogKind, LogRow, NodeChange, UpdateCause};
pub use cursor::{Cursor, CursorError};
pub use key::SubscriptionKey;
pub use membership::Dependency;
pub use moves::{
    EventMessage, EventRun, MAX_MOVED, MoveReader, Moves, PlacedMessage, TooManyMoved,
};
pub use subscription::{Subscription, SubscriptionIdentity};
pub use watched::{Lead, Watched};

pub use crate::sql::Path;
