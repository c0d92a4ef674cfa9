//! A datamodel with a policy, and log rows, for the tests of events.

mod leaves;
mod merging;
mod payloads;
mod subscriptions;
mod watched;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::datamodel;
use crate::error::ErrorKind;
use crate::plan::{PageLimits, Planner, Rights};
use crate::policy::{Permissions, Policy, PolicySource};
use crate::request::{RequestLimits, RequestOptions, Requests};
use crate::schema::{SchemaOptions, Served, generate};
use crate::sql::{Physical, PhysicalOptions};

const DATAMODEL: &str = r#"
    type Node1 {
      id: ID! @id
      text: String
      code: String @unique
      secret: String
      note: String
      size: Int @db(name: "how_big")
      tags: [String] @scalarList(strategy: RELATION)
      parent: Node1 @relation(name: "Tree", link: INLINE)
      children: [Node1] @relation(name: "Tree")
      friends: [Friend] @relation(name: "Friends", link: TABLE)
      owner: Friend @relation(name: "Owned", link: INLINE)
    }

    type Friend {
      id: ID! @id
      name: String! @unique
      nodes: [Node1] @relation(name: "Friends")
    }
"#;

struct World {
    requests: Requests,
    planner: Planner,
    policy: Arc<Policy>,
}

fn world() -> World {
    let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
    let schema = Arc::new(generate(&model, SchemaOptions::default()));
    let served = Served::new(&schema).expect("it can be served");
    let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
    let source: PolicySource = serde_json::from_value(json!({
        "operations": {"subscription": {"node1": "subscribe:node1"}},
        "roles": {"user": {
            "rows": {"Node1": "{ owner: { name: $sub } }", "Friend": "{ name: $sub }"},
            "fields": {"Node1": ["id", "text", "code", "size", "tags", "owner", "note"]},
            "shown": {"Node1.note": "{ friends_some: { name: $sub } }"},
        }},
    }))
    .expect("a policy");
    let policy = Policy::new(&source, &physical.model, &schema).expect("a sound policy");
    let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
    let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
    let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
    World {
        requests,
        planner,
        policy: Arc::new(policy),
    }
}

impl World {
    fn rights(&self, claims: &Value) -> Arc<Rights> {
        let none = Map::new();
        let claims = claims.as_object().unwrap_or(&none);
        let permissions = Permissions::of(["role:user", "subscribe:node1"]);
        Arc::new(
            self.planner
                .rights(&self.policy, permissions, claims)
                .expect("rights"),
        )
    }

    fn subscribe(
        &self,
        text: &str,
        rights: Option<Arc<Rights>>,
    ) -> Result<Subscription, crate::error::ApiError> {
        let prepared = self
            .requests
            .prepare(text, None, &RequestLimits::UNLIMITED)
            .expect("a sound document");
        let variables = self.requests.coerce(&prepared.operation, &Map::new())?;
        self.planner
            .subscription(&prepared, variables, PageLimits::default(), rights)
    }

    fn with(&self, filter: &str) -> Subscription {
        self.subscribe(
            &format!("subscription {{ node1(where: {filter}) {{ mutation }} }}"),
            None,
        )
        .expect("sound")
    }

    /// `MODEL ID KIND [updated fields] old`, for each change.
    fn changes(&self, rows: &[LogRow]) -> Vec<String> {
        let shown = |change: &NodeChange| {
            let model = self.planner.model().model(change.model);
            let updated: Vec<&str> = change
                .updated
                .iter()
                .map(|f| model.field(*f).name.as_str())
                .collect();
            let old = change.old.as_deref().unwrap_or("-");
            format!(
                "{} {} {} {updated:?} {old}",
                model.name,
                change.id,
                change.kind.name()
            )
        };
        self.planner.changes(rows, 1, 0).iter().map(shown).collect()
    }
}

fn row(table: &str, kind: char, node: &str) -> LogRow {
    LogRow {
        table: table.into(),
        kind: LogKind::of(kind).expect("a kind"),
        node: node.into(),
        partner: None,
        columns: Vec::new(),
        old: None,
        links: None,
    }
}

impl LogRow {
    fn columns(mut self, columns: &[&str]) -> Self {
        self.columns = columns.iter().map(|&c| c.to_owned()).collect();
        self
    }

    fn old(mut self, old: Value) -> Self {
        self.old = Some(old.to_string());
        self
    }

    fn links(mut self, links: Value) -> Self {
        self.links = Some(links.to_string());
        self
    }

    fn partner(mut self, partner: &str) -> Self {
        self.partner = Some(partner.into());
        self
    }
}
