//! The owner of a subscription.

use std::sync::Arc;

/// On whose behalf a subscription is decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// Anyone who holds the service's secret: trusted not to slow down others.
    Service,
    /// A user's subject.
    User(Arc<str>),
}
