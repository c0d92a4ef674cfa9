//! What the process reports about itself: metrics, spans, health. Knows no actors and no databases.

pub mod causes;
pub mod health;
pub mod metrics;
pub mod traces;
