//! Random requests: a list and a connection of some model with the same arguments, and in each row one list
//! of its partners with arguments of its own. The connection shows any part of what it could, and the keys of the
//! answer are names that our own statements use as well.

use std::ops::Deref;
use std::rc::Rc;

use gom_engine::datamodel::{FieldId, FieldKind, ModelId, ScalarType};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::random_filters::filters;
use gom_test_support::random::rows::{self, cursor};
use gom_test_support::random::world::{UUIDS, World};

#[derive(Debug, Clone)]
pub struct Request {
    pub model: ModelId,
    pub roots: Roots,
    pub page: Page,
    /// Fields with values, and their keys in the answer.
    pub values: Vec<(FieldId, String)>,
    /// The name of a field with many partners.
    pub nested: String,
    pub nested_page: Page,
    pub parts: Parts,
    /// Distinct keys for the answer; see [`Request::key`].
    keys: Vec<String>,
    /// `limits.page_size`.
    pub page_size: Option<usize>,
}

/// What the API calls the list and the connection of a model.
#[derive(Debug, Clone)]
pub struct Roots {
    pub list: String,
    pub connection: String,
}

/// What of a connection is selected; never nothing.
#[derive(Debug, Clone)]
pub struct Parts {
    pub page_info: Vec<&'static str>,
    pub edges: Vec<&'static str>,
    pub count: bool,
}

/// What in the answer has a key of the client's.
#[derive(Debug, Clone, Copy)]
pub enum AnswerKey {
    Id,
    Nested,
    NestedId,
    PageInfo,
    Edges,
    Aggregate,
    Count,
    Cursor,
    Node,
    HasNextPage,
    HasPreviousPage,
    StartCursor,
    EndCursor,
}

/// The arguments of a list, and the name of its order.
#[derive(Debug, Clone)]
pub struct Page {
    of: rows::Page,
    pub order_name: Option<String>,
}

impl Deref for Page {
    type Target = rows::Page;

    fn deref(&self) -> &rows::Page {
        &self.of
    }
}

const PAGE_INFO: [&str; 4] = ["hasNextPage", "hasPreviousPage", "startCursor", "endCursor"];
const EDGE: [&str; 2] = ["cursor", "node"];
/// Names of tables, of rows and of columns in our statements, and one that is too long for a column.
const KEYS: [&str; 24] = [
    "t0",
    "t1",
    "t2",
    "t3",
    "t4",
    "t5",
    "t6",
    "t7",
    "t8",
    "t9",
    "t10",
    "t11",
    "t12",
    "page",
    "row",
    "rows",
    "id",
    "i",
    "gom_i",
    "gom_0",
    "value",
    "position",
    "select",
    "aNameThatIsLongerThanTheSixtyThreeBytesThatPostgreSQLKeepsOfTheNameOfAColumn",
];

impl Request {
    pub fn key(&self, key: AnswerKey) -> &str {
        &self.keys[key as usize]
    }

    /// The selection of the connection.
    fn connection(&self) -> String {
        let mut selected = String::new();
        if !self.parts.page_info.is_empty() {
            let infos = self.parts.page_info.iter().map(|name| {
                let key = match *name {
                    "hasNextPage" => AnswerKey::HasNextPage,
                    "hasPreviousPage" => AnswerKey::HasPreviousPage,
                    "startCursor" => AnswerKey::StartCursor,
                    _ => AnswerKey::EndCursor,
                };
                format!(" {}: {name}", self.key(key))
            });
            selected += &format!(
                " {}: pageInfo {{{} }}",
                self.key(AnswerKey::PageInfo),
                infos.collect::<String>()
            );
        }
        if !self.parts.edges.is_empty() {
            let edges = self.parts.edges.iter().map(|name| match *name {
                "cursor" => format!(" {}: cursor", self.key(AnswerKey::Cursor)),
                _ => format!(
                    " {}: node {{ {}: id }}",
                    self.key(AnswerKey::Node),
                    self.key(AnswerKey::Id)
                ),
            });
            selected += &format!(
                " {}: edges {{{} }}",
                self.key(AnswerKey::Edges),
                edges.collect::<String>()
            );
        }
        if self.parts.count {
            let count = self.key(AnswerKey::Count);
            selected += &format!(
                " {}: aggregate {{ {count}: count }}",
                self.key(AnswerKey::Aggregate)
            );
        }
        selected
    }

    pub fn document(&self, world: &World) -> String {
        let model = world.model.model(self.model);
        let nested = model
            .field(model.field_named(&self.nested).unwrap())
            .relation()
            .unwrap()
            .target;
        let (name, nested_name) = (&model.name, &world.model.model(nested).name);
        let declared = |name: &str, prefix: &str| {
            format!(
                "${prefix}where: {name}WhereInput, ${prefix}orderBy: {name}OrderByInput, ${prefix}skip: Int, \
                 ${prefix}after: String, ${prefix}before: String, ${prefix}first: Int, ${prefix}last: Int"
            )
        };
        let passed = |prefix: &str| {
            let names = [
                "where", "orderBy", "skip", "after", "before", "first", "last",
            ];
            names
                .map(|name| format!("{name}: ${prefix}{name}"))
                .join(", ")
        };
        let partners = model
            .fields
            .iter()
            .filter(|f| f.relation().is_some() && !f.list);
        let partners: String = partners.map(|f| format!(" {} {{ id }}", f.name)).collect();
        let values = self
            .values
            .iter()
            .map(|(field, key)| format!(" {key}: {}", model.field(*field).name));
        let Roots { list, connection } = &self.roots;
        format!(
            "query ({}, {}) {{\n  {list}({outer}) {{ {id}: id{}{partners} {}: {}({}) {{ {}: id }} }}\n  \
             {connection}({outer}) {{{} }}\n}}",
            declared(name, ""),
            declared(nested_name, "n_"),
            values.collect::<String>(),
            self.key(AnswerKey::Nested),
            self.nested,
            passed("n_"),
            self.key(AnswerKey::NestedId),
            self.connection(),
            id = self.key(AnswerKey::Id),
            outer = passed(""),
        )
    }

    pub fn variables(&self) -> Map<String, Value> {
        let mut variables = Map::new();
        for (prefix, page) in [("", &self.page), ("n_", &self.nested_page)] {
            let given = [
                ("where", Some(page.filter.clone())),
                ("orderBy", page.order_name.as_ref().map(|name| json!(name))),
                ("skip", page.skip.map(|n| json!(n))),
                ("first", page.first.map(|n| json!(n))),
                ("last", page.last.map(|n| json!(n))),
                ("after", page.after.as_ref().map(|id| json!(id))),
                ("before", page.before.as_ref().map(|id| json!(id))),
            ];
            for (name, value) in given {
                if let Some(value) = value {
                    variables.insert(format!("{prefix}{name}"), value);
                }
            }
        }
        variables
    }
}

/// `roots`: by model.
pub fn requests(world: &World, roots: &[Roots]) -> BoxedStrategy<Request> {
    let world = Rc::new(world.clone());
    let filters = filters(&world);
    let pages: Vec<_> = world
        .model
        .model_ids()
        .map(|id| pages(&world, id, filters[id.0].clone()))
        .collect();
    let mut requests = Vec::new();
    for id in world.model.model_ids() {
        let definition = world.model.model(id);
        let valued = definition
            .field_ids()
            .filter(|field| definition.field(*field).relation().is_none());
        let valued: Vec<FieldId> = valued.collect();
        for field in definition
            .fields
            .iter()
            .filter(|f| f.list && f.relation().is_some())
        {
            let target = field.relation().unwrap().target;
            let name = field.name.clone();
            let pages = (pages[id.0].clone(), pages[target.0].clone());
            let keys = Just(KEYS.map(str::to_owned).to_vec()).prop_shuffle();
            let page_size = weighted(0.4, 1..6_usize);
            let (roots, valued) = (roots[id.0].clone(), valued.clone());
            let request = (pages, parts(), keys, page_size).prop_map(
                move |((page, nested_page), parts, mut keys, page_size)| Request {
                    model: id,
                    roots: roots.clone(),
                    page,
                    values: valued
                        .iter()
                        .copied()
                        .zip(keys.split_off(AnswerKey::EndCursor as usize + 1))
                        .collect(),
                    nested: name.clone(),
                    nested_page,
                    parts,
                    keys,
                    page_size,
                },
            );
            requests.push(request.boxed());
        }
    }
    any::<prop::sample::Index>()
        .prop_flat_map(move |index| requests[index.index(requests.len())].clone())
        .boxed()
}

fn parts() -> impl Strategy<Value = Parts> {
    let page_info = prop_oneof![1 => Just(Vec::new()), 2 => subsequence(&PAGE_INFO[..], 1..=4)];
    let edges = prop_oneof![1 => Just(Vec::new()), 1 => subsequence(&EDGE[..], 1..=2)];
    (page_info, edges, any::<bool>()).prop_map(|(page_info, edges, count)| Parts {
        count: count || (page_info.is_empty() && edges.is_empty()),
        page_info,
        edges,
    })
}

fn pages(world: &World, model: ModelId, filter: BoxedStrategy<Value>) -> BoxedStrategy<Page> {
    let definition = world.model.model(model);
    let orders = definition
        .field_ids()
        .filter(|f| definition.field(*f).is_column());
    let orders: Vec<_> = orders
        .flat_map(|f| {
            let name = &definition.field(f).name;
            [
                (f, false, format!("{name}_ASC")),
                (f, true, format!("{name}_DESC")),
            ]
        })
        .collect();
    let mut ids: Vec<String> = (0..world.rows[model.0].len())
        .map(|row| cursor(world.id(model, row)))
        .collect();
    ids.push(match definition.id_field().kind {
        FieldKind::Scalar(ScalarType::Int) => "987654".to_owned(),
        FieldKind::Scalar(ScalarType::Uuid) => UUIDS[0].to_owned(),
        _ => "nobody's".to_owned(),
    });
    let filter = prop_oneof![3 => filter, 1 => Just(json!({})), 1 => Just(Value::Null)];
    let size = prop_oneof![
        Just((None, None)),
        (0..5_usize).prop_map(|n| (Some(n), None)),
        (0..5_usize).prop_map(|n| (None, Some(n))),
    ];
    let cursors = (
        weighted(0.3, select(ids.clone())),
        weighted(0.2, select(ids)),
    );
    (
        filter,
        weighted(0.7, select(orders)),
        weighted(0.3, 0..4_usize),
        size,
        cursors,
    )
        .prop_map(
            |(filter, order, skip, (first, last), (after, before))| Page {
                order_name: order.as_ref().map(|(_, _, name)| name.clone()),
                of: rows::Page {
                    filter,
                    order: order.map(|(field, descends, _)| (field, descends)),
                    skip,
                    first,
                    last,
                    after,
                    before,
                },
            },
        )
        .boxed()
}
