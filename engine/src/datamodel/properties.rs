//! Properties of the parser: no text makes it panic, and what a valid datamodel says is what is
//! read.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(512),
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        check_answer(&text)?;
    }

    /// Pieces of the language in any order get further into the checks than arbitrary characters.
    #[test]
    fn pieces_of_the_language_never_panic(pieces in vec(select(PIECES.to_vec()), 0..60)) {
        check_answer(&pieces.join(" "))?;
    }

    /// A valid text with a piece changed gets further still.
    #[test]
    fn damaged_datamodels_never_panic(at in any::<Index>(), piece in select(PIECES.to_vec())) {
        let text = include_str!("../../../config/datamodel.prisma");
        let mut words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
        let place = at.index(words.len());
        words[place] = piece;
        check_answer(&words.concat())?;
    }

    #[test]
    fn a_printed_datamodel_is_read_as_it_was(model in datamodel()) {
        let text = print(&model);
        match parse("printed", &text) {
            Ok(read) => prop_assert_eq!(read, model, "{}", text),
            Err(errors) => prop_assert!(false, "{}\n{}", text, errors),
        }
    }
}

const PIECES: [&str; 41] = [
    "type",
    "enum",
    "A",
    "B",
    "E",
    "{",
    "}",
    "[",
    "]",
    "!",
    ":",
    "(",
    ")",
    "id",
    "x",
    "ID",
    "Int",
    "String",
    "DateTime",
    "Json",
    "@id",
    "@unique",
    "@default",
    "value",
    "@relation",
    "name",
    "link",
    "INLINE",
    "TABLE",
    "@db",
    "@relationTable",
    "@size(max: 9)",
    "@createdAt",
    "\"a\"",
    "\"\\u00e9",
    "\"\"\"",
    "12",
    "-1.5e3",
    "type A { id: ID! @id",
    "b: B",
    "x: [Int!]! @scalarList(strategy: RELATION)",
];

/// Errors are there exactly when there is no datamodel, and their places are in the text.
fn check_answer(text: &str) -> Result<(), TestCaseError> {
    if let Err(found) = parse("text", text) {
        prop_assert!(!found.errors.is_empty());
        let lines = text.split('\n').count();
        for error in found.errors {
            prop_assert!((1..=lines).contains(&error.line), "{}", error);
            prop_assert!(
                error.column >= 1 && !error.message.is_empty() && !error.remedy.is_empty()
            );
        }
    }
    Ok(())
}

/// What a generated field may be: the parts are put together by [`build`].
#[derive(Debug, Clone)]
struct FieldSeed {
    scalar: usize,
    required: bool,
    list: bool,
    unique: bool,
    with_default: bool,
    column: bool,
}

/// What a generated relation may be.
#[derive(Debug, Clone)]
struct RelationSeed {
    ends: (Index, Index),
    lists: (bool, bool),
    required: (bool, bool),
    cascades: (bool, bool),
    hidden: bool,
    table: bool,
}

fn datamodel() -> impl Strategy<Value = DataModel> {
    let field = (
        0..9usize,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(scalar, required, list, unique, with_default, column)| FieldSeed {
                scalar,
                required,
                list,
                unique,
                with_default,
                column,
            },
        );
    let pairs = || (any::<bool>(), any::<bool>());
    let relation = (
        any::<(Index, Index)>(),
        pairs(),
        pairs(),
        pairs(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(ends, lists, required, cascades, hidden, table)| RelationSeed {
                ends,
                lists,
                required,
                cascades,
                hidden,
                table,
            },
        );
    let model = (0..3usize, option::of(Just(())), vec(field, 0..6));
    (vec(model, 1..5), vec(relation, 0..6))
        .prop_map(|(models, relations)| build(&models, &relations))
}

type ModelSeed = (usize, Option<()>, Vec<FieldSeed>);

fn build(models: &[ModelSeed], relations: &[RelationSeed]) -> DataModel {
    let enums = vec![Enum {
        name: "Colour".into(),
        values: vec!["RED".into(), "GREEN".into()],
    }];
    let mut built = DataModel {
        models: models
            .iter()
            .enumerate()
            .map(|(index, seed)| build_model(index, seed))
            .collect(),
        enums,
        relations: Vec::new(),
        watched: Vec::new(),
        followed: Vec::new(),
        lists: Vec::new(),
    };
    for (number, seed) in relations.iter().enumerate() {
        add_relation(&mut built, number, seed);
    }
    // Relations stand in the order in which their models first meet in the text.
    order_relations(&mut built);
    built
}

fn build_model(index: usize, (id, renamed, fields): &ModelSeed) -> Model {
    let name = format!("Model{index}");
    let (scalar, strategy) = [
        (ScalarType::Id, IdStrategy::Auto),
        (ScalarType::Uuid, IdStrategy::None),
        (ScalarType::Int, IdStrategy::Sequence),
    ][*id];
    let mut built = Model {
        table: if renamed.is_some() {
            format!("a table {index}")
        } else {
            name.clone()
        },
        name,
        fields: vec![Field {
            id_strategy: Some(strategy),
            required: true,
            ..plain("key", FieldKind::Scalar(scalar))
        }],
        id: FieldId(0),
    };
    for (number, seed) in fields.iter().enumerate() {
        built.fields.push(build_field(number, seed));
    }
    built
}

fn plain(name: &str, kind: FieldKind) -> Field {
    Field {
        name: name.into(),
        column: name.into(),
        kind,
        required: false,
        list: false,
        unique: false,
        default: None,
        created_at: false,
        updated_at: false,
        id_strategy: None,
        sequence: None,
        max_bytes: None,
    }
}

fn build_field(number: usize, seed: &FieldSeed) -> Field {
    use serde_json::json;
    let kinds = [
        (ScalarType::Id, json!("an id")),
        (ScalarType::String, json!("a \"quoted\" \\ text\nñ")),
        (ScalarType::Int, json!(-12)),
        (ScalarType::Float, json!(0.5)),
        (ScalarType::Boolean, json!(true)),
        (ScalarType::DateTime, json!("2020-01-31T12:00:00.000Z")),
        (ScalarType::Json, json!("{\"a\": 1}")),
        (
            ScalarType::Uuid,
            json!("6f1ed002-ab5b-4a3b-9d2f-0c1a9a4d7a01"),
        ),
    ];
    let (kind, default) = match kinds.get(seed.scalar) {
        Some((scalar, default)) => (FieldKind::Scalar(*scalar), default.clone()),
        None => (FieldKind::Enum(EnumId(0)), json!("GREEN")),
    };
    let mut field = plain(&format!("field{number}"), kind);
    if seed.column {
        field.column = format!("Column {number}");
    }
    field.required = seed.required;
    field.list = seed.list;
    field.unique = seed.unique && !seed.list;
    field.default = (seed.with_default && !seed.list).then_some(default);
    if field.default.is_none() && !field.list && kind == FieldKind::Scalar(ScalarType::DateTime) {
        (field.created_at, field.updated_at) = (seed.unique, !seed.unique);
    }
    field
}

/// Adds a relation with a name of its own between two models (perhaps the same), and its fields.
fn add_relation(model: &mut DataModel, number: usize, seed: &RelationSeed) {
    let (x, y) = (
        seed.ends.0.index(model.models.len()),
        seed.ends.1.index(model.models.len()),
    );
    let (a, b) = (ModelId(x.min(y)), ModelId(x.max(y)));
    // A left-out back relation counts as an optional list.
    let lists = if seed.hidden {
        (seed.lists.0, true)
    } else {
        seed.lists
    };
    let table = seed.table || (lists.0 && lists.1);
    // Of two ends that may both have the column, side A has it.
    let inline = if lists.0 { Side::B } else { Side::A };
    let storage = match table {
        true => RelationStorage::Table {
            table: format!("_Relation{number}"),
            a_column: "A".into(),
            b_column: "B".into(),
            id_column: None,
        },
        false => {
            let name = if inline == Side::A {
                format!("a{number}")
            } else {
                format!("b{number}")
            };
            RelationStorage::Inline {
                side: inline,
                column: name,
            }
        }
    };
    let relation = RelationId(model.relations.len());
    let mut end =
        |own: ModelId, target: ModelId, side: Side, list: bool, required: bool, cascade: bool| {
            let letter = if side == Side::A { 'a' } else { 'b' };
            let kind = FieldKind::Relation(RelationRef {
                relation,
                side,
                target,
            });
            let fields = &mut model.models[own.0].fields;
            fields.push(Field {
                list,
                required,
                ..plain(&format!("{letter}{number}"), kind)
            });
            let field = Some(FieldId(fields.len() - 1));
            RelationEnd {
                model: own,
                field,
                list,
                required: required && !list,
                cascade,
            }
        };
    let a_end = end(a, b, Side::A, lists.0, seed.required.0, seed.cascades.0);
    let b_end = match seed.hidden {
        true => RelationEnd {
            model: b,
            field: None,
            list: true,
            required: false,
            cascade: false,
        },
        false => end(b, a, Side::B, lists.1, seed.required.1, seed.cascades.1),
    };
    model.relations.push(Relation {
        name: format!("Relation{number}"),
        a: a_end,
        b: b_end,
        storage,
    });
}

fn order_relations(model: &mut DataModel) {
    let first_field = |r: &Relation| {
        [&r.a, &r.b]
            .into_iter()
            .filter_map(|end| Some((end.model, end.field?)))
            .min()
    };
    let mut pairs: Vec<(ModelId, ModelId)> = Vec::new();
    for (index, one) in model.models.iter().enumerate() {
        for target in one.fields.iter().filter_map(|f| Some(f.relation()?.target)) {
            let pair = (target.min(ModelId(index)), target.max(ModelId(index)));
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    }
    let place = |r: &Relation| {
        (
            pairs.iter().position(|p| *p == (r.a.model, r.b.model)),
            first_field(r),
        )
    };
    let mut order: Vec<usize> = (0..model.relations.len()).collect();
    order.sort_by_key(|index| place(&model.relations[*index]));
    model.relations = order
        .iter()
        .map(|index| model.relations[*index].clone())
        .collect();
    for field in model.models.iter_mut().flat_map(|m| &mut m.fields) {
        if let FieldKind::Relation(view) = &mut field.kind {
            let now = order.iter().position(|old| *old == view.relation.0);
            view.relation = RelationId(now.unwrap_or_default());
        }
    }
}

/// The text of a datamodel as [`build`] makes them.
fn print(model: &DataModel) -> String {
    let mut text = String::new();
    for one in &model.enums {
        text.push_str(&format!(
            "enum {} {{ {} }}\n",
            one.name,
            one.values.join(" ")
        ));
    }
    for one in &model.models {
        text.push_str(&format!("type {}", one.name));
        if one.table != one.name {
            text.push_str(&format!(" @db(name: {:?})", one.table));
        }
        text.push_str(" {\n");
        for field in &one.fields {
            text.push_str(&format!("  {}\n", print_field(model, field)));
        }
        text.push_str("}\n");
    }
    text
}

fn print_field(model: &DataModel, field: &Field) -> String {
    let type_name = match field.kind {
        FieldKind::Relation(view) => model.model(view.target).name.clone(),
        FieldKind::Enum(id) => model.enumeration(id).name.clone(),
        FieldKind::Scalar(scalar) => {
            let known = fields::SCALARS.iter().find(|(_, s)| *s == scalar);
            known.map_or("", |(name, _)| *name).to_string()
        }
    };
    let required = if field.required { "!" } else { "" };
    let mut text = match field.list {
        true => format!("{}: [{type_name}!]{required}", field.name),
        false => format!("{}: {type_name}{required}", field.name),
    };
    match field.id_strategy {
        Some(IdStrategy::Auto) => text.push_str(" @id"),
        Some(IdStrategy::None) => text.push_str(" @id(strategy: NONE)"),
        Some(IdStrategy::Sequence) => text.push_str(" @id(strategy: SEQUENCE)"),
        None => {}
    }
    for (directive, stands) in [
        ("@unique", field.unique),
        ("@createdAt", field.created_at),
        ("@updatedAt", field.updated_at),
    ] {
        if stands {
            text.push_str(&format!(" {directive}"));
        }
    }
    if let Some(default) = &field.default {
        let value = match (field.kind, default) {
            (FieldKind::Enum(_), serde_json::Value::String(name)) => name.clone(),
            _ => default.to_string(),
        };
        text.push_str(&format!(" @default(value: {value})"));
    }
    match field.relation() {
        Some(view) => text.push_str(&print_relation(model.relation(view.relation), view.side)),
        None if field.column != field.name => {
            text.push_str(&format!(" @db(name: {:?})", field.column))
        }
        None => {}
    }
    text
}

/// Says `link` where it must be said, and at side A of every relation table.
fn print_relation(relation: &Relation, side: Side) -> String {
    let end = relation.end(side);
    let link = match &relation.storage {
        RelationStorage::Table { .. } if side == Side::A => " link: TABLE",
        RelationStorage::Inline { side: at, .. } if *at == side => " link: INLINE",
        _ => "",
    };
    let on_delete = if end.cascade {
        ", onDelete: CASCADE"
    } else {
        ""
    };
    format!(" @relation(name: {:?}{link}{on_delete})", relation.name)
}
