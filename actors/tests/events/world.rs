//! A datamodel with every kind of link, random rows and random subscriptions.

mod rows;

use std::sync::Arc;

use gom_actors::migrations::{Deployment, apply};
use gom_engine::datamodel::{self, FieldKind, ModelId, ScalarType};
use gom_engine::error::ApiError;
use gom_engine::events::Subscription;
use gom_engine::plan::{Access, PageLimits, Planner, Rights, Statement};
use gom_engine::policy::{Permissions, Policy, PolicySource};
use gom_engine::request::{PreparedOperation, RequestLimits, RequestOptions, Requests, Variables};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use serde_json::{Value, json};
use tokio_postgres::Client;

pub use self::rows::{id, literal, table};
use gom_test_support::dice::Dice;

pub const SCHEMA: &str = "default$default";

const DATAMODEL: &str = r#"
    enum Color { RED GREEN }

    type Thing {
      id: ID! @id
      name: String!
      text: String
      code: String @unique
      int: Int
      flag: Boolean
      color: Color
      amount: Float
      time: DateTime
      json: Json
      tags: [String] @scalarList(strategy: RELATION)
      times: [DateTime] @scalarList(strategy: RELATION)
      parent: Thing @relation(name: "Tree", link: INLINE)
      children: [Thing] @relation(name: "Tree")
      likes: [Thing] @relation(name: "Likes", link: TABLE)
      likedBy: [Thing] @relation(name: "Likes")
      crate: Crate @relation(name: "InCrate", link: INLINE)
      lidOf: Crate @relation(name: "Lid")
      labels: [Label] @relation(name: "Labelled", link: TABLE)
    }

    type Crate {
      id: UUID! @id
      note: String
      size: Int @unique
      things: [Thing] @relation(name: "InCrate")
      lid: Thing @relation(name: "Lid", link: INLINE)
    }

    type Label {
      id: Int! @id(strategy: SEQUENCE)
      word: String! @unique
      things: [Thing] @relation(name: "Labelled")
    }
"#;

pub const NAMES: &[&str] = &["a", "b", "it's"];
pub const PER_MODEL: usize = 6;
const LIMITS: PageLimits = PageLimits {
    section: "limits",
    page_size: Some(100),
    answer_bytes: None,
    text_bytes: None,
};

/// The subscription of a subscriber.
#[derive(Debug)]
pub struct Asked {
    pub model: ModelId,
    pub filter: Value,
    pub role: Option<Viewer>,
}

/// A role, and what its rules compare with.
pub type Viewer = (&'static str, String);

fn shape(model: &str) -> &'static str {
    match model {
        "Thing" => "{ id name text code int flag color amount time json tags times }",
        "Crate" => "{ id note size }",
        _ => "{ id word }",
    }
}

pub struct World {
    pub planner: Planner,
    requests: Requests,
    policy: Arc<Policy>,
}

impl World {
    pub async fn create(client: &mut Client) -> World {
        let model = datamodel::parse("datamodel.prisma", DATAMODEL).unwrap();
        let deployment = Deployment::new(&model, DATAMODEL, SCHEMA);
        apply(client, &deployment, &|_| ()).await.unwrap();
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let served = Served::new(&schema).unwrap();
        // Every kind of relation decides what a viewer sees: in a column of either end, in a table, of one and of many.
        let rows = |name: &str, thing: &str, crate_: &str, label: &str| json!({ name: {"rows": {"Thing": thing, "Crate": crate_, "Label": label}} });
        let all = "{}";
        let mut roles = serde_json::Map::new();
        for role in [
            rows("named", "{ name: $sub }", all, all),
            rows(
                "tree",
                "{ parent: { name: $sub } }",
                "{ things_some: { code: $sub } }",
                "{ word: $sub }",
            ),
            rows(
                "labelled",
                "{ labels_some: { word: $sub } }",
                "{ lid: { code: $sub } }",
                all,
            ),
            rows(
                "crated",
                "{ crate: { lid: { labels_some: { word: $sub } } } }",
                "{ lid: { code: $sub } }",
                all,
            ),
            rows(
                "unlike",
                "{ likes_none: { code: $sub } }",
                "{ NOT: [{ lid: { code: $sub } }] }",
                all,
            ),
            rows(
                "either",
                "{ OR: [{ code: $sub }, { children_some: { code: $sub } }] }",
                all,
                all,
            ),
            rows(
                "everywhere",
                "{ labels_some: { things_some: { code: $sub } } }",
                "{ lid: { crate: { things_some: { code: $sub } } } }",
                "{ things_some: { labels_some: { word: $sub } } }",
            ),
            rows(
                "ones",
                "{ lidOf: { things_some: { name: $sub } } }",
                "{ lid: { name: $sub } }",
                "{ things_none: { code: $sub } }",
            ),
        ] {
            roles.extend(role.as_object().unwrap().clone());
        }
        let source: PolicySource = serde_json::from_value(json!({
            "operations": {
                "subscription": {"thing": "see:all", "crate": "see:all", "label": "see:all"},
                "query": {"things": "see:all", "crates": "see:all", "labels": "see:all"},
            },
            "roles": roles,
        }))
        .unwrap();
        let policy =
            Policy::new(&source, &model, &schema).unwrap_or_else(|problems| panic!("{problems:?}"));
        let physical = Physical::new(model, &PhysicalOptions::in_schema(SCHEMA));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        World {
            planner,
            requests,
            policy: Arc::new(policy),
        }
    }

    /// A subscription with its `where` in a variable.
    pub fn compile(&self, text: &str, filter: &Value, role: Option<(&str, &str)>) -> Subscription {
        let (prepared, variables) = self.prepare(text, filter);
        self.planner
            .subscription(&prepared, variables, LIMITS, self.rights(role))
            .unwrap()
    }

    /// The same, of a subscription that reports leaves.
    pub fn compile_with_leaves(
        &self,
        text: &str,
        filter: &Value,
        role: Option<(&str, &str)>,
    ) -> Result<Subscription, ApiError> {
        let (prepared, variables) = self.prepare(text, filter);
        self.planner
            .subscription_with_leaves(&prepared, variables, LIMITS, self.rights(role))
    }

    fn prepare(&self, text: &str, filter: &Value) -> (Arc<PreparedOperation>, Variables) {
        let prepared = self.requests.prepare(text, None, &RequestLimits::UNLIMITED);
        let prepared = prepared.unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
        let given = json!({ "where": filter });
        let variables = self
            .requests
            .coerce(&prepared.operation, given.as_object().unwrap());
        let variables = variables.unwrap_or_else(|error| panic!("{text} {filter}: {error:?}"));
        (prepared, variables)
    }

    fn rights(&self, role: Option<(&str, &str)>) -> Option<Arc<Rights>> {
        let (role, sub) = role?;
        let role = format!("role:{role}");
        let permissions = Permissions::of([role.as_str(), "see:all"]);
        let claims = json!({ "sub": sub });
        Some(Arc::new(
            self.planner
                .rights(&self.policy, permissions, claims.as_object().unwrap())
                .unwrap(),
        ))
    }

    /// The query that finds the nodes for whose changes a subscription with conditions on nodes alone is.
    pub fn query_of(&self, asked: &Asked) -> Statement {
        let name = &self.planner.physical().model.model(asked.model).name;
        let text = format!(
            "query($where: {name}WhereInput) {{ {}s(where: $where) {{ id }} }}",
            name.to_lowercase()
        );
        let (prepared, variables) = self.prepare(&text, &row_filter(&asked.filter, true));
        let rights = self.rights(asked.role.as_ref().map(|(role, sub)| (*role, sub.as_str())));
        let access = rights.as_deref().map_or(Access::Full, Access::Limited);
        self.planner
            .query(&prepared.operation.fields[0], &variables, LIMITS, access)
            .unwrap()
    }

    /// The query that reads all nodes that a viewer sees, with their values.
    pub fn view(&self, model: ModelId, role: Option<&Viewer>) -> Statement {
        let name = &self.planner.physical().model.model(model).name;
        let shape = shape(name);
        let text = format!(
            "query($where: {name}WhereInput) {{ {}s(where: $where) {shape} }}",
            name.to_lowercase()
        );
        let (prepared, variables) = self.prepare(&text, &json!({}));
        let rights = self.rights(role.map(|(role, sub)| (*role, sub.as_str())));
        let access = rights.as_deref().map_or(Access::Full, Access::Limited);
        self.planner
            .query(&prepared.operation.fields[0], &variables, LIMITS, access)
            .unwrap()
    }

    pub fn some_viewer(&self, dice: &mut Dice) -> Viewer {
        let roles = [
            "named",
            "tree",
            "labelled",
            "crated",
            "unlike",
            "either",
            "everywhere",
            "everywhere",
            "ones",
        ];
        let role = *dice.pick(&roles);
        // What its rule compares with, as it may well be.
        let of_names = ["named", "tree", "ones"].contains(&role) && dice.chance(80);
        (
            role,
            if of_names {
                (*dice.pick(NAMES)).to_owned()
            } else {
                format!("c{}", dice.below(PER_MODEL))
            },
        )
    }

    /// With conditions on the change, or on the node alone.
    pub fn subscribe(
        &self,
        of_changes: bool,
        role: Option<Viewer>,
        dice: &mut Dice,
    ) -> (Asked, Subscription) {
        let model = *dice.pick(&self.models());
        let text = self.subscription_to(model);
        let everything = !of_changes && dice.chance(40);
        let filter = if everything {
            json!({})
        } else {
            self.event_filter(model, of_changes, 2, dice)
        };
        let subscription = self.compile(
            &text,
            &filter,
            role.as_ref().map(|(role, sub)| (*role, sub.as_str())),
        );
        (
            Asked {
                model,
                filter,
                role,
            },
            subscription,
        )
    }

    /// With its `where` in a variable.
    pub fn subscription_to(&self, model: ModelId) -> String {
        let name = &self.planner.physical().model.model(model).name;
        let (lower, shape) = (name.to_lowercase(), shape(name));
        format!(
            "subscription($where: {name}SubscriptionWhereInput) {{ {lower}(where: $where) \
             {{ mutation node {shape} updatedFields previousValues {shape} }} }}"
        )
    }

    pub fn models(&self) -> Vec<ModelId> {
        self.planner.physical().model.model_ids().collect()
    }

    pub fn event_filter(
        &self,
        model: ModelId,
        of_changes: bool,
        depth: usize,
        dice: &mut Dice,
    ) -> Value {
        let mut filter = serde_json::Map::new();
        for _ in 0..dice.between(0, 2) {
            let (key, value) = match dice.below(if depth > 0 { 9 } else { 6 }) {
                0..=3 => ("node", self.filter(model, 2, dice)),
                4 | 5 if !of_changes => ("node", self.filter(model, 1, dice)),
                4 => (
                    "mutation_in",
                    json!([*dice.pick(&["CREATED", "UPDATED", "DELETED"]), "DELETED"]),
                ),
                5 => (
                    "updatedFields_contains_some",
                    json!(["name", "things", "word", "likes", "note"]),
                ),
                n => {
                    let parts = (0..dice.between(1, 2))
                        .map(|_| self.event_filter(model, of_changes, depth - 1, dice));
                    (["AND", "OR", "NOT"][n - 6], parts.collect())
                }
            };
            filter.insert(key.to_owned(), value);
        }
        Value::Object(filter)
    }

    fn filter(&self, model: ModelId, depth: usize, dice: &mut Dice) -> Value {
        let of = self.planner.physical().model.model(model);
        let mut filter = serde_json::Map::new();
        for _ in 0..dice.between(0, 2) {
            if dice.chance(20) && depth > 0 {
                let parts: Value = (0..dice.between(1, 2))
                    .map(|_| self.filter(model, depth - 1, dice))
                    .collect();
                filter.insert((*dice.pick(&["AND", "OR", "NOT"])).to_owned(), parts);
                continue;
            }
            let field = dice.pick(&of.fields);
            if let Some(relation) = field.relation() {
                if depth == 0 {
                    continue;
                }
                let inner = self.filter(relation.target, depth - 1, dice);
                let suffix = if field.list {
                    *dice.pick(&["_some", "_some", "_none", "_every"])
                } else {
                    ""
                };
                let null = !field.list && dice.chance(10);
                filter.insert(
                    format!("{}{suffix}", field.name),
                    if null { Value::Null } else { inner },
                );
            } else if field.is_column() && field.name != "json" {
                let value = self.value(model, field, dice);
                let suffix = *dice.pick(&["", "", "", "_not", "_in"]);
                let value = if suffix == "_in" {
                    json!([value])
                } else {
                    value
                };
                if suffix == "_in" && matches!(field.kind, FieldKind::Scalar(ScalarType::Boolean)) {
                    continue;
                }
                filter.insert(format!("{}{suffix}", field.name), value);
            }
        }
        Value::Object(filter)
    }

    /// A value that a row may well have.
    fn value(&self, model: ModelId, field: &datamodel::Field, dice: &mut Dice) -> Value {
        let of = self.planner.physical().model.model(model);
        if field.id_strategy.is_some() {
            return id(&of.name, dice.below(PER_MODEL));
        }
        match field.kind {
            FieldKind::Enum(_) => json!(*dice.pick(&["RED", "GREEN"])),
            FieldKind::Scalar(ScalarType::Int) => json!(dice.below(PER_MODEL)),
            FieldKind::Scalar(ScalarType::Boolean) => json!(dice.chance(50)),
            FieldKind::Scalar(ScalarType::Float) => json!(*dice.pick(&[1.5, 2.0])),
            FieldKind::Scalar(ScalarType::DateTime) => json!("2020-01-01T00:00:00.500Z"),
            _ if field.unique => json!(format!("c{}", dice.below(PER_MODEL))),
            _ => json!(*dice.pick(NAMES)),
        }
    }
}

/// A subscription's conditions as a filter of nodes: those on changes count as if they held, inside `NOT` as if they did not.
fn row_filter(conditions: &Value, holds: bool) -> Value {
    let parts = conditions
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| match key.as_str() {
            "node" => value.clone(),
            "AND" | "OR" | "NOT" => {
                let part = |part| row_filter(part, holds != (key == "NOT"));
                json!({ key: value.as_array().unwrap().iter().map(part).collect::<Vec<_>>() })
            }
            _ if holds => json!({}),
            _ => json!({ "id_in": [] }),
        });
    json!({ "AND": parts.collect::<Vec<_>>() })
}
