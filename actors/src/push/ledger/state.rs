//! The states of deliveries, and their texts in `gom.delivery`. Statements that name one in their SQL are compared with these by a
//! test.

use serde::{Serialize, Serializer};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::push) enum DeliveryState {
    /// It is due, or will be.
    Waiting,
    /// An attempt is intended: the message may have been sent.
    Sending,
    /// The push service has accepted the message.
    Delivered,
    /// No further attempt is made.
    Failed,
    /// The device is no longer the recipient's.
    Gone,
    /// Its time passed before an attempt succeeded.
    Expired,
    /// A newer notification of the same topic took its place.
    Superseded,
}

impl DeliveryState {
    #[cfg(test)]
    pub const ALL: [DeliveryState; 7] = [
        DeliveryState::Waiting,
        DeliveryState::Sending,
        DeliveryState::Delivered,
        DeliveryState::Failed,
        DeliveryState::Gone,
        DeliveryState::Expired,
        DeliveryState::Superseded,
    ];

    /// As the table has it.
    pub fn text(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "WAITING",
            DeliveryState::Sending => "SENDING",
            DeliveryState::Delivered => "DELIVERED",
            DeliveryState::Failed => "FAILED",
            DeliveryState::Gone => "GONE",
            DeliveryState::Expired => "EXPIRED",
            DeliveryState::Superseded => "SUPERSEDED",
        }
    }

    /// Whether another attempt follows, or one is being made.
    pub fn is_open(self) -> bool {
        matches!(self, DeliveryState::Waiting | DeliveryState::Sending)
    }
}

impl Serialize for DeliveryState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::deliveries;
    use super::*;

    #[test]
    fn the_ledgers_statements_name_these_states_and_no_others() {
        let statements = [
            deliveries::CLAIM.as_str(),
            include_str!("backlog.rs"),
            include_str!("deliveries.rs"),
            include_str!("jobs.rs"),
            include_str!("notifications.rs"),
            include_str!("readdress.rs"),
        ];
        let is_state = |text: &&str| {
            !text.is_empty() && text.chars().all(|character| character.is_ascii_uppercase())
        };
        let named: BTreeSet<&str> = statements
            .iter()
            .flat_map(|text| text.split('\''))
            .filter(is_state)
            .collect();
        let all: BTreeSet<&str> = DeliveryState::ALL.map(DeliveryState::text).into();
        assert_eq!(named, all);
    }

    #[test]
    fn the_first_migration_gives_new_deliveries_the_state_that_is_claimed() {
        let table = include_str!("../../../../migrations/V6__push_jobs.sql");
        let default = format!(
            "state text NOT NULL DEFAULT '{}'",
            DeliveryState::Waiting.text()
        );
        assert!(table.contains(&default));
    }
}
