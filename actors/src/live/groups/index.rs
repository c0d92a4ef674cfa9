//! The part of the index that is of one model: which groups a change may concern. Pure.

use std::collections::HashMap;

use gom_engine::datamodel::FieldId;
use gom_engine::events::{Lead, Path, SubscriptionKey};

use super::GroupId;

/// The groups that a model's changes may concern.
#[derive(Default)]
pub(super) struct OfModel {
    pub paths: Vec<(Path, HashMap<String, Vec<GroupId>>)>,
    /// Those that every change may concern.
    pub all: Vec<GroupId>,
    /// How many of them report leaves: each change decides for them, by the rows as they were just after it.
    pub reporting_leaves: usize,
    /// Those that updates of a field may concern.
    pub updates: HashMap<FieldId, Vec<GroupId>>,
}

impl OfModel {
    /// From now on the lead leads to the group. `most`: so many paths there may be with this one.
    pub fn add(&mut self, lead: Lead, id: GroupId, most: usize) {
        match lead {
            Lead::All => self.all.push(id),
            Lead::Updates(fields) => {
                for field in fields {
                    self.updates.entry(field).or_default().push(id);
                }
            }
            Lead::Value(SubscriptionKey { path, value }) => {
                let known = self.paths.iter().position(|(known, _)| *known == path);
                let place = match known {
                    Some(place) => place,
                    // Its members pay for what the index cannot tell: others would, for a longer statement.
                    None if self.paths.len() >= most => return self.all.push(id),
                    None => {
                        self.paths.push((path, HashMap::new()));
                        self.paths.len() - 1
                    }
                };
                self.paths[place].1.entry(value).or_default().push(id);
            }
        }
    }

    /// The lead does not lead to the group any more.
    pub fn remove(&mut self, lead: &Lead, id: GroupId) {
        match lead {
            Lead::All => self.all.retain(|one| *one != id),
            Lead::Updates(fields) => {
                for field in fields {
                    if let Some(ids) = self.updates.get_mut(field) {
                        ids.retain(|one| *one != id);
                        if ids.is_empty() {
                            self.updates.remove(field);
                        }
                    }
                }
            }
            Lead::Value(SubscriptionKey { path, value }) => {
                let mut was_known = false;
                for (_, values) in self.paths.iter_mut().filter(|(known, _)| known == path) {
                    if let Some(ids) = values.get_mut(value) {
                        let before = ids.len();
                        ids.retain(|one| *one != id);
                        was_known |= ids.len() < before;
                        if ids.is_empty() {
                            values.remove(value);
                        }
                    }
                }
                self.paths.retain(|(_, values)| !values.is_empty());
                if !was_known {
                    self.all.retain(|one| *one != id);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.paths.is_empty() && self.updates.is_empty()
    }
}
