//! The events that a subscriber must receive, derived from what queries found before and after a transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gom_engine::datamodel::ModelId;
use gom_engine::events::{ChangeKind, NodeChange, UpdateCause};
use serde_json::{Value, json};

use crate::session::Session;
use crate::world::{Asked, Viewer, World};

/// By id.
pub type Nodes = BTreeMap<String, Value>;

/// What viewers see at one moment, by viewer and model.
#[derive(Default)]
pub struct Moment(HashMap<Option<Viewer>, Vec<Nodes>>);

impl Moment {
    pub async fn look<'a>(
        client: &Session,
        world: &World,
        viewers: impl Iterator<Item = &'a Option<Viewer>>,
    ) -> Moment {
        let mut moment = Moment::default();
        for viewer in viewers {
            if moment.0.contains_key(viewer) {
                continue;
            }
            let mut seen = Vec::new();
            for model in world.models() {
                let statement = world.view(model, viewer.as_ref());
                seen.push(nodes(&client.rows(&statement).await[0].get::<_, String>(0)));
            }
            moment.0.insert(viewer.clone(), seen);
        }
        moment
    }

    pub fn of(&self, viewer: &Option<Viewer>, model: ModelId) -> &Nodes {
        &self.0[viewer][model.0]
    }
}

/// The nodes that a query with the subscription's filter finds.
pub async fn found(client: &Session, world: &World, asked: &Asked) -> BTreeSet<String> {
    let answer = client.rows(&world.query_of(asked)).await[0].get::<_, String>(0);
    nodes(&answer).into_keys().collect()
}

fn nodes(answer: &str) -> Nodes {
    let nodes: Vec<Value> = serde_json::from_str(answer).unwrap();
    let id = |node: &Value| {
        node["id"]
            .as_str()
            .map_or_else(|| node["id"].to_string(), str::to_owned)
    };
    nodes.into_iter().map(|node| (id(&node), node)).collect()
}

/// What a subscription with conditions on nodes alone gets.
pub struct Oracle<'a> {
    pub world: &'a World,
    pub asked: &'a Asked,
    pub before: &'a Moment,
    pub after: &'a Moment,
    /// What its query found before the transaction.
    pub found_before: &'a BTreeSet<String>,
    /// What it finds when the event is read.
    pub found_now: &'a BTreeSet<String>,
}

impl Oracle<'_> {
    /// `(updatedFields, previousValues)`, or nothing where no event is due.
    pub fn of(&self, change: &NodeChange) -> Option<(Value, Value)> {
        let viewer = &self.asked.role;
        let before = self.before.of(viewer, change.model).get(&change.id);
        let previous = before.cloned().unwrap_or(Value::Null);
        if change.kind == ChangeKind::Deleted {
            return self
                .found_before
                .contains(&change.id)
                .then_some((Value::Null, previous));
        }
        if !self.found_now.contains(&change.id)
            || !self.after.of(viewer, change.model).contains_key(&change.id)
        {
            return None;
        }
        if change.kind == ChangeKind::Created {
            return Some((Value::Null, Value::Null));
        }
        let of = self.world.planner.physical().model.model(change.model);
        if viewer.is_some() && before.is_none() {
            return Some((
                of.fields.iter().map(|field| json!(field.name)).collect(),
                Value::Null,
            ));
        }
        let sees = |moment: &Moment, field, partner: &str| {
            let target = of.field(field).relation().unwrap().target;
            moment.of(viewer, target).contains_key(partner)
        };
        let named = change.updated.iter().filter(|field| {
            let mut links = change.links.iter().filter(|link| link.field == **field);
            of.field(**field).relation().is_none()
                || change.cause == UpdateCause::Replaced
                || viewer.is_none()
                || links.any(|link| {
                    (link.came && sees(self.after, **field, &link.partner))
                        || (link.went && sees(self.before, **field, &link.partner))
                })
        });
        let named: Vec<Value> = named.map(|field| json!(of.field(*field).name)).collect();
        let delivered = viewer.is_none() || change.cause != UpdateCause::Parts || !named.is_empty();
        delivered.then_some((Value::Array(named), previous))
    }
}
