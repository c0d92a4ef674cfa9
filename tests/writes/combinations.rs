//! Writes that meet in one request: several in one relation field, nested in each other, along a relation of
//! a model with itself, over ids that the database makes.

use serde_json::{Value, json};

use crate::deletions::deletions_spread;

use crate::{outcome, serve};
use gom_test_support::app::TestApp;

const DATAMODEL: &str = r#"
enum Mood { GOOD BAD }

type A0 { id: ID! @id u: String! @unique b: B0 @relation(link: INLINE) }
type B0 { id: ID! @id u: String! @unique a: A0 }
type A1 { id: ID! @id u: String! @unique b: B1 }
type B1 { id: ID! @id u: String! @unique a: A1 @relation(link: INLINE) }
type A2 { id: ID! @id u: String! @unique b: B2 @relation(link: TABLE) }
type B2 { id: ID! @id u: String! @unique a: A2 }
type A3 { id: ID! @id u: String! @unique b: B3! }
type B3 { id: ID! @id u: String! @unique a: A3 @relation(link: INLINE) }
type A4 { id: ID! @id u: String! @unique b: B4 }
type B4 { id: ID! @id u: String! @unique a: A4! @relation(link: INLINE) }

type Order { id: Int! @id(strategy: SEQUENCE) u: String! @unique tags: [String] @scalarList(strategy: RELATION) lines: [Line] box: Box @relation(link: INLINE) }
type Line { id: UUID! @id u: String! @unique order: Order! parts: [Part] }
type Part { id: Int! @id(strategy: SEQUENCE) u: String! @unique line: Line labels: [String] @scalarList(strategy: RELATION) }
type Box { id: Int! @id(strategy: SEQUENCE) u: String! @unique order: Order }

type Person {
    id: ID! @id
    u: String! @unique
    boss: Person @relation(name: "Staff")
    staff: [Person] @relation(name: "Staff")
    spouse: Person @relation(name: "Marriage", link: INLINE)
    friends: [Person] @relation(name: "Friends")
    next: Person @relation(name: "Queue", link: INLINE)
    previous: Person @relation(name: "Queue")
}

type Tree { id: ID! @id u: String! @unique parent: Tree @relation(name: "Tree") children: [Tree] @relation(name: "Tree", onDelete: CASCADE) leaf: [Leaf] @relation(onDelete: CASCADE) tags: [String] @scalarList(strategy: RELATION) }
type Leaf { id: ID! @id u: String! @unique tree: Tree! @relation(onDelete: CASCADE) pins: [Pin] }
type Pin { id: ID! @id u: String! @unique leaf: Leaf! }

type Thing {
    id: ID! @id
    i: Int @unique
    f: Float @unique
    d: DateTime @unique
    j: Json @unique
    m: Mood @unique
    b: Boolean @unique
    uuid: UUID @unique
    tags: [String] @scalarList(strategy: RELATION)
    moods: [Mood] @scalarList(strategy: RELATION)
    note: Json
    createdAt: DateTime! @createdAt
    updatedAt: DateTime! @updatedAt
}
"#;

/// Runs a document that must succeed, without its operation's keyword.
pub(crate) async fn run(app: &TestApp, document: &str) -> Value {
    let body = app.ask(&format!("mutation {{ {document} }}")).await.body;
    outcome(&body).unwrap_or_else(|error| panic!("{document}: {error:?}"))
}

pub(crate) async fn refused(app: &TestApp, document: &str) -> (i64, String) {
    let body = app.ask(&format!("mutation {{ {document} }}")).await.body;
    match outcome(&body) {
        Err(error) => error,
        Ok(data) => panic!("{document}: {data}"),
    }
}

pub(crate) async fn query(app: &TestApp, document: &str) -> Value {
    let body = app.ask(&format!("{{ {document} }}")).await.body;
    outcome(&body).unwrap_or_else(|error| panic!("{document}: {error:?}"))
}

#[actix_web::test]
async fn writes_meet_in_one_request() {
    let app = serve(DATAMODEL).await;
    two_writes_in_a_single_relation(&app).await;
    ids_of_the_database(&app).await;
    lists_of_writes(&app).await;
    upserts_in_upserts(&app).await;
    relations_of_a_model_with_itself(&app).await;
    deletions_spread(&app).await;
    unknown_values_are_named(&app).await;
    lists_and_times(&app).await;
}

/// The connected child wins, for connects come after creates; the created one stays, free.
async fn two_writes_in_a_single_relation(app: &TestApp) {
    for k in 0..3 {
        run(
            app,
            &format!(r#"x: createB{k}(data: {{u: "b0"}}) {{ u }} y: createA{k}(data: {{u: "a0"}}) {{ u }}"#),
        )
        .await;
        let both = |n| format!(r#"{{create: {{u: "b{n}"}}, connect: {{u: "b0"}}}}"#);
        let read = format!("a{k}s {{ u b {{ u }} }} b{k}s {{ u a {{ u }} }}");
        run(
            app,
            &format!(r#"createA{k}(data: {{u: "a1", b: {}}}) {{ u }}"#, both(1)),
        )
        .await;
        let expected = json!({
            format!("a{k}s"): [{ "u": "a0", "b": null }, { "u": "a1", "b": { "u": "b0" } }],
            format!("b{k}s"): [{ "u": "b0", "a": { "u": "a1" } }, { "u": "b1", "a": null }],
        });
        assert_eq!(query(app, &read).await, expected, "create, {k}");

        run(
            app,
            &format!(
                r#"updateA{k}(where: {{u: "a0"}}, data: {{b: {}}}) {{ u }}"#,
                both(2)
            ),
        )
        .await;
        let expected = json!({
            format!("a{k}s"): [{ "u": "a0", "b": { "u": "b0" } }, { "u": "a1", "b": null }],
            format!("b{k}s"): [{ "u": "b0", "a": { "u": "a0" } }, { "u": "b1", "a": null }, { "u": "b2", "a": null }],
        });
        assert_eq!(query(app, &read).await, expected, "update, {k}");

        // From the child's side.
        run(
            app,
            &format!(
                r#"createB{k}(data: {{u: "b3", a: {{create: {{u: "a3"}}, connect: {{u: "a0"}}}}}}) {{ u }}"#
            ),
        )
        .await;
        let expected = json!({
            format!("a{k}s"): [{ "u": "a0", "b": { "u": "b3" } }, { "u": "a1", "b": null }, { "u": "a3", "b": null }],
            format!("b{k}s"): [{ "u": "b0", "a": null }, { "u": "b1", "a": null }, { "u": "b2", "a": null }, { "u": "b3", "a": { "u": "a0" } }],
        });
        assert_eq!(query(app, &read).await, expected, "from the child, {k}");
    }
    run(app, r#"createB3(data: {u: "b0"}) { u }"#).await;
    run(
        app,
        r#"createA3(data: {u: "a1", b: {create: {u: "b1"}, connect: {u: "b0"}}}) { u }"#,
    )
    .await;
    let read = query(app, "a3s { u b { u } } b3s { u a { u } }").await;
    let expected = json!({ "a3s": [{ "u": "a1", "b": { "u": "b0" } }], "b3s": [{ "u": "b0", "a": { "u": "a1" } }, { "u": "b1", "a": null }] });
    assert_eq!(read, expected);
    // The created child needs its parent.
    run(
        app,
        r#"createB4(data: {u: "b0", a: {create: {u: "a0"}}}) { u }"#,
    )
    .await;
    let (code, _) = refused(
        app,
        r#"createA4(data: {u: "a1", b: {create: {u: "b1"}, connect: {u: "b0"}}}) { u }"#,
    )
    .await;
    assert_eq!(code, 3042);
    let read = query(app, "a4s { u b { u } } b4s { u a { u } }").await;
    assert_eq!(
        read,
        json!({ "a4s": [{ "u": "a0", "b": { "u": "b0" } }], "b4s": [{ "u": "b0", "a": { "u": "a0" } }] })
    );
}

/// What stands below a row waits for the id that the database gives it.
async fn ids_of_the_database(app: &TestApp) {
    let document = r#"createOrder(data: {
        u: "o1", tags: {set: ["x", "y"]}, box: {create: {u: "box"}},
        lines: {create: [
            {u: "l1", parts: {create: [{u: "p1", labels: {set: ["q"]}}, {u: "p2"}]}},
            {u: "l2", parts: {create: {u: "p3"}}}]}
    }) { u tags box { u order { u } } lines(orderBy: u_ASC) { u order { u } parts { u labels line { u } } } }"#;
    let expected = json!({ "createOrder": {
        "u": "o1", "tags": ["x", "y"], "box": { "u": "box", "order": { "u": "o1" } },
        "lines": [
            { "u": "l1", "order": { "u": "o1" }, "parts": [
                { "u": "p1", "labels": ["q"], "line": { "u": "l1" } }, { "u": "p2", "labels": [], "line": { "u": "l1" } }] },
            { "u": "l2", "order": { "u": "o1" }, "parts": [{ "u": "p3", "labels": [], "line": { "u": "l2" } }] }],
    } });
    assert_eq!(run(app, document).await, expected);
    let document = r#"createBox(data: {u: "box2", order: {create: {u: "o2", lines: {create: {u: "l3"}}}}}) { u order { u box { u } lines { u } } }"#;
    let expected = json!({ "createBox": { "u": "box2", "order": { "u": "o2", "box": { "u": "box2" }, "lines": [{ "u": "l3" }] } } });
    assert_eq!(run(app, document).await, expected);
    // An order that was found by its other unique value is identified by its id.
    let id = query(app, r#"order(where: {u: "o1"}) { id }"#).await["order"]["id"].clone();
    let (code, message) = refused(
        app,
        r#"updateOrder(where: {u: "o1"}, data: {lines: {delete: {u: "l3"}}}) { u }"#,
    )
    .await;
    assert_eq!(code, 3041);
    assert_eq!(
        message,
        format!(
            "The relation LineToOrder has no node for the model Order with the value '{id}' for the field 'id' connected to a node for the model Line with the value 'l3' for the field 'u'"
        )
    );
    let document = r#"updateOrder(where: {u: "o1"}, data: {u: "o1b", tags: {set: []}, lines: {
        upsert: {where: {u: "l9"}, update: {u: "never"}, create: {u: "l4", parts: {create: {u: "p4"}}}},
        update: {where: {u: "l1"}, data: {u: "l1b", parts: {deleteMany: {u: "p2"}, updateMany: {where: {u: "p1"}, data: {labels: {set: ["r", "s"]}}}}}},
        delete: {u: "l2"}
    }}) { u tags lines(orderBy: u_ASC) { u parts { u labels } } }"#;
    let expected = json!({ "updateOrder": { "u": "o1b", "tags": [], "lines": [
        { "u": "l1b", "parts": [{ "u": "p1", "labels": ["r", "s"] }] }, { "u": "l4", "parts": [{ "u": "p4", "labels": [] }] }] } });
    assert_eq!(run(app, document).await, expected);
    assert_eq!(
        query(app, r#"part(where: {u: "p3"}) { u line { u } }"#).await,
        json!({ "part": { "u": "p3", "line": null } })
    );
    // The answer of a deletion: values as they were, relations as they are.
    let deleted = run(
        app,
        r#"deletePart(where: {u: "p1"}) { u labels line { u } }"#,
    )
    .await;
    assert_eq!(
        deleted,
        json!({ "deletePart": { "u": "p1", "labels": ["r", "s"], "line": { "u": "l1b" } } })
    );
}

async fn lists_of_writes(app: &TestApp) {
    run(
        app,
        r#"createOrder(data: {u: "w1", lines: {create: [{u: "wl1"}, {u: "wl2"}]}}) { u }"#,
    )
    .await;
    run(
        app,
        r#"createOrder(data: {u: "w2", lines: {create: [], connect: []}}) { u }"#,
    )
    .await;
    let twice = r#"updateOrder(where: {u: "w2"}, data: {lines: {connect: [{u: "wl1"}, {u: "wl1"}]}}) { lines { u } }"#;
    assert_eq!(
        run(app, twice).await,
        json!({ "updateOrder": { "lines": [{ "u": "wl1" }] } })
    );
    let nothing = r#"updateOrder(where: {u: "w2"}, data: {box: null, lines: {create: [], set: null, delete: null}}) { lines { u } }"#;
    assert_eq!(
        run(app, nothing).await,
        json!({ "updateOrder": { "lines": [{ "u": "wl1" }] } })
    );
    let empty = r#"updateOrder(where: {u: "w2"}, data: {}) { lines { u } }"#;
    assert_eq!(
        run(app, empty).await,
        json!({ "updateOrder": { "lines": [{ "u": "wl1" }] } })
    );
    let unknown =
        r#"updateOrder(where: {u: "w2"}, data: {lines: {set: [{u: "wl1"}, {u: "wl9"}]}}) { u }"#;
    assert_eq!(
        refused(app, unknown).await,
        (
            3039,
            "No Node for the model Line with value wl9 for u found.".to_owned()
        )
    );
    let clash = r#"updateOrder(where: {u: "w2"}, data: {u: "w3", lines: {create: [{u: "wl3"}, {u: "wl2"}]}}) { u }"#;
    assert_eq!(
        refused(app, clash).await,
        (
            3010,
            "A unique constraint would be violated on Line. Details: Field name = u".to_owned()
        )
    );
    assert_eq!(
        query(
            app,
            r#"order(where: {u: "w3"}) { u } line(where: {u: "wl3"}) { u }"#
        )
        .await,
        json!({ "order": null, "line": null })
    );
}

async fn upserts_in_upserts(app: &TestApp) {
    let document = |n: &str| {
        format!(
            r#"upsertOrder(where: {{u: "u1"}},
        create: {{u: "u1", lines: {{create: {{u: "ul1"}}}}, box: {{create: {{u: "ubox"}}}}}},
        update: {{box: {{disconnect: true}}, lines: {{upsert: {{where: {{u: "{n}"}},
            create: {{u: "{n}", parts: {{create: {{u: "part of {n}"}}}}}},
            update: {{parts: {{upsert: {{where: {{u: "part of {n}"}}, create: {{u: "part of {n}"}}, update: {{labels: {{set: "again"}}}}}}}}}}}}}}}}
    ) {{ u box {{ u }} lines(orderBy: u_ASC) {{ u parts {{ u }} }} }}"#
        )
    };
    let lines = |boxed: bool, lines: Value| json!({ "upsertOrder": { "u": "u1", "box": boxed.then(|| json!({ "u": "ubox" })), "lines": lines } });
    let none = json!([]);
    assert_eq!(
        run(app, &document("ul1")).await,
        lines(true, json!([{ "u": "ul1", "parts": none }]))
    );
    assert_eq!(
        run(app, &document("ul1").replace("box: {disconnect: true}", "")).await,
        lines(
            true,
            json!([{ "u": "ul1", "parts": [{ "u": "part of ul1" }] }])
        )
    );
    assert_eq!(
        run(app, &document("ul1")).await,
        lines(
            false,
            json!([{ "u": "ul1", "parts": [{ "u": "part of ul1" }] }])
        )
    );
    assert_eq!(
        query(app, r#"part(where: {u: "part of ul1"}) { labels }"#).await,
        json!({ "part": { "labels": ["again"] } })
    );
    let cut = r#"upsertOrder(where: {u: "u1"}, create: {u: "never"}, update: {lines: {upsert: {where: {u: "ul1"},
        create: {u: "never"}, update: {parts: {disconnect: {u: "part of ul1"}}}}}}) { lines { u parts { u } } }"#;
    let expected = json!({ "upsertOrder": { "lines": [{ "u": "ul1", "parts": [] }] } });
    assert_eq!(run(app, cut).await, expected);
    let (code, message) = refused(app, cut).await;
    assert!(
        code == 3041 && message.contains("for the model Part with the value 'part of ul1'"),
        "{message}"
    );
    let (code, message) = refused(app, &document("ul2")).await;
    assert_eq!(code, 3041);
    assert!(
        message.ends_with("connected to a node for the model Box on your mutation path."),
        "{message}"
    );
}

async fn relations_of_a_model_with_itself(app: &TestApp) {
    run(app, r#"createPerson(data: {u: "ann", staff: {create: [{u: "bob"}, {u: "cid"}]}, spouse: {create: {u: "dan"}}, friends: {create: [{u: "eve"}]}}) { u }"#).await;
    let read = "u boss { u } staff { u } spouse { u } friends { u } next { u } previous { u }";
    let ann = run(app, &format!(r#"updatePerson(where: {{u: "ann"}}, data: {{friends: {{connect: [{{u: "bob"}}, {{u: "ann"}}]}}, next: {{connect: {{u: "bob"}}}}}}) {{ {read} }}"#)).await;
    let us = |names: &[&str]| names.iter().map(|u| json!({ "u": u })).collect::<Value>();
    assert_eq!(ann["updatePerson"]["staff"], us(&["bob", "cid"]));
    assert_eq!(ann["updatePerson"]["spouse"], json!({ "u": "dan" }));
    assert_eq!(ann["updatePerson"]["next"], json!({ "u": "bob" }));
    let mut friends: Vec<_> = ann["updatePerson"]["friends"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["u"].as_str().unwrap())
        .collect();
    friends.sort();
    assert_eq!(friends, ["ann", "bob", "eve"]);
    // One goes before bob instead of ann; then bob goes before itself.
    let cid = run(app, r#"updatePerson(where: {u: "cid"}, data: {next: {connect: {u: "bob"}}}) { next { u previous { u } } }"#).await;
    assert_eq!(
        cid["updatePerson"],
        json!({ "next": { "u": "bob", "previous": { "u": "cid" } } })
    );
    assert_eq!(
        query(app, r#"person(where: {u: "ann"}) { next { u } }"#).await["person"]["next"],
        Value::Null
    );
    let bob = run(app, r#"updatePerson(where: {u: "bob"}, data: {next: {connect: {u: "bob"}}, boss: {connect: {u: "cid"}}}) { next { u } previous { u } boss { u } }"#).await;
    assert_eq!(
        bob["updatePerson"],
        json!({ "next": { "u": "bob" }, "previous": { "u": "bob" }, "boss": { "u": "cid" } })
    );
    let ann = run(app, r#"updatePerson(where: {u: "ann"}, data: {friends: {disconnect: {u: "bob"}, delete: {u: "eve"}}, spouse: {disconnect: true}, staff: {set: {u: "dan"}}}) { spouse { u } friends { u } staff { u } }"#).await;
    assert_eq!(
        ann["updatePerson"],
        json!({ "spouse": null, "friends": us(&["ann"]), "staff": us(&["dan"]) })
    );
    let deleted = run(
        app,
        r#"deletePerson(where: {u: "bob"}) { u next { u } boss { u } }"#,
    )
    .await;
    assert_eq!(deleted["deletePerson"]["u"], "bob");
}

async fn unknown_values_are_named(app: &TestApp) {
    for (field, given, shown) in [
        ("id", r#""none""#, "none"),
        ("i", "7", "7"),
        ("f", "3", "3.0"),
        ("f", "-2.5", "-2.5"),
        ("d", r#""2018""#, "2018-01-01T00:00:00.000Z"),
        ("j", r#""{\"a\": [1, \"b\"]}""#, r#"{"a":[1,"b"]}"#),
        ("m", "GOOD", "GOOD"),
        ("b", "false", "false"),
        (
            "uuid",
            r#""7D5B0C62-9B1C-4F4E-8E3B-1B2A3C4D5E6F""#,
            "7d5b0c62-9b1c-4f4e-8e3b-1b2a3c4d5e6f",
        ),
    ] {
        let error = (
            3039,
            format!("No Node for the model Thing with value {shown} for {field} found."),
        );
        for document in [
            format!("deleteThing(where: {{{field}: {given}}}) {{ id }}"),
            format!("updateThing(where: {{{field}: {given}}}, data: {{}}) {{ id }}"),
            format!("updateThing(where: {{{field}: {given}}}, data: {{i: 1}}) {{ id }}"),
        ] {
            assert_eq!(refused(app, &document).await, error, "{document}");
        }
        if field != "id" {
            let create = format!("createThing(data: {{{field}: {given}}}) {{ id }}");
            let id = run(app, &create).await["createThing"]["id"].clone();
            let found = run(
                app,
                &format!(
                    "updateThing(where: {{{field}: {given}}}, data: {{{field}: null}}) {{ id {field} }}"
                ),
            )
            .await;
            assert_eq!(found["updateThing"], json!({ "id": id, field: null }));
        }
    }
    let (code, _) = refused(app, "deleteThing(where: {}) { id }").await;
    assert_eq!(code, 3040);
    let (code, _) = refused(app, "deleteThing(where: {i: null}) { id }").await;
    assert_eq!(code, 3040);
    let (code, _) = refused(
        app,
        "upsertThing(where: {i: 1, b: true}, create: {}, update: {}) { id }",
    )
    .await;
    assert_eq!(code, 3045);
    run(app, "deleteManyThings { count }").await;
}

/// The time of writes runs ahead of the clock by so much only, which the tests of this process may have used up:
/// two milliseconds later there is a later time again.
async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
}

/// `updatedAt` moves when a value or a list of the node itself is given.
async fn lists_and_times(app: &TestApp) {
    let created = run(app, r#"createThing(data: {i: 1, tags: {set: ["a"]}, note: "null"}) { createdAt updatedAt note tags moods }"#).await;
    let created = created["createThing"].clone();
    assert_eq!(created["createdAt"], created["updatedAt"]);
    assert_eq!(
        (&created["note"], &created["moods"]),
        (&Value::Null, &json!([]))
    );
    let mut last = created["updatedAt"].clone();
    for (data, moves, tags) in [
        ("{}", false, json!(["a"])),
        (r#"{tags: {set: ["b", "a"]}}"#, true, json!(["b", "a"])),
        ("{tags: {set: []}}", true, json!([])),
        (r#"{tags: {set: "c"}}"#, true, json!(["c"])),
        ("{i: 1}", true, json!(["c"])),
        ("{note: null}", true, json!(["c"])),
    ] {
        pause().await;
        let now = run(
            app,
            &format!("updateThing(where: {{i: 1}}, data: {data}) {{ updatedAt tags }}"),
        )
        .await;
        assert_eq!(now["updateThing"]["updatedAt"] != last, moves, "{data}");
        assert_eq!(now["updateThing"]["tags"], tags, "{data}");
        last = now["updateThing"]["updatedAt"].clone();
    }
    run(app, "createThing(data: {i: 2}) { id }").await;
    pause().await;
    let many = run(
        app,
        r#"updateManyThings(data: {tags: {set: ["m", "n"]}, moods: {set: [BAD, GOOD]}}) { count }"#,
    )
    .await;
    assert_eq!(many["updateManyThings"]["count"], 2);
    let read = query(app, "things { tags moods updatedAt }").await;
    for thing in read["things"].as_array().unwrap() {
        assert_eq!(
            (&thing["tags"], &thing["moods"]),
            (&json!(["m", "n"]), &json!(["BAD", "GOOD"]))
        );
        assert_ne!(thing["updatedAt"], last);
    }
    assert_eq!(
        run(app, "updateManyThings(data: {}) { count }").await["updateManyThings"]["count"],
        2
    );
    // A change that leaves the filter behind, and a list with it.
    let moved = run(
        app,
        r#"updateManyThings(where: {i: 2}, data: {i: 3, tags: {set: []}}) { count }"#,
    )
    .await;
    assert_eq!(moved["updateManyThings"]["count"], 1);
    assert_eq!(
        query(app, "thing(where: {i: 3}) { tags }").await,
        json!({ "thing": { "tags": [] } })
    );
    let deleted = run(app, "deleteThing(where: {i: 1}) { i tags moods }").await;
    assert_eq!(
        deleted,
        json!({ "deleteThing": { "i": 1, "tags": ["m", "n"], "moods": ["BAD", "GOOD"] } })
    );
}
