//! What actors run on: supervision and requests, the clock, permits, back-off, waiting lines with a share for each user,
//! threads, connections that are kept alive. Knows no databases and no messages of an actor.
//!
//! Four things are written once, here:
//!
//! | for | use | an example |
//! |---|---|---|
//! | the time | [`clock::Clock`]; waiting goes through tokio's timer | [`clock`] |
//! | a request to an actor | [`supervision::Supervised::ask`] | [`supervision`] |
//! | a bound on what is in flight | [`permits::Permits`] | [`permits`] |
//! | the pause before a retry | [`backoff::Backoff`] | [`backoff`] |

#![warn(missing_docs, unreachable_pub)]

pub mod backoff;
pub mod clock;
pub mod crash;
pub mod own_thread;
pub mod owner;
pub mod permits;
pub mod reconnecting;
pub mod supervision;
pub mod waiting;
