//! The datamodel and the policies of these tests.

use std::sync::Arc;

use gom_engine::datamodel;
use gom_engine::plan::{Access, Planner, Rights};
use gom_engine::policy::{Permissions, Policy, PolicySource};
use gom_engine::request::{
    InputMeasures, PreparedOperation, RequestLimits, RequestOptions, Requests,
};
use gom_engine::schema::{SchemaOptions, Served, generate};
use gom_engine::sql::{Physical, PhysicalOptions};
use serde_json::{Value, json};

const DATAMODEL: &str = r#"
    type Seller { id: ID! @id ext: String @unique orders: [Order] @relation(name: "SellerOrder") }
    type Order {
      id: ID! @id
      name: String
      serial: String @unique
      seller: Seller @relation(name: "SellerOrder", link: INLINE)
      items: [Item] @relation(name: "OrderItem")
    }
    type Item { id: ID! @id code: String order: Order @relation(name: "OrderItem", link: INLINE) }
"#;

pub struct World {
    pub requests: Requests,
    pub planner: Planner,
    pub policy: Arc<Policy>,
}

impl World {
    pub fn new() -> Self {
        let source = serde_json::from_value(json!({
            "roles": { "seller": { "permissions": [], "rows": {
                "Seller": "{ ext: $sub }",
                "Order": "{ seller: { ext: $sub } }",
                "Item": "{ OR: [{ order: { seller: { ext: $sub } } }, { code: \"free\" }] }",
            } } }
        }));
        World::with(&source.expect("a policy's form"))
    }

    pub fn with(source: &PolicySource) -> Self {
        let model = datamodel::parse("datamodel.prisma", DATAMODEL).expect("a sound datamodel");
        let schema = Arc::new(generate(&model, SchemaOptions::default()));
        let policy = Policy::new(source, &model, &schema).expect("a sound policy");
        let served = Served::new(&schema).expect("it can be served");
        let physical = Physical::new(model, &PhysicalOptions::in_schema("shop"));
        let planner = Planner::new(Arc::new(physical), Arc::clone(&schema));
        let validate = move |document: &_, name: Option<&str>| served.validate(document, name);
        let requests = Requests::new(schema, Box::new(validate), RequestOptions::default());
        World {
            requests,
            planner,
            policy: Arc::new(policy),
        }
    }

    pub fn seller(&self) -> Rights {
        self.rights("seller")
    }

    pub fn rights(&self, role: &str) -> Rights {
        let Value::Object(claims) = json!({ "sub": "s" }) else {
            unreachable!()
        };
        let rights = self.planner.rights(
            &self.policy,
            Permissions::of([format!("role:{role}").as_str()]),
            &claims,
        );
        rights.expect("the policy has the role")
    }

    pub fn prepare(&self, document: &str) -> Arc<PreparedOperation> {
        self.requests
            .prepare(document, None, &RequestLimits::UNLIMITED)
            .expect("a sound document")
    }

    pub fn measure(&self, document: &str, variables: &Value, access: Access<'_>) -> InputMeasures {
        let prepared = self.prepare(document);
        let Value::Object(given) = variables else {
            panic!("no object: {variables}")
        };
        let variables = self
            .requests
            .coerce(&prepared.operation, given)
            .expect("sound values");
        self.planner.measure_input(&prepared, &variables, access)
    }

    /// Of one filter on orders, given by a variable.
    pub fn of_orders(&self, filter: &Value, access: Access<'_>) -> InputMeasures {
        self.measure(ORDERS, &json!({ "where": filter }), access)
    }
}

/// A policy whose role `buyer` reads two fields of sellers by rules.
pub fn rules_of_fields() -> PolicySource {
    let own = json!({ "table": "code", "value": "code", "node": "order", "owner": "seller", "of": "Seller", "is": "{ ext: $sub }" });
    serde_json::from_value(json!({
        "generated": { "Order.serial": 10 },
        "roles": { "buyer": {
            "permissions": [],
            "rows": { "Seller": "{}", "Order": "{}", "Item": "{}" },
            "shown": { "Order.name": "{ seller: { ext: $sub } }", "Order.serial": "{ seller: { ext: $sub } }", "Item.code": "{ code_not: \"x\" }" },
            "own_values": { "Order.name": own.clone(), "Order.serial": own },
        } }
    }))
    .expect("a policy's form")
}

pub const ORDERS: &str =
    "query ($where: OrderWhereInput) { orders(where: $where, first: 10) { id } }";
