//! How many sockets and event streams there are on this node: in all, of each user, from each address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gom_telemetry::metrics::{self, CONNECTIONS_REFUSED};

use crate::settings::Sockets;

/// There is no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("There are {most} connections already {of} ({setting})")]
pub struct TooManyConnections {
    most: usize,
    of: &'static str,
    setting: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LimitScope {
    All,
    Address(String),
    User(String),
}

/// Shared by all workers.
#[derive(Clone, Default)]
pub struct ConnectionLimiter(Arc<Mutex<HashMap<LimitScope, usize>>>);

/// One connection's place, given back when it is dropped.
pub struct Place {
    connections: ConnectionLimiter,
    held: Vec<LimitScope>,
}

impl ConnectionLimiter {
    /// Takes a place for a connection from an address, of a user if one is known.
    ///
    /// # Errors
    /// Which bound leaves no room.
    pub fn enter(
        &self,
        bounds: &Sockets,
        address: &str,
        user: Option<&str>,
    ) -> Result<Place, TooManyConnections> {
        let all = TooManyConnections {
            most: bounds.total,
            of: "on this server",
            setting: "sockets.total",
        };
        let here = TooManyConnections {
            most: bounds.per_address,
            of: "from this address",
            setting: "sockets.per_address",
        };
        let own = of_user(bounds);
        let mut asked = vec![
            (LimitScope::All, all),
            (LimitScope::Address(address.to_owned()), here),
        ];
        asked.extend(user.map(|user| (LimitScope::User(user.to_owned()), own)));
        let mut place = Place {
            connections: self.clone(),
            held: Vec::with_capacity(asked.len()),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (scope, too_many) in asked {
            let count = counts.entry(scope.clone()).or_default();
            if *count >= too_many.most {
                // Given back when the lock is.
                drop(counts);
                CONNECTIONS_REFUSED.inc(match scope {
                    LimitScope::All => metrics::ConnectionLimit::Total,
                    LimitScope::Address(_) => metrics::ConnectionLimit::Address,
                    LimitScope::User(_) => metrics::ConnectionLimit::User,
                });
                return Err(too_many);
            }
            *count += 1;
            place.held.push(scope);
        }
        Ok(place)
    }
}

impl Place {
    /// The connection turns out to be this user's.
    ///
    /// # Errors
    /// If there is no room for another one of the user.
    pub fn is_of(&mut self, bounds: &Sockets, user: &str) -> Result<(), TooManyConnections> {
        let new = LimitScope::User(user.to_owned());
        if self.held.contains(&new) {
            return Ok(());
        }
        let mut counts = self
            .connections
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if counts
            .get(&new)
            .is_some_and(|count| *count >= bounds.per_user)
        {
            CONNECTIONS_REFUSED.inc(metrics::ConnectionLimit::User);
            return Err(of_user(bounds));
        }
        *counts.entry(new.clone()).or_default() += 1;
        let of_another = self
            .held
            .extract_if(.., |scope| matches!(scope, LimitScope::User(_)));
        for scope in of_another {
            leave(&mut counts, &scope);
        }
        self.held.push(new);
        Ok(())
    }

    /// The connection is this user's from now on, whether or not there would be room for a new one.
    pub fn belongs_to(&mut self, user: &str) {
        let new = LimitScope::User(user.to_owned());
        let Some(own) = self
            .held
            .iter_mut()
            .find(|scope| matches!(scope, LimitScope::User(_)))
        else {
            return;
        };
        let mut counts = self
            .connections
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        leave(&mut counts, own);
        *counts.entry(new.clone()).or_default() += 1;
        *own = new;
    }
}

fn of_user(bounds: &Sockets) -> TooManyConnections {
    TooManyConnections {
        most: bounds.per_user,
        of: "of this user",
        setting: "sockets.per_user",
    }
}

fn leave(counts: &mut HashMap<LimitScope, usize>, scope: &LimitScope) {
    if let Some(count) = counts.get_mut(scope) {
        *count -= 1;
        if *count == 0 {
            counts.remove(scope);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .connections
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.held.iter().for_each(|scope| leave(&mut counts, scope));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bounds() -> Sockets {
        Sockets {
            init_timeout: Duration::ZERO,
            message_bytes: 0,
            operations: 0,
            per_user: 1,
            per_address: 2,
            total: 3,
            queue_messages: 0,
            queue_bytes: 0,
            stall_timeout: Duration::ZERO,
            heartbeat: Duration::ZERO,
        }
    }

    #[test]
    fn a_connection_that_becomes_another_users_counts_for_that_one() {
        let (connections, bounds) = (ConnectionLimiter::default(), bounds());
        let mut place = connections.enter(&bounds, "a", Some("u")).unwrap();
        place.belongs_to("v");
        let refused = |user| {
            connections
                .enter(&bounds, "b", Some(user))
                .err()
                .map(|c| c.setting)
        };
        assert_eq!(
            (refused("u"), refused("v")),
            (None, Some("sockets.per_user"))
        );
        drop(place);
        assert_eq!(refused("v"), None);
    }

    #[test]
    fn a_connection_that_turns_out_to_be_a_users_needs_room_among_the_users() {
        let (connections, bounds) = (ConnectionLimiter::default(), bounds());
        let mut first = connections.enter(&bounds, "a", None).unwrap();
        let mut second = connections.enter(&bounds, "b", Some("v")).unwrap();
        assert_eq!(first.is_of(&bounds, "u"), Ok(()));
        assert_eq!(first.is_of(&bounds, "u"), Ok(()), "it is already");
        assert_eq!(second.is_of(&bounds, "u"), Err(of_user(&bounds)));
        drop(first);
        assert_eq!(second.is_of(&bounds, "u"), Ok(()));
        assert!(
            connections.enter(&bounds, "c", Some("v")).is_ok(),
            "it is no longer of the other"
        );
        drop(second);
        assert!(connections.0.lock().unwrap().is_empty());
    }

    #[test]
    fn each_bound_holds_and_places_come_back() {
        let (connections, bounds) = (ConnectionLimiter::default(), bounds());
        let refused = |address: &str, user| {
            connections
                .enter(&bounds, address, user)
                .err()
                .map(|c| c.setting)
        };
        let first = connections.enter(&bounds, "a", Some("u")).unwrap();
        assert_eq!(refused("a", Some("u")), Some("sockets.per_user"));
        let second = connections.enter(&bounds, "a", None).unwrap();
        assert_eq!(refused("a", None), Some("sockets.per_address"));
        let third = connections.enter(&bounds, "b", None).unwrap();
        assert_eq!(refused("c", None), Some("sockets.total"));
        drop(first);
        let again = connections.enter(&bounds, "b", Some("u")).unwrap();
        drop((second, third, again));
        assert!(connections.0.lock().unwrap().is_empty());
    }
}
