//! Which policies fit a schema, and where the problems of the others are.

use super::*;
use crate::datamodel;
use crate::schema::{SchemaOptions, generate};

fn problems(source: PolicySource) -> Vec<String> {
    let model = datamodel::parse(
        "test",
        "type User { id: ID! @id name: String! age: Int nick: String code: String @unique orders: [Order!] }
         type Order { id: ID! @id note: String owner: User! @relation(link: INLINE) }",
    )
    .unwrap();
    let schema = generate(&model, SchemaOptions { execute_raw: false });
    match Policy::new(&source, &model, &schema) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn map<T>(entries: impl IntoIterator<Item = (&'static str, T)>) -> IndexMap<String, T> {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let editor = RoleSource {
        permissions: vec!["read".into()],
        rows: map([
            ("Order", "{ owner: { nome: $sub } }".into()),
            ("Ordre", "{}".into()),
        ]),
        writes: map([("User", "{}".into())]),
        fields: map([("User", vec!["name".into(), "phone".into()])]),
        ..RoleSource::default()
    };
    let found = problems(PolicySource {
        operations: super::super::OperationsSource {
            query: map([
                ("orders", OneOrMany::One("read:orders".into())),
                ("ordres", OneOrMany::One("read orders".into())),
                ("users", OneOrMany::Many(vec![])),
            ]),
            ..Default::default()
        },
        parts: map([("Item", vec!["Order".into()])]),
        stamps: super::super::StampSource {
            create: map([
                ("age", "$sub".into()),
                ("by", "$sub".into()),
                ("name", "sub".into()),
            ]),
            ..Default::default()
        },
        generated: map([("User", 10), ("User.name", 3), ("User.age", 10)]),
        roles: map([("editor", editor)]),
    });
    let places: Vec<&str> = found
        .iter()
        .map(|p| p.split_once(": ").unwrap().0)
        .collect();
    assert_eq!(
        places,
        [
            "operations.query.ordres",
            "operations.query.ordres",
            "operations.query.users",
            "parts.Item",
            "stamps.create.age",
            "stamps.create.by",
            "stamps.create.name",
            "generated.\"User\"",
            "generated.\"User.name\"",
            "generated.\"User.age\"",
            "roles.editor.permissions",
            "roles.editor.fields.User",
            "roles.editor.rows.Order",
            "roles.editor.rows.Ordre",
            "roles.editor.writes.User",
        ],
        "{found:#?}"
    );
}

#[test]
fn fields_that_not_every_row_shows_are_columns_that_may_be_null() {
    let own = |table: &str, of: &str| super::super::OwnValueSource {
        table: table.into(),
        value: "code".into(),
        node: "node".into(),
        owner: "owner".into(),
        of: of.into(),
        is: "{ id: $sub }".into(),
    };
    let source = |role: RoleSource| PolicySource {
        roles: map([("r", role)]),
        ..Default::default()
    };
    let right = RoleSource {
        shown: map([("User.age", "{ id: $sub }".into())]),
        own_values: map([("User.nick", own("nicks", "User"))]),
        ..RoleSource::default()
    };
    assert_eq!(problems(source(right)), Vec::<String>::new());
    let wrong = RoleSource {
        shown: map([
            ("User", "{}".into()),
            ("User.name", "{}".into()),
            ("User.orders", "{}".into()),
            ("User.code", "{}".into()),
            ("User.age", "{ ages: 1 }".into()),
        ]),
        own_values: map([
            ("User.age", own("ages", "User")),
            ("User.nick", own("nicks; drop", "User")),
            ("User.nick2", own("nicks", "User")),
            ("Order.note", own("notes", "Nobody")),
        ]),
        ..RoleSource::default()
    };
    let found = problems(source(wrong));
    let places: Vec<&str> = found
        .iter()
        .map(|p| p.split_once(": ").unwrap().0)
        .collect();
    assert_eq!(
        places,
        [
            "roles.r.shown.\"User\"",
            "roles.r.shown.\"User.name\"",
            "roles.r.shown.\"User.orders\"",
            "roles.r.shown.\"User.code\"",
            "roles.r.shown.\"User.age\"",
            "roles.r.own_values.\"User.age\"",
            "roles.r.own_values.\"User.nick\"",
            "roles.r.own_values.\"User.nick2\"",
            "roles.r.own_values.\"Order.note\"",
        ],
        "{found:#?}"
    );
    assert!(found[3].contains("3010"), "{}", found[3]);
}

#[test]
fn an_empty_policy_is_right_and_allows_nothing() {
    assert_eq!(problems(PolicySource::default()), Vec::<String>::new());
}
