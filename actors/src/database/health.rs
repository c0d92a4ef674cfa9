//! The database's state as everybody sees it: written by the supervisor, read by the workers and `/readyz`.

use tokio::sync::watch;
use tokio::time::Instant;

use super::error::RunError;
use gom_telemetry::metrics::{DATABASE_STATE, State};

/// What can be done with the database now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// Not reached since the start of the process.
    Connecting {
        /// Why the last attempt failed; nothing before the first has ended.
        reason: Option<String>,
    },
    /// Takes reads and writes.
    Ready,
    /// Takes reads only: it is in recovery, or its default is read-only transactions.
    ReadOnly,
    /// Lives, but gives no further connections: what is connected goes on.
    OutOfConnections,
    /// Was there, and does not answer.
    Down {
        /// Why it counts as down.
        reason: String,
    },
}

impl DatabaseState {
    /// A stable name for `/readyz` and for logs.
    pub fn name(&self) -> &'static str {
        match self {
            DatabaseState::Connecting { .. } => "connecting",
            DatabaseState::Ready => "ready",
            DatabaseState::ReadOnly => "read_only",
            DatabaseState::OutOfConnections => "out_of_connections",
            DatabaseState::Down { .. } => "down",
        }
    }

    fn show(&self) {
        for state in State::ALL {
            DATABASE_STATE.set(*state, u64::from(state.as_str() == self.name()));
        }
    }

    pub(super) fn is_up(&self) -> bool {
        !matches!(
            self,
            DatabaseState::Connecting { .. } | DatabaseState::Down { .. }
        )
    }
}

/// What the last looks at the server's health have found. Read it with [`super::Database::health`].
#[derive(Debug, Clone)]
pub struct Health {
    /// Whether statements can run.
    pub state: DatabaseState,
    /// When the state began.
    pub since: Instant,
    /// When the server last answered a look at its health.
    pub last_success: Option<Instant>,
    /// As `server_version` says it, for example `15.18`.
    pub server_version: Option<String>,
    /// Counts the server's returns: connections from before the last one are not used again.
    pub generation: u64,
}

impl Health {
    /// Whether a read has somebody to ask.
    pub(super) fn admits_reads(&self) -> Result<(), RunError> {
        match &self.state {
            DatabaseState::Connecting {
                reason: Some(reason),
            }
            | DatabaseState::Down { reason } => Err(RunError::unavailable(reason.clone())),
            DatabaseState::Connecting { reason: None } => {
                Err(RunError::unavailable("not connected yet"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn admits_writes(&self) -> Result<(), RunError> {
        if self.state == DatabaseState::ReadOnly {
            return Err(RunError::unavailable("it takes no writes at the moment"));
        }
        self.admits_reads()
    }
}

/// Where the health is written; outlives the supervisor that writes it.
#[derive(Debug)]
pub(super) struct HealthChannel {
    health: watch::Sender<Health>,
}

impl HealthChannel {
    pub fn new() -> Self {
        let state = DatabaseState::Connecting { reason: None };
        state.show();
        let (health, _) = watch::channel(Health {
            state,
            since: Instant::now(),
            last_success: None,
            server_version: None,
            generation: 0,
        });
        HealthChannel { health }
    }

    pub fn subscribe(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub fn read(&self) -> Health {
        self.health.borrow().clone()
    }

    /// The server answered. Tells the workers only if that changes anything.
    pub fn up(&self, state: DatabaseState, server_version: String) {
        self.health.send_if_modified(|health| {
            let now = Instant::now();
            let returned = !health.state.is_up();
            if returned {
                health.generation += 1;
            }
            health.last_success = Some(now);
            health.server_version = Some(server_version);
            enter(health, state, now) || returned
        });
    }

    /// The server does not answer, or has no room.
    pub fn failed(&self, reason: String, no_room: bool) {
        self.health.send_if_modified(|health| {
            let state = match &health.state {
                _ if no_room => DatabaseState::OutOfConnections,
                DatabaseState::Connecting { .. } => DatabaseState::Connecting {
                    reason: Some(reason),
                },
                _ => DatabaseState::Down { reason },
            };
            if no_room && !health.state.is_up() {
                health.generation += 1;
            }
            enter(health, state, Instant::now())
        });
    }
}

/// Whether the state changed; `since` stays when only the reason did.
fn enter(health: &mut Health, state: DatabaseState, now: Instant) -> bool {
    if health.state == state {
        return false;
    }
    if health.state.name() != state.name() {
        health.since = now;
        match &state {
            DatabaseState::Ready => tracing::info!(state = state.name(), "database"),
            DatabaseState::Connecting {
                reason: Some(reason),
            }
            | DatabaseState::Down { reason } => {
                tracing::warn!(state = state.name(), reason, "database");
            }
            _ => tracing::warn!(state = state.name(), "database"),
        }
    } else if let DatabaseState::Connecting {
        reason: Some(reason),
    } = &state
    {
        tracing::warn!(state = state.name(), reason, "database");
    }
    state.show();
    health.state = state;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_return_starts_a_new_generation() {
        let health_channel = HealthChannel::new();
        let seen = || {
            (
                health_channel.read().state.name(),
                health_channel.read().generation,
            )
        };
        assert_eq!(seen(), ("connecting", 0));
        health_channel.failed("refused".into(), false);
        assert_eq!(seen(), ("connecting", 0));
        health_channel.up(DatabaseState::Ready, "15.1".into());
        assert_eq!(seen(), ("ready", 1));
        health_channel.up(DatabaseState::ReadOnly, "15.1".into());
        assert_eq!(seen(), ("read_only", 1));
        health_channel.failed("gone".into(), false);
        assert_eq!(seen(), ("down", 1));
        assert!(health_channel.read().admits_reads().is_err());
        health_channel.failed("too many".into(), true);
        assert_eq!(seen(), ("out_of_connections", 2));
        health_channel.up(DatabaseState::Ready, "15.1".into());
        assert_eq!(seen(), ("ready", 2));
    }

    #[test]
    fn a_read_only_server_takes_reads() {
        let health_channel = HealthChannel::new();
        health_channel.up(DatabaseState::ReadOnly, "15.1".into());
        assert!(health_channel.read().admits_reads().is_ok());
        assert!(matches!(
            health_channel.read().admits_writes(),
            Err(RunError::Unavailable { .. })
        ));
    }
}
