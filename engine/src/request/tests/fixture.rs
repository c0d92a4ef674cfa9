//! A schema with every kind of type, and the stage around it without async-graphql's validation, so
//! that these tests show what the stage checks by itself.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use crate::datamodel::{EnumId, FieldId, ModelId};
use crate::error::ApiError;
use crate::request::names::Names;
use crate::request::{PreparedOperation, RequestLimits, RequestOptions, Requests, Template, Value};
use crate::schema::{
    EnumMeaning, EnumType, EnumTypeId, InputField, InputMeaning, InputType, ObjectId, ObjectType,
    OutputField, OutputMeaning, Schema, TypeRef,
};

pub(super) const USER: ModelId = ModelId(0);
pub(super) const POST: ModelId = ModelId(1);

/// Output types are given by name, and by these positions.
const OBJECTS: [&str; 9] = [
    "Query",
    "Mutation",
    "Subscription",
    "User",
    "Post",
    "UserConnection",
    "UserEdge",
    "PageInfo",
    "UserPayload",
];

pub(super) fn schema() -> Schema {
    let mut schema = Schema {
        objects: Vec::new(),
        inputs: Vec::new(),
        enums: vec![
            EnumType {
                name: "Color".into(),
                values: vec!["RED".into(), "GREEN".into()],
                meaning: EnumMeaning::Data(EnumId(0)),
            },
            EnumType {
                name: "UserOrderByInput".into(),
                values: vec!["name_ASC".into(), "name_DESC".into()],
                meaning: EnumMeaning::OrderBy(vec![(FieldId(1), false), (FieldId(1), true)]),
            },
        ],
        query: ObjectId(0),
        mutation: ObjectId(1),
        subscription: ObjectId(2),
        models: Vec::new(),
        clashes: Vec::new(),
    };
    let inputs: [(&str, &[(&str, &str)]); 6] = [
        ("UserWhereUniqueInput", &[("id", "ID"), ("email", "String")]),
        (
            "UserWhereInput",
            &[
                ("AND", "[UserWhereInput!]"),
                ("name", "String"),
                ("name_in", "[String!]"),
                ("age", "Int"),
                ("posts_some", "PostWhereInput"),
            ],
        ),
        ("PostWhereInput", &[("title", "String")]),
        (
            "UserCreateInput",
            &[
                ("name", "String!"),
                ("id", "ID"),
                ("age", "Int"),
                ("big", "Long"),
                ("score", "Float"),
                ("active", "Boolean"),
                ("born", "DateTime"),
                ("data", "Json"),
                ("key", "UUID"),
                ("color", "Color"),
                ("tags", "[String!]"),
                ("posts", "PostCreateManyInput"),
            ],
        ),
        ("PostCreateManyInput", &[("create", "[PostCreateInput!]")]),
        (
            "PostCreateInput",
            &[("title", "String!"), ("stars", "[Int]")],
        ),
    ];
    for (name, _) in inputs {
        schema.inputs.push(InputType {
            name: name.into(),
            model: USER,
            fields: IndexMap::new(),
        });
    }
    let names = Names::new(&schema);
    for (position, (_, fields)) in inputs.iter().enumerate() {
        let fields = fields.iter().enumerate().map(|(index, (name, ty))| {
            let meaning = InputMeaning::Value(FieldId(index));
            (
                (*name).to_owned(),
                InputField {
                    description: None,
                    ty: input(&names, ty),
                    meaning,
                },
            )
        });
        schema.inputs[position].fields = fields.collect();
    }
    let page: &[(&str, &str, InputMeaning)] = &[
        ("where", "UserWhereInput", InputMeaning::Where),
        ("orderBy", "UserOrderByInput", InputMeaning::OrderBy),
        ("skip", "Int", InputMeaning::Skip),
        ("first", "Int", InputMeaning::First),
    ];
    let unique: &[(&str, &str, InputMeaning)] =
        &[("where", "UserWhereUniqueInput!", InputMeaning::Where)];
    let id: &[(&str, &str, InputMeaning)] = &[("id", "ID!", InputMeaning::NodeId)];
    let data: &[(&str, &str, InputMeaning)] = &[("data", "UserCreateInput!", InputMeaning::Data)];
    let column = |index| OutputMeaning::Column(FieldId(index));
    type Fields<'a> = Vec<(
        &'a str,
        &'a str,
        OutputMeaning,
        &'a [(&'a str, &'a str, InputMeaning)],
    )>;
    let objects: [Fields; 9] = [
        vec![
            ("users", "[User]!", OutputMeaning::FindMany(USER), page),
            ("user", "User", OutputMeaning::FindOne(USER), unique),
            (
                "usersConnection",
                "UserConnection!",
                OutputMeaning::Connection(USER),
                page,
            ),
            ("node", "Node", OutputMeaning::Node, id),
        ],
        vec![("createUser", "User!", OutputMeaning::Create(USER), data)],
        vec![("user", "UserPayload", OutputMeaning::Subscribe(USER), &[])],
        vec![
            ("id", "ID!", column(0), &[]),
            ("name", "String!", column(1), &[]),
            ("age", "Int", column(2), &[]),
            ("posts", "[Post!]", OutputMeaning::ToMany(FieldId(3)), page),
        ],
        vec![
            ("id", "ID!", column(0), &[]),
            ("title", "String", column(1), &[]),
            ("count", "Int", column(2), &[]),
            ("author", "User", OutputMeaning::ToOne(FieldId(3)), &[]),
        ],
        vec![
            ("pageInfo", "PageInfo!", OutputMeaning::PageInfo, &[]),
            ("edges", "[UserEdge]!", OutputMeaning::Edges, &[]),
        ],
        vec![
            ("node", "User!", OutputMeaning::EdgeNode, &[]),
            ("cursor", "String!", OutputMeaning::EdgeCursor, &[]),
        ],
        vec![("hasNextPage", "Boolean!", OutputMeaning::HasNextPage, &[])],
        vec![("node", "User", OutputMeaning::EventNode, &[])],
    ];
    for (name, fields) in OBJECTS.iter().zip(objects) {
        let model = [("User", USER), ("Post", POST)]
            .into_iter()
            .find(|(n, _)| n == name)
            .map(|(_, m)| m);
        let fields = fields.into_iter().map(|(name, ty, meaning, args)| {
            let args = args.iter().map(|(name, ty, meaning)| {
                let field = InputField {
                    description: None,
                    ty: input(&names, ty),
                    meaning: *meaning,
                };
                ((*name).to_owned(), field)
            });
            let args = args.collect();
            (
                name.to_owned(),
                OutputField {
                    description: None,
                    args,
                    ty: output(&names, ty),
                    meaning,
                },
            )
        });
        let fields = fields.collect();
        let name = (*name).to_owned();
        schema.objects.push(ObjectType {
            name,
            description: None,
            implements_node: model.is_some(),
            model,
            fields,
        });
    }
    schema
}

fn input(names: &Names, ty: &str) -> TypeRef {
    names
        .input_type(&async_graphql::parser::types::Type::new(ty).unwrap())
        .unwrap()
}

fn output(names: &Names, ty: &str) -> TypeRef {
    if let Some(ty) = ty.strip_suffix('!') {
        TypeRef::NonNull(Box::new(output(names, ty)))
    } else if let Some(ty) = ty.strip_prefix('[') {
        TypeRef::List(Box::new(output(names, &ty[..ty.len() - 1])))
    } else if ty == "Node" {
        TypeRef::Node
    } else {
        match OBJECTS.iter().position(|name| *name == ty) {
            Some(position) => TypeRef::Object(ObjectId(position)),
            None => input(names, ty),
        }
    }
}

pub(super) fn requests() -> Requests {
    Requests::new(
        Arc::new(schema()),
        Box::new(|_, _| Ok(())),
        RequestOptions::default(),
    )
}

pub(super) fn prepare(text: &str) -> Result<Arc<PreparedOperation>, Vec<ApiError>> {
    requests().prepare(text, None, &RequestLimits::UNLIMITED)
}

/// The one error that `text` gives.
pub(super) fn error(text: &str) -> ApiError {
    let mut errors = prepare(text).expect_err(text);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

pub(super) fn json(text: &str) -> Map<String, Json> {
    serde_json::from_str(text).unwrap()
}

/// The value of the first argument of the first field, with these variables.
pub(super) fn argument(text: &str, variables: &str) -> Result<Option<Value>, ApiError> {
    let requests = requests();
    let prepared = requests
        .prepare(text, None, &RequestLimits::UNLIMITED)
        .map_err(|mut errors| errors.remove(0))?;
    let variables = requests.coerce(&prepared.operation, &json(variables))?;
    let template: &Template = &prepared.operation.fields[0].arguments[0].1;
    Ok(template.resolve(&variables).map(|value| value.into_owned()))
}

pub(super) const COLOR: EnumTypeId = EnumTypeId(0);
