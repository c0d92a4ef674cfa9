//! Lists of children in a write: what they cost in statements and parameters.

mod sources;

use std::collections::BTreeSet;
use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::plan::{Access, PageLimits, Param, Planner, Rights, Statement, Step, WriteHooks};
use gom_engine::policy::{Permissions, Policy, PolicySource};
use gom_engine::request::{RequestLimits, RequestOptions, Requests};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use serde_json::{Value, json};

use sources::Counted;

const DATAMODEL: &str = r#"
    type User { id: ID! @id }
    type Team {
      id: ID! @id
      owner: User @relation(name: "TeamOwner", link: INLINE)
      tasks: [Task] @relation(name: "TeamTasks")
    }
    type Task {
      id: ID! @id
      code: String @unique
      team: Team! @relation(name: "TeamTasks", link: INLINE)
    }
"#;

const UPDATE: &str =
    "mutation ($data: TeamUpdateInput!) { updateTeam(where: {id: \"t\"}, data: $data) { id } }";

struct World {
    requests: Requests,
    planner: Planner,
    rights: Rights,
}

impl World {
    fn new() -> Self {
        let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let source: PolicySource = serde_json::from_value(json!({
            "operations": { "mutation": { "updateTeam": "do:it" } },
            "parts": { "Task": ["Team"] },
            "roles": { "owner": {
                "permissions": [],
                "rows": { "User": "{}", "Team": "{ owner: { id: $sub } }", "Task": "{ team: { owner: { id: $sub } } }" },
            } },
        }))
        .expect("a policy's form");
        let policy = Policy::new(&source, &model, &schema).expect("a sound policy");
        let served = Served::new(&schema).expect("it can be served");
        let physical = Physical::new(model, &PhysicalOptions::in_schema("s"));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        let Value::Object(claims) = json!({ "sub": "me" }) else {
            unreachable!()
        };
        let permissions = Permissions::of(["role:owner", "do:it"]);
        let rights = planner
            .rights(&Arc::new(policy), permissions, &claims)
            .expect("the role is known");
        World {
            requests,
            planner,
            rights,
        }
    }

    fn update(&self, tasks: &Value, access: Access<'_>) -> Vec<Statement> {
        let prepared = self
            .requests
            .prepare(UPDATE, None, &RequestLimits::UNLIMITED)
            .expect("a sound document");
        let Value::Object(given) = json!({ "data": { "tasks": tasks } }) else {
            unreachable!()
        };
        let variables = self
            .requests
            .coerce(&prepared.operation, &given)
            .expect("sound variables");
        let field = &prepared.operation.fields[0];
        let limits = PageLimits::default();
        let planned = self.planner.mutation(
            field,
            &variables,
            limits,
            access,
            &mut Counted::default(),
            WriteHooks::default(),
        );
        let statements = planned
            .expect("it is allowed")
            .steps
            .into_iter()
            .map(|step| match step {
                Step::Run { statement, .. } => statement,
                Step::Choose { .. } => panic!("nothing to choose"),
            });
        statements.collect()
    }
}

fn children(count: usize) -> Vec<Value> {
    let by_turns = |i| {
        if i % 2 == 0 {
            json!({ "id": format!("i{i}") })
        } else {
            json!({ "code": format!("c{i}") })
        }
    };
    (0..count).map(by_turns).collect()
}

#[test]
fn a_set_has_the_same_statements_with_the_same_parameters_however_many_children_it_names() {
    let world = World::new();
    for access in [Access::Full, Access::Limited(&world.rights)] {
        let of = |count| {
            let statements = world.update(&json!({ "set": children(count) }), access);
            let most = statements
                .iter()
                .map(|statement| statement.params.len())
                .max();
            (
                statements
                    .into_iter()
                    .map(|statement| statement.sql)
                    .collect::<BTreeSet<_>>(),
                most,
            )
        };
        assert_eq!(of(2_000), of(4), "{access:?}");
    }
}

#[test]
fn many_children_are_named_once_to_lock_their_parents_and_once_to_be_looked_at() {
    const CHILDREN: usize = 20_000;
    let world = World::new();
    let ids = (0..CHILDREN).map(|i| json!({ "id": format!("i{}", i / 2) }));
    let tasks = json!({ "connect": ids.collect::<Vec<_>>() });
    let statements = world.update(&tasks, Access::Limited(&world.rights));
    let arrays: Vec<usize> = statements
        .iter()
        .flat_map(|statement| &statement.params)
        .filter_map(|param| match param {
            Param::Text(text) if text.starts_with('{') => Some(text.split(',').count()),
            _ => None,
        })
        .collect();
    assert_eq!(arrays, [CHILDREN / 2, CHILDREN / 2], "each of them once");
}
