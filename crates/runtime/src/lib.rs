//! What actors run on: supervision, waiting lines with a share for each user, threads, connections that are kept alive.
//! Knows no databases and no messages of an actor.

pub mod crash;
pub mod own_thread;
pub mod owner;
pub mod reconnecting;
pub mod waiting;
pub mod watch;
