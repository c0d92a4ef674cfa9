//! The language by example: what a datamodel becomes, and what its errors say.

use super::*;

fn model(text: &str) -> DataModel {
    match parse("datamodel.prisma", text) {
        Ok(model) => model,
        Err(errors) => panic!("{text}\n{errors}"),
    }
}

/// The errors of a text, one a line, without the file's name.
fn errors(text: &str) -> Vec<String> {
    let found = parse("d", text).expect_err("the text is wrong");
    found
        .errors
        .iter()
        .map(|e| format!("{}:{} {}; {}", e.line, e.column, e.message, e.remedy))
        .collect()
}

fn only_error(text: &str) -> String {
    let mut found = errors(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn inline(side: Side, column: &str) -> RelationStorage {
    RelationStorage::Inline {
        side,
        column: column.into(),
    }
}

fn table(name: &str) -> RelationStorage {
    RelationStorage::Table {
        table: name.into(),
        a_column: "A".into(),
        b_column: "B".into(),
        id_column: None,
    }
}

#[test]
fn the_shops_own_datamodel_is_accepted() {
    let shop = model(include_str!("../../../config/datamodel.prisma"));
    let names: Vec<_> = shop.models.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Bp",
            "User",
            "Order",
            "Item",
            "Price",
            "Promotion",
            "Publication"
        ]
    );
    let linked = shop
        .relations
        .iter()
        .find(|r| r.name == "CustomerOf")
        .unwrap();
    assert_eq!(linked.storage, table("_CustomerOf"));
    assert_eq!(shop.model(linked.a.model).name, "Bp");
    assert!(
        linked.b.cascade && !linked.a.cascade,
        "only deleting the node at B deletes what is linked to it"
    );
    let order = shop
        .relations
        .iter()
        .find(|r| r.name == "UserOrder")
        .unwrap();
    assert_eq!(order.storage, inline(Side::A, "assignedTo"));
    assert!(order.a.required && !order.a.list && order.b.list);
}

#[test]
fn one_to_many_keeps_its_links_on_the_to_one_side() {
    let m = model(
        "type Todo { id: ID! @id comments: [Comment] } type Comment { id: ID! @id todo: Todo! }",
    );
    assert_eq!(m.relations[0].name, "CommentToTodo");
    assert_eq!(m.relations[0].storage, inline(Side::A, "todo"));
    let todo = m.model_named("Todo").unwrap();
    let comments = m.model(todo).field_named("comments").unwrap();
    let view = m.field(todo, comments).relation().unwrap();
    assert_eq!(
        (view.side, view.target),
        (Side::B, m.model_named("Comment").unwrap())
    );
}

#[test]
fn a_left_out_back_relation_counts_as_a_list() {
    let m = model(
        "type A { id: ID! @id b: B bs: [C!]! } type B { id: ID! @id } type C { id: ID! @id }",
    );
    assert_eq!(m.relations[0].storage, inline(Side::A, "b"));
    assert_eq!(m.relations[1].storage, table("_AToC"));
    let hidden = &m.relations[0].b;
    assert_eq!(
        (hidden.field, hidden.list, hidden.required),
        (None, true, false)
    );
}

#[test]
fn one_to_one_says_its_link_on_exactly_one_side() {
    let m =
        model("type B { id: ID! @id a: A! } type A { id: ID! @id b: B! @relation(link: INLINE) }");
    assert_eq!(m.relations[0].storage, inline(Side::A, "b"));
    assert_eq!(
        only_error("type A { id: ID! @id b: B }\ntype B { id: ID! @id a: A }"),
        "1:22 the one-to-one relation `AToB` does not say where its links are kept; \
         write `@relation(link: INLINE)` on the end whose table shall have the column"
    );
    let both = only_error(
        "type A { id: ID! @id b: B @relation(link: INLINE) }
         type B { id: ID! @id a: A @relation(link: INLINE) }",
    );
    assert!(
        both.contains("both ends of the relation `AToB` say `link`"),
        "{both}"
    );
}

#[test]
fn self_relations_put_the_first_field_of_the_alphabet_at_side_a() {
    let m = model(
        r#"type User { id: ID! @id
             parent: User @relation(name: "Family") children: [User] @relation(name: "Family")
             buddy: User @relation(name: "Buddies")
             fans: [User] @relation(name: "Fans") }"#,
    );
    let [family, buddies, fans] = m.relations.as_slice() else {
        panic!("{:?}", m.relations)
    };
    let name = |end: &RelationEnd| end.field.map(|f| m.field(end.model, f).name.clone());
    assert_eq!(
        (name(&family.a).as_deref(), name(&family.b).as_deref()),
        (Some("children"), Some("parent"))
    );
    assert_eq!(family.storage, inline(Side::B, "parent"));
    assert_eq!(
        (name(&buddies.a).as_deref(), name(&buddies.b)),
        (Some("buddy"), None)
    );
    assert_eq!(buddies.storage, inline(Side::A, "buddy"));
    assert_eq!(fans.storage, table("_Fans"));
}

#[test]
fn a_name_on_one_end_is_enough() {
    let m = model(
        r#"type Todo { id: ID! @id user: User @relation(name: "Owner" link: INLINE) }
           type User { id: ID! @id todo: Todo }"#,
    );
    assert_eq!(m.relations.len(), 1);
    assert_eq!(m.relations[0].name, "Owner");
}

#[test]
fn ambiguous_relations_need_names() {
    let found = errors("type A { id: ID! @id x: B y: B }\ntype B { id: ID! @id as: [A] }");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(
        found[0].contains("which field of `B` belongs to `x`?"),
        "{}",
        found[0]
    );
}

#[test]
fn relation_tables_name_their_columns() {
    let m = model(
        r#"type Post { id: ID! @id tags: [Tag!]! @relation(name: "PostToTag") }
           type Tag { id: ID! @id posts: [Post!]! @relation(name: "PostToTag") }
           type PostToTag @db(name: "post_tag") @relationTable {
             tag: Tag! @db(name: "tag_id") post: Post! }"#,
    );
    assert_eq!(m.models.len(), 2);
    assert_eq!(
        m.relations[0].storage,
        RelationStorage::Table {
            table: "post_tag".into(),
            a_column: "post".into(),
            b_column: "tag_id".into(),
            id_column: None,
        }
    );
    let unused = only_error("type A { id: ID! @id } type T @relationTable { a: A! b: A! }");
    assert!(
        unused.contains("no relation uses the relation table `T`"),
        "{unused}"
    );
}

#[test]
fn physical_names_come_from_db() {
    let m = model(
        r#"type Todo @db(name: "my_table") { id: Int! @id
             title: String @db(name: "my_column") tags: [String!]! @scalarList(strategy: RELATION) }"#,
    );
    let todo = &m.models[0];
    assert_eq!(
        (todo.table.as_str(), todo.fields[1].column.as_str()),
        ("my_table", "my_column")
    );
    assert_eq!(todo.list_table(&todo.fields[2]), "my_table_tags");
    assert_eq!(todo.id_field().id_strategy, Some(IdStrategy::Sequence));
}

#[test]
fn defaults_have_the_type_of_their_field() {
    let m = model(
        r#"enum E { A B } type T { id: ID! @id
             s: String @default(value: "x\n") i: Int! @default(value: -3) f: Float @default(value: 2)
             b: Boolean @default(value: false) e: E @default(value: B) j: Json @default(value: "[1]")
             d: DateTime @default(value: "2020-02-01") }"#,
    );
    let defaults: Vec<_> = m.models[0]
        .fields
        .iter()
        .filter_map(|f| f.default.clone())
        .collect();
    let expected = serde_json::json!([
        "x\n",
        -3,
        2.0,
        false,
        "B",
        "[1]",
        "2020-02-01T00:00:00.000Z"
    ]);
    assert_eq!(serde_json::Value::from(defaults), expected);

    let found = errors(
        r#"enum E { A } type T { id: ID! @id @default(value: "x") i: Int @default(value: 2147483648)
             s: String @default(value: 1) e: E @default(value: B) l: [Int] @default(value: 1)
             j: Json @default(value: "{") d: DateTime @default(value: "yesterday") n: Int @default }"#,
    );
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn one_run_reports_everything_with_places_and_remedies() {
    let found = errors(
        "type User @embedded {\n  id: ID @id\n  name: Strin @uniqe\n  tags: [Int] @unique\n}\n\
         type Query { x: Int! }\nenum E { A A }\ntype E { id: ID! @id }",
    );
    assert_eq!(
        found,
        [
            "1:11 `@embedded` is for document databases; here each type has a table of its own; \
             remove it, mark an id field with `@id`, and link the type with `@relation`",
            "2:7 the id `id` has a type that cannot be an id; write `id: ID! @id`, or `UUID!` or `Int!`",
            "3:9 there is no type `Strin`; did you mean `String`?",
            "3:15 there is no directive `@uniqe`; did you mean `@unique`?",
            "4:15 the list `tags` cannot be `@unique`; remove it",
            "6:6 `Query` has no id; add `id: ID! @id`",
            "6:6 `Query` is a type of the API itself; choose another name, for example `QueryRecord`",
            "7:12 the enum `E` has the value `A` twice; remove one of the two",
            "8:6 the enum `E` is declared already; rename or remove one of the two",
        ]
    );
}

/// The warnings of a datamodel that is taken.
fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = parse_with_warnings("d", text).unwrap_or_else(|errors| panic!("{errors}"));
    warnings
        .iter()
        .map(|w| format!("{}:{} {}; {}", w.line, w.column, w.message, w.remedy))
        .collect()
}

#[test]
fn what_prisma_1_took_without_effect_is_taken_with_a_warning() {
    let text = "type User @key(fields: \"id\") {\n  id: ID! @id\n  name: String @provides\n  \
                posts: [Post] @scalarList(strategy: RELATION)\n  best: Post @relation(name: \"Best\", link: INLINE) @unique\n}\n\
                type Post {\n  id: ID! @id\n}\nenum Kind @old {\n  A\n}";
    assert_eq!(
        warnings(text),
        [
            "1:11 there is no directive `@key`, and it has no effect; a type takes `@db` or `@relationTable`",
            "3:16 there is no directive `@provides`, and it has no effect; a field takes `@id`, `@unique`, `@default`, \
             `@createdAt`, `@updatedAt`, `@db`, `@relation`, `@scalarList`, `@sequence` or `@size`",
            "4:17 `@scalarList` is for lists of scalars and enums, and has no effect here; remove it",
            "5:52 the relation `best` cannot be `@unique`, and is not; remove it; a relation is one-to-one when the field at \
             its other end is no list",
            "10:11 `@old` stands at an enum, and has no effect; enums and their values take no directives; remove it",
        ]
    );
    let m = model(text);
    assert!(
        m.models[0].fields.iter().all(|field| !field.unique),
        "{m:?}"
    );
    assert_eq!(model("enum Kind { A B }").enums.len(), 1, "enums only");
    assert_eq!(warnings("type A { id: ID! @id }"), [""; 0]);
}

#[test]
fn a_rename_of_prismas_is_named_where_gom_has_it() {
    for (text, complaint) in [
        (
            "type A @rename(oldName: \"B\") { id: ID! @id }",
            "`@rename` is not a directive of Gom",
        ),
        (
            "type A { id: ID! @id x: Int @rename(oldName: \"y\") }",
            "`@rename` is not a directive of Gom",
        ),
        (
            "type A { id: ID! @id b: A @relation(name: \"N\", oldName: \"O\", link: INLINE) }",
            "`@relation` has no argument `oldName`",
        ),
    ] {
        let error = only_error(text);
        assert!(
            error.contains(complaint) && error.contains("`--rename Type.old=new` for a field"),
            "{error}"
        );
    }
}

#[test]
fn datamodels_of_other_versions_are_recognised() {
    let newer = "// comment\ndatasource db {\n  provider = \"postgresql\"\n}\n\nmodel User {\n  \
                 id Int @id @default(autoincrement())\n}";
    let error = only_error(newer);
    assert!(
        error.starts_with("2:1 this is a schema of Prisma 2 or newer (`datasource`)"),
        "{error}"
    );
    assert!(only_error("model User {\n  id String @id\n}").starts_with("1:1 this is a schema"));
    // A field may have such a name, and a comment such a text.
    let named = "# model User {\ntype A {\n  id: ID! @id\n  model: String\n  datasource: String @default(value: \"model A {\")\n}";
    assert_eq!(model(named).models[0].fields.len(), 3);

    let older = "type User {\n  id: ID! @unique\n  createdAt: DateTime!\n  posts: [Post!]!\n}\ntype Post {\n  id: ID! @unique\n}";
    let errors = errors(older);
    assert!(
        errors[0].starts_with("1:6 this is a datamodel 1.0 of Prisma"),
        "{errors:?}"
    );
    for thing in [
        "write `@id` in place of `@unique`",
        "`@createdAt`",
        "`@relation(link: TABLE)`",
    ] {
        assert!(errors[0].contains(thing), "{thing}: {errors:?}");
    }
}

#[test]
fn a_lost_brace_is_located() {
    let lost = "type A {\n  id: ID! @id # }\n  s: String @default(value: \"}\")\n\ntype B {\n  id: ID! @id\n}";
    assert_eq!(
        only_error(lost),
        "5:1 `type A`, which begins in line 1, has no `}` before this; close it with `}`"
    );
    let at_end = only_error("type A { id: ID! @id }\nenum E {\n  X");
    assert_eq!(
        at_end,
        "3:4 `enum E`, which begins in line 2, has no `}`; close it with `}`"
    );
    assert_eq!(
        only_error("type A { id: ID! @id }\n}"),
        "2:1 this `}` closes nothing; remove it"
    );
}

#[test]
fn names_that_clash_are_reported() {
    let clash = only_error("type A { id: ID! @id }\ntype AConnection { id: ID! @id }");
    assert!(
        clash.starts_with("2:6 the API makes a type `AConnection` for the model `A`"),
        "{clash}"
    );
    let query = only_error("type User { id: ID! @id }\ntype user { id: ID! @id }");
    assert!(query.contains("would share the query `user`"), "{query}");
    let filter = only_error("type A { id: ID! @id a: Int a_in: Int }");
    assert!(
        filter.contains("`a_in` is also a filter on the field `a`"),
        "{filter}"
    );
    let column = only_error(r#"type A { id: ID! @id a: Int b: Int @db(name: "a") }"#);
    assert!(column.contains("share the column `a`"), "{column}");
    let table =
        only_error(r#"type A { id: ID! @id x: [Int] } type B @db(name: "A_x") { id: ID! @id }"#);
    assert!(
        table.contains("the list `A.x` and the model `B` share the table `A_x`"),
        "{table}"
    );
    let long = only_error(&format!("type A {{ id: ID! @id {}: Int }}", "x".repeat(64)));
    assert!(
        long.contains("has 64 bytes, PostgreSQL takes at most 63"),
        "{long}"
    );
}

#[test]
fn names_that_clash_only_in_the_database_are_reported() {
    let sequence = |name: &str| {
        format!(
            "type A {{ id: Int! @id(strategy: SEQUENCE) @sequence(name: \"numbers\") }}
             type B {{ id: Int! @id(strategy: SEQUENCE) @sequence(name: \"{name}\") }}"
        )
    };
    let two = only_error(&sequence("numbers"));
    assert!(
        two.contains("the ids of `A` and the ids of `B` share the name `numbers`"),
        "{two}"
    );
    let table = only_error(&sequence("A"));
    assert!(
        table.contains("the model `A` and the ids of `B` share the name `A`"),
        "{table}"
    );
    assert_eq!(model(&sequence("others")).models.len(), 2);

    let columns = |one: &str, other: &str| {
        format!(
            "type Post {{ id: ID! @id tags: [Tag] @relation(name: \"T\") }}
             type Tag {{ id: ID! @id posts: [Post] @relation(name: \"T\") }}
             type T @relationTable {{ id: ID! @id tag: Tag! @db(name: \"{one}\") post: Post! @db(name: \"{other}\") }}"
        )
    };
    for (one, other, shared) in [("a", "a", "a"), ("id", "b", "id"), ("a", "id", "id")] {
        let error = only_error(&columns(one, other));
        let expected = format!("two fields of the relation table `T` share the column `{shared}`");
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(model(&columns("a", "b")).models.len(), 2);
}

#[test]
fn the_syntax_is_graphqls() {
    assert!(
        only_error("type A { id: ID! @id }\ninput B { x: Int }")
            .contains("no input object type definition")
    );
    assert!(only_error("").contains("the datamodel has no type"));
    let broken = errors("type A { id: }\ntype B { id ID! }");
    assert!(broken[0].starts_with("1:14 "), "{broken:#?}");
    assert!(broken.iter().any(|e| e.starts_with("2:")), "{broken:#?}");
}

#[test]
fn a_size_is_of_a_text_or_a_list_and_a_number_of_bytes() {
    let m = model(
        "type A { id: ID! @id t: String @size(max: 9) j: Json! @size(max: 1073741824) l: [Int!] @size(max: 1) }",
    );
    let sizes: Vec<_> = m.models[0]
        .fields
        .iter()
        .map(|field| field.max_bytes)
        .collect();
    assert_eq!(sizes, [None, Some(9), Some(1_073_741_824), Some(1)]);
    assert_eq!(
        only_error("type A { id: ID! @id n: Int @size(max: 9) }"),
        "1:29 `@size` is for `String`, `Json` and lists of scalars and enums; remove it"
    );
    for (given, complaint) in [
        ("@size", "`@size` has no `max`"),
        ("@size(max: 0)", "no value can have at most 0 bytes"),
        ("@size(max: \"9\")", "`max` needs a whole number"),
        ("@size(least: 9)", "`@size` has no argument `least`"),
    ] {
        let found = errors(&format!("type A {{ id: ID! @id t: String {given} }}"));
        assert!(
            found.iter().any(|error| error.contains(complaint)),
            "{found:?}"
        );
    }
}
