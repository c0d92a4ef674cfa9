//! From the text of a datamodel to the API's schema: the whole definition, what introspection says
//! of it, and what holds for every datamodel.

mod served;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use async_graphql::Variables;
use async_graphql::parser::parse_query;
use gom_engine::datamodel::{self, DataModel};
use gom_engine::schema::{
    InputField, OutputField, Schema, SchemaOptions, Served, TypeRef, generate, sdl,
};
use proptest::prelude::*;
use serde_json::Value as Json;

fn parsed(text: &str) -> DataModel {
    datamodel::parse("test.prisma", text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn schema(text: &str) -> Schema {
    generate(&parsed(text), SchemaOptions::default())
}

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The definition that starts with `head`, without descriptions.
fn definition(schema: &Schema, head: &str) -> String {
    let text = sdl(schema);
    let lines = text
        .lines()
        .skip_while(|line| *line != format!("{head} {{"));
    let lines = lines.skip(1).take_while(|line| *line != "}").map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("\"\"\""))
        .collect::<Vec<_>>()
        .join("\n")
}

fn field_names(schema: &Schema, root: gom_engine::schema::ObjectId) -> Vec<&str> {
    schema
        .object(root)
        .fields
        .keys()
        .map(String::as_str)
        .collect()
}

/// `UPDATE_EXPECT=1` updates the golden file.
#[test]
fn the_whole_definition_is_as_recorded() {
    let datamodel = parsed(&file("tests/golden/api.prisma"));
    let text = sdl(&generate(&datamodel, SchemaOptions { execute_raw: true }));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/api.graphql");
    expect_test::expect_file![golden].assert_eq(&text);
}

#[test]
fn gom_s_own_datamodel_gives_the_types_that_its_clients_know() {
    let schema = schema(&file("../config/datamodel.prisma"));
    // 7 models: row, connection, edge, aggregate, payload, previous values; 3 roots, PageInfo,
    // BatchPayload
    assert_eq!(schema.objects.len(), 7 * 6 + 5);
    // 7 orders, 5 of the datamodel, MutationType
    assert_eq!(schema.enums.len(), 13);
    assert_eq!(schema.inputs.len(), 153);
    assert_eq!(schema.clashes, Vec::<String>::new());
    let declared: Vec<&str> = schema
        .declared_scalars()
        .into_iter()
        .map(|scalar| scalar.name())
        .collect();
    assert_eq!(declared, ["DateTime", "Long"]);
    let lists = [
        "orders",
        "order",
        "ordersConnection",
        "bps",
        "users",
        "items",
        "prices",
        "promotions",
        "publications",
    ];
    let query = field_names(&schema, schema.query);
    assert!(lists.iter().all(|name| query.contains(name)), "{query:?}");
}

#[test]
fn root_fields_come_kind_by_kind_under_their_plurals() {
    let schema =
        schema("type Todo { id: ID! @id done: Boolean }\ntype News { id: ID! @id text: String }");
    assert_eq!(
        field_names(&schema, schema.query),
        [
            "todoes",
            "newses",
            "todo",
            "news",
            "todoesConnection",
            "newsesConnection",
            "node",
        ]
    );
    assert_eq!(
        field_names(&schema, schema.mutation),
        [
            "createTodo",
            "createNews",
            "updateTodo",
            "updateNews",
            "deleteTodo",
            "deleteNews",
            "upsertTodo",
            "upsertNews",
            "updateManyTodoes",
            "updateManyNewses",
            "deleteManyTodoes",
            "deleteManyNewses",
        ]
    );
    assert_eq!(field_names(&schema, schema.subscription), ["todo", "news"]);
}

#[test]
fn raw_sql_is_offered_only_when_asked_for() {
    let datamodel = parsed("type Todo { id: ID! @id }");
    let offered = |execute_raw| {
        definition(
            &generate(&datamodel, SchemaOptions { execute_raw }),
            "type Mutation",
        )
    };
    let raw = "executeRaw(database: PrismaDatabase, query: String!): Json!";
    assert!(!offered(false).contains("executeRaw"));
    assert!(offered(true).contains(raw));
}

#[test]
fn arguments_and_fields_without_anything_to_write_are_left_out() {
    let schema = schema("type Ticket { id: Int! @id }");
    assert_eq!(
        definition(&schema, "type Mutation"),
        "createTicket: Ticket!\ndeleteTicket(where: TicketWhereUniqueInput!): Ticket\n\
         deleteManyTickets(where: TicketWhereInput): BatchPayload!"
    );
    assert_eq!(definition(&schema, "input TicketCreateInput"), "");
}

#[test]
fn nested_writes_leave_out_what_the_other_side_cannot_take() {
    let schema = schema(
        "type B { id: ID! @id user: User @relation(link: INLINE) c: C @relation(link: INLINE) }\n\
         type C { id: ID! @id b: B }\ntype User { id: ID! @id name: String! }",
    );
    assert_eq!(
        definition(&schema, "input CUpdateOneWithoutBInput"),
        "create: CCreateWithoutBInput\nconnect: CWhereUniqueInput\ndisconnect: Boolean\ndelete: Boolean"
    );
    assert_eq!(
        definition(&schema, "input UserUpdateOneInput"),
        "create: UserCreateInput\nconnect: UserWhereUniqueInput\ndisconnect: Boolean\ndelete: Boolean\n\
         update: UserUpdateDataInput\nupsert: UserUpsertNestedInput"
    );
    assert_eq!(definition(&schema, "input BUpdateManyMutationInput"), "");
}

#[test]
fn both_fields_of_a_self_relation_have_inputs_of_their_own() {
    let schema = schema(
        "type User { id: ID! @id name: String! friend: User! @relation(name: \"Friends\", link: INLINE)\n\
         friendOf: User! @relation(name: \"Friends\") }",
    );
    assert_eq!(
        definition(&schema, "input UserCreateWithoutFriendInput"),
        "id: ID\nname: String!\nfriendOf: UserCreateOneWithoutFriendInput!"
    );
    assert_eq!(
        definition(&schema, "input UserUpdateOneRequiredWithoutFriendOfInput"),
        "create: UserCreateWithoutFriendOfInput\nconnect: UserWhereUniqueInput\n\
         update: UserUpdateWithoutFriendOfDataInput\nupsert: UserUpsertWithoutFriendOfInput"
    );
}

#[test]
fn names_that_meet_are_reported_and_not_served() {
    for (text, name) in [
        (
            "type Todo { id: ID! @id }\ntype Todoes { id: ID! @id }",
            "todoes",
        ),
        (
            "type Tag { id: ID! @id Many: [String] @scalarList(strategy: RELATION) }\n\
             type Post { id: ID! @id tags: [Tag] @relation(link: TABLE) }",
            "TagCreateManyInput",
        ),
    ] {
        let schema = schema(text);
        assert!(
            schema.clashes.iter().any(|clash| clash.contains(name)),
            "{:?}",
            schema.clashes
        );
        let error = Served::new(&schema)
            .expect_err("a clash cannot be served")
            .to_string();
        assert!(error.contains(name), "{error}");
    }
}

const INTROSPECTION: &str = "{ __schema { types { kind name
  fields(includeDeprecated: true) { name args { ...V } type { ...T } }
  inputFields(includeDeprecated: true) { ...V } interfaces { name } possibleTypes { name }
  enumValues(includeDeprecated: true) { name } } } }
fragment V on __InputValue { name defaultValue type { ...T } }
fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

#[test]
fn introspection_returns_what_the_definition_declares() {
    let datamodel = parsed(&file("tests/golden/api.prisma"));
    let schema = generate(&datamodel, SchemaOptions { execute_raw: true });
    let served = Served::new(&schema).expect("the schema can be served");
    let document = parse_query(INTROSPECTION).expect("the query is well formed");
    served
        .validate(&document, None)
        .expect("the query is valid");
    let answer = served.introspect(document, None, Variables::default());
    assert!(answer.errors.is_empty(), "{:?}", answer.errors);
    let answer = answer.data.into_json().expect("an answer is JSON");

    let mut found = BTreeMap::new();
    for ty in list(&answer["__schema"]["types"]) {
        let name = text(&ty["name"]);
        let built_in = ["Int", "Float", "String", "Boolean", "ID"].contains(&name);
        if !built_in && !name.starts_with("__") {
            found.insert(name.to_owned(), members(ty));
        }
    }
    let input =
        |(name, field): (&String, &InputField)| format!("{name}: {}", schema.type_text(&field.ty));
    let output = |(name, field): (&String, &OutputField)| {
        let args: Vec<String> = field.args.iter().map(input).collect();
        let args = if args.is_empty() {
            String::new()
        } else {
            format!("({})", args.join(", "))
        };
        format!("{name}{args}: {}", schema.type_text(&field.ty))
    };
    let mut defined = BTreeMap::from([("Node".to_owned(), vec!["id: ID!".to_owned()])]);
    defined.extend(
        schema
            .objects
            .iter()
            .map(|of| (of.name.clone(), of.fields.iter().map(output).collect())),
    );
    defined.extend(
        schema
            .inputs
            .iter()
            .map(|of| (of.name.clone(), of.fields.iter().map(input).collect())),
    );
    defined.extend(
        schema
            .enums
            .iter()
            .map(|of| (of.name.clone(), of.values.clone())),
    );
    defined.extend(
        schema
            .declared_scalars()
            .into_iter()
            .map(|of| (of.name().to_owned(), Vec::new())),
    );
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        defined.keys().collect::<Vec<_>>()
    );
    for (name, members) in &found {
        assert_eq!(members, &defined[name], "{name}");
    }
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn type_text(ty: &Json) -> String {
    match text(&ty["kind"]) {
        "NON_NULL" => format!("{}!", type_text(&ty["ofType"])),
        "LIST" => format!("[{}]", type_text(&ty["ofType"])),
        _ => text(&ty["name"]).to_owned(),
    }
}

fn members(ty: &Json) -> Vec<String> {
    let value = |value: &Json| {
        assert_eq!(value["defaultValue"], Json::Null);
        format!("{}: {}", text(&value["name"]), type_text(&value["type"]))
    };
    let field = |field: &Json| {
        let args: Vec<String> = list(&field["args"]).iter().map(value).collect();
        let args = if args.is_empty() {
            String::new()
        } else {
            format!("({})", args.join(", "))
        };
        format!(
            "{}{args}: {}",
            text(&field["name"]),
            type_text(&field["type"])
        )
    };
    let fields = list(&ty["fields"]).iter().map(field);
    let inputs = list(&ty["inputFields"]).iter().map(value);
    let values = list(&ty["enumValues"])
        .iter()
        .map(|value| text(&value["name"]).to_owned());
    fields.chain(inputs).chain(values).collect()
}

/// Fields of models as (kind, list, required, unique), and relations between two of them as (from,
/// to, list, has a back field, back field is a list).
type Shape = (
    Vec<Vec<(usize, bool, bool, bool)>>,
    Vec<(usize, usize, bool, bool, bool)>,
);

fn shapes() -> impl Strategy<Value = Shape> {
    let field = (0..9_usize, any::<bool>(), any::<bool>(), any::<bool>());
    let models = prop::collection::vec(prop::collection::vec(field, 0..4), 1..5);
    let relation = (
        0..4_usize,
        0..4_usize,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (models, prop::collection::vec(relation, 0..5))
}

fn datamodel_text((models, relations): &Shape) -> String {
    let kinds = [
        "ID", "String", "Int", "Float", "Boolean", "DateTime", "Json", "UUID", "Colour",
    ];
    let ids = [
        "id: ID! @id",
        "id: UUID! @id",
        "id: Int! @id",
        "key: ID! @id(strategy: NONE)",
    ];
    let mut bodies: Vec<String> = models
        .iter()
        .enumerate()
        .map(|(at, fields)| {
            let mut body = format!("  {}\n", ids[at % ids.len()]);
            for (nth, (kind, list, required, unique)) in fields.iter().enumerate() {
                let kind = kinds[*kind];
                let line = match list {
                    true => format!("  f{nth}: [{kind}] @scalarList(strategy: RELATION)\n"),
                    false => format!(
                        "  f{nth}: {kind}{}{}\n",
                        if *required { "!" } else { "" },
                        if *unique { " @unique" } else { "" }
                    ),
                };
                body.push_str(&line);
            }
            body
        })
        .collect();
    for (nth, (from, to, list, back, back_list)) in relations.iter().enumerate() {
        let (from, to) = (from % models.len(), to % models.len());
        let link = match (list, *back && *back_list) {
            (true, true) => ", link: TABLE",
            (false, false) => ", link: INLINE",
            _ => "",
        };
        // A list without a back field is a many-to-many relation.
        let link = if *list && !back {
            ", link: TABLE"
        } else {
            link
        };
        let ty = |to: usize, list: bool| {
            if list {
                format!("[M{to}]")
            } else {
                format!("M{to}")
            }
        };
        let _ = writeln!(
            bodies[from],
            "  r{nth}: {} @relation(name: \"R{nth}\"{link})",
            ty(to, *list)
        );
        if *back {
            let _ = writeln!(
                bodies[to],
                "  b{nth}: {} @relation(name: \"R{nth}\")",
                ty(from, *back_list)
            );
        }
    }
    let mut text = "enum Colour { RED GREEN }\n".to_owned();
    for (at, body) in bodies.iter().enumerate() {
        let _ = writeln!(text, "type M{at} {{\n{body}}}");
    }
    text
}

/// Every type that a type mentions is there, and of the kind that its place allows.
fn check_reference(schema: &Schema, ty: &TypeRef, input: bool) {
    match ty.named() {
        TypeRef::Scalar(_) => {}
        TypeRef::Enum(id) => assert!(id.0 < schema.enums.len()),
        TypeRef::Input(id) => assert!(input && id.0 < schema.inputs.len()),
        TypeRef::Object(id) => assert!(!input && id.0 < schema.objects.len()),
        TypeRef::Node => assert!(!input),
        TypeRef::List(_) | TypeRef::NonNull(_) => unreachable!("a named type is no wrapper"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn every_datamodel_gives_a_schema_that_can_be_served(shape in shapes()) {
        let text = datamodel_text(&shape);
        let schema = schema(&text);
        let inputs = schema.inputs.iter().flat_map(|of| of.fields.values());
        let outputs = schema.objects.iter().flat_map(|of| of.fields.values());
        let args = outputs.clone().flat_map(|field| field.args.values());
        for InputField { ty, .. } in inputs.chain(args) {
            check_reference(&schema, ty, true);
        }
        for field in outputs {
            check_reference(&schema, &field.ty, false);
        }
        for of in &schema.inputs {
            prop_assert!(!of.fields.is_empty(), "{} is empty in\n{}", of.name, text);
        }
        let names: BTreeSet<&str> = schema.inputs.iter().map(|of| of.name.as_str()).collect();
        prop_assert_eq!(names.len(), schema.inputs.len());
        Served::new(&schema).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
    }
}
