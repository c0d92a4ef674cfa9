//! One field at a time: its type, and whether its directives fit that type. Knows no relations
//! beyond "this field leads to that model".

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, Utc};
use serde_json::Value as Json;

use super::directives::{FieldDirectives, RelationText, quoted_list, read_field_directives};
use super::error::Findings;
use super::model::{
    Enum, EnumId, Field, FieldKind, IdStrategy, ModelId, RelationRef, ScalarType, Sequence,
};
use super::names::{check_column, check_field_name, check_identifier, did_you_mean};
use super::syntax::{FieldText, Spanned, ValueText};

pub(super) const SCALARS: [(&str, ScalarType); 8] = [
    ("ID", ScalarType::Id),
    ("String", ScalarType::String),
    ("Int", ScalarType::Int),
    ("Float", ScalarType::Float),
    ("Boolean", ScalarType::Boolean),
    ("DateTime", ScalarType::DateTime),
    ("Json", ScalarType::Json),
    ("UUID", ScalarType::Uuid),
];

/// Types of other languages and databases, and what stands for them here.
const LOOKALIKES: [(&str, &str); 12] = [
    ("Date", "DateTime"),
    ("Time", "DateTime"),
    ("Timestamp", "DateTime"),
    ("Text", "String"),
    ("Varchar", "String"),
    ("Integer", "Int"),
    ("Long", "Int"),
    ("BigInt", "Int"),
    ("Double", "Float"),
    ("Decimal", "Float"),
    ("Bool", "Boolean"),
    ("Object", "Json"),
];

/// What a type name may mean: the names of the datamodel, in the order of their ids.
pub(super) struct KnownTypes<'a> {
    pub models: &'a [String],
    pub enums: &'a [Enum],
    pub relation_tables: &'a [String],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownType {
    Scalar(ScalarType),
    Enum(EnumId),
    Model(ModelId),
}

impl KnownTypes<'_> {
    pub(super) fn find(
        &self,
        name: &Spanned<String>,
        findings: &mut Findings,
    ) -> Option<KnownType> {
        let scalar = SCALARS
            .iter()
            .find(|(n, _)| *n == name.value)
            .map(|(_, s)| KnownType::Scalar(*s));
        let model = || {
            self.models
                .iter()
                .position(|n| *n == name.value)
                .map(ModelId)
        };
        let enumeration = || {
            self.enums
                .iter()
                .position(|e| e.name == name.value)
                .map(EnumId)
        };
        let found = scalar
            .or_else(|| model().map(KnownType::Model))
            .or_else(|| enumeration().map(KnownType::Enum));
        if found.is_none() {
            self.report_unknown(name, findings);
        }
        found
    }

    fn report_unknown(&self, name: &Spanned<String>, findings: &mut Findings) {
        if self.relation_tables.contains(&name.value) {
            findings.add(
                name.at,
                format!("`{}` is a relation table, not a model", name.value),
                format!(
                    "name the model at the other end, with `@relation(name: \"{}\")`",
                    name.value
                ),
            );
            return;
        }
        let known = SCALARS.iter().map(|(n, _)| *n);
        let known = known.chain(self.models.iter().map(String::as_str));
        let known = known.chain(self.enums.iter().map(|e| e.name.as_str()));
        let lookalike = LOOKALIKES
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(&name.value));
        let meant = lookalike
            .map(|(_, meant)| *meant)
            .or_else(|| did_you_mean(&name.value, known));
        let remedy = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "declare it with `type {0} {{ … }}` or `enum {0} {{ … }}`",
                name.value
            ),
        };
        findings.add(
            name.at,
            format!("there is no type `{}`", name.value),
            remedy,
        );
    }
}

/// A field whose own rules hold; its relation, if it has one, is not resolved yet.
#[derive(Debug)]
pub(super) struct UnresolvedField {
    pub at: usize,
    pub db_at: Option<usize>,
    pub kind: KnownType,
    pub relation: RelationText,
    pub name: String,
    pub column: String,
    pub required: bool,
    pub list: bool,
    unique: bool,
    default: Option<Json>,
    created_at: bool,
    updated_at: bool,
    pub id_strategy: Option<IdStrategy>,
    sequence: Option<Sequence>,
    max_bytes: Option<u64>,
}

impl UnresolvedField {
    /// The finished field; `relation` is what the relation checks found for a relation field.
    pub(super) fn finish(self, relation: Option<RelationRef>) -> Option<Field> {
        let kind = match self.kind {
            KnownType::Scalar(scalar) => FieldKind::Scalar(scalar),
            KnownType::Enum(id) => FieldKind::Enum(id),
            KnownType::Model(_) => FieldKind::Relation(relation?),
        };
        Some(Field {
            name: self.name,
            column: self.column,
            kind,
            required: self.required,
            list: self.list,
            unique: self.unique,
            default: self.default,
            created_at: self.created_at,
            updated_at: self.updated_at,
            id_strategy: self.id_strategy,
            sequence: self.sequence,
            max_bytes: self.max_bytes,
        })
    }
}

/// Reads a field of the model with this table. `None` when its type is unknown.
pub(super) fn read(
    text: &FieldText,
    table: &str,
    known: &KnownTypes,
    findings: &mut Findings,
) -> Option<UnresolvedField> {
    check_field_name(&text.name.value, text.name.at, findings);
    let directives = read_field_directives(&text.directives, findings);
    let kind = known.find(&text.type_name, findings)?;
    let db = directives.db.as_ref();
    let column = db.map_or_else(|| text.name.value.clone(), |db| db.value.clone());
    check_column(&column, db.map_or(text.name.at, |db| db.at), findings);

    let id_strategy = check_id(text, kind, &directives, findings);
    let sequence = check_sequence(table, &column, kind, id_strategy, &directives, findings);
    check_times(text, kind, &directives, findings);
    check_unique(text, kind, &directives, findings);
    if let (Some(at), true) = (
        directives.scalar_list,
        !text.list || matches!(kind, KnownType::Model(_)),
    ) {
        findings.warn(
            at,
            "`@scalarList` is for lists of scalars and enums, and has no effect here",
            "remove it",
        );
    }
    let sized = text.list
        || matches!(
            kind,
            KnownType::Scalar(ScalarType::String | ScalarType::Json)
        );
    if let (Some(size), true) = (
        &directives.size,
        !sized || matches!(kind, KnownType::Model(_)),
    ) {
        findings.add(
            size.at,
            "`@size` is for `String`, `Json` and lists of scalars and enums",
            "remove it",
        );
    }
    if let (Some(relation), false) = (&directives.relation, matches!(kind, KnownType::Model(_))) {
        let message = format!(
            "`{}` is no model, so this field is no relation",
            text.type_name.value
        );
        findings.add(relation.at, message, "remove `@relation`");
    }
    Some(UnresolvedField {
        at: text.name.at,
        db_at: db.map(|db| db.at),
        kind,
        default: check_default(text, kind, known, &directives, findings),
        relation: directives.relation.map(|r| r.value).unwrap_or_default(),
        name: text.name.value.clone(),
        column,
        required: text.required,
        list: text.list,
        // An id is unique by being the primary key; a second index would only cost.
        unique: directives.unique.is_some()
            && id_strategy.is_none()
            && !matches!(kind, KnownType::Model(_)),
        created_at: directives.created_at.is_some(),
        updated_at: directives.updated_at.is_some(),
        id_strategy,
        sequence,
        max_bytes: directives.size.map(|size| size.value),
    })
}

fn check_id(
    text: &FieldText,
    kind: KnownType,
    directives: &FieldDirectives,
    findings: &mut Findings,
) -> Option<IdStrategy> {
    let id = directives.id.as_ref()?;
    let name = &text.name.value;
    let scalar = match kind {
        KnownType::Scalar(scalar @ (ScalarType::Id | ScalarType::Uuid | ScalarType::Int)) => {
            Some(scalar)
        }
        _ => None,
    };
    if scalar.is_none() || text.list || !text.required {
        findings.add(
            text.type_name.at,
            format!("the id `{name}` has a type that cannot be an id"),
            format!("write `{name}: ID! @id`, or `UUID!` or `Int!`"),
        );
    }
    let is_int = scalar == Some(ScalarType::Int);
    match id.value {
        Some(IdStrategy::Sequence) if scalar.is_some() && !is_int => {
            findings.add(
                id.at,
                format!(
                    "a sequence makes numbers, `{name}` is `{}`",
                    text.type_name.value
                ),
                format!("write `{name}: Int! @id(strategy: SEQUENCE)`, or remove the strategy"),
            );
            Some(IdStrategy::Auto)
        }
        // Numbers have no other maker than a sequence.
        None | Some(IdStrategy::Auto) if is_int => Some(IdStrategy::Sequence),
        strategy => Some(strategy.unwrap_or(IdStrategy::Auto)),
    }
}

fn check_sequence(
    table: &str,
    column: &str,
    kind: KnownType,
    id: Option<IdStrategy>,
    directives: &FieldDirectives,
    findings: &mut Findings,
) -> Option<Sequence> {
    let sequence = directives.sequence.as_ref()?;
    if kind != KnownType::Scalar(ScalarType::Int) || id != Some(IdStrategy::Sequence) {
        findings.add(
            sequence.at,
            "`@sequence` is only for ids that a sequence makes",
            "write it on `Int! @id(strategy: SEQUENCE)`, or remove it",
        );
        return None;
    }
    let made = sequence.value.named(&format!("{table}_{column}_seq"));
    check_identifier("sequence", &made.name, sequence.at, findings);
    Some(made)
}

fn check_times(
    text: &FieldText,
    kind: KnownType,
    directives: &FieldDirectives,
    findings: &mut Findings,
) {
    let name = &text.name.value;
    let times = [
        ("createdAt", directives.created_at),
        ("updatedAt", directives.updated_at),
    ];
    for (directive, at) in times.iter().filter_map(|(d, at)| at.map(|at| (*d, at))) {
        if kind != KnownType::Scalar(ScalarType::DateTime) || text.list {
            findings.add(
                at,
                format!("`@{directive}` holds a time, `{name}` does not"),
                format!("write `{name}: DateTime @{directive}`"),
            );
        }
    }
    if let (Some(_), Some(at)) = (directives.created_at, directives.updated_at) {
        findings.add(
            at,
            format!("`{name}` cannot be both the time of creation and of the last change"),
            "make two fields of it",
        );
    }
}

fn check_unique(
    text: &FieldText,
    kind: KnownType,
    directives: &FieldDirectives,
    findings: &mut Findings,
) {
    let Some(at) = directives.unique else { return };
    if matches!(kind, KnownType::Model(_)) {
        findings.warn(
            at,
            format!(
                "the relation `{}` cannot be `@unique`, and is not",
                text.name.value
            ),
            "remove it; a relation is one-to-one when the field at its other end is no list",
        );
    } else if text.list {
        findings.add(
            at,
            format!("the list `{}` cannot be `@unique`", text.name.value),
            "remove it",
        );
    }
}

fn check_default(
    text: &FieldText,
    kind: KnownType,
    known: &KnownTypes,
    directives: &FieldDirectives,
    findings: &mut Findings,
) -> Option<Json> {
    let default = directives.default.as_ref()?;
    let name = &text.name.value;
    if text.list || matches!(kind, KnownType::Model(_)) {
        let what = if matches!(kind, KnownType::Model(_)) {
            "relation"
        } else {
            "list"
        };
        findings.add(
            default.at,
            format!("the {what} `{name}` cannot have a default"),
            "remove `@default`",
        );
        return None;
    }
    for (directive, at) in [("id", directives.id.as_ref().map(|i| i.at))]
        .into_iter()
        .chain([
            ("createdAt", directives.created_at),
            ("updatedAt", directives.updated_at),
        ])
    {
        if at.is_some() {
            let message =
                format!("`{name}` gets its value from `@{directive}`, so a default is never used");
            findings.add(default.at, message, "remove `@default`");
            return None;
        }
    }
    let (value, expected) = match kind {
        KnownType::Scalar(scalar) => (scalar_default(scalar, &default.value), expectation(scalar)),
        KnownType::Enum(id) => {
            let values = &known.enums[id.0].values;
            let value = match &default.value {
                ValueText::Name(value) if values.contains(value) => {
                    Some(Json::from(value.as_str()))
                }
                _ => None,
            };
            (
                value,
                format!("{}, without quotes", quoted_list(values.iter().cloned())),
            )
        }
        KnownType::Model(_) => (None, String::new()),
    };
    if value.is_none() {
        let message = format!(
            "the default of `{name}` is {}, its type is `{}`",
            default.value.describe(),
            text.type_name.value
        );
        findings.add(default.at, message, format!("write {expected}"));
    }
    value
}

fn expectation(scalar: ScalarType) -> String {
    match scalar {
        ScalarType::Id | ScalarType::String => "a string in quotes",
        ScalarType::Int => "a whole number from -2147483648 to 2147483647",
        ScalarType::Float => "a number",
        ScalarType::Boolean => "`true` or `false`",
        ScalarType::DateTime => "a time in quotes, such as \"2020-01-31T12:00:00.000Z\"",
        ScalarType::Json => "a string that holds JSON, such as \"{}\"",
        ScalarType::Uuid => "a UUID in quotes",
    }
    .to_string()
}

fn scalar_default(scalar: ScalarType, value: &ValueText) -> Option<Json> {
    match (scalar, value) {
        (ScalarType::Id | ScalarType::String, ValueText::String(text)) => {
            Some(Json::from(text.as_str()))
        }
        (ScalarType::Int, ValueText::Int(digits)) => digits.parse::<i32>().ok().map(Json::from),
        (ScalarType::Float, ValueText::Int(digits) | ValueText::Float(digits)) => {
            serde_json::Number::from_f64(digits.parse().ok()?).map(Json::Number)
        }
        (ScalarType::Boolean, ValueText::Boolean(value)) => Some(Json::from(*value)),
        (ScalarType::DateTime, ValueText::String(text)) => Some(Json::from(
            parse_time(text)?.to_rfc3339_opts(SecondsFormat::Millis, true),
        )),
        (ScalarType::Json, ValueText::String(text)) => serde_json::from_str::<Json>(text)
            .ok()
            .map(|_| Json::from(text.as_str())),
        (ScalarType::Uuid, ValueText::String(text)) => uuid::Uuid::try_parse(text)
            .ok()
            .map(|uuid| Json::from(uuid.to_string())),
        _ => None,
    }
}

/// ISO 8601; without a zone it is UTC, without a time midnight.
fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).ok().map(|t| t.to_utc());
    zoned
        .or_else(|| Some(text.parse::<NaiveDateTime>().ok()?.and_utc()))
        .or_else(|| {
            Some(
                text.parse::<NaiveDate>()
                    .ok()?
                    .and_hms_opt(0, 0, 0)?
                    .and_utc(),
            )
        })
}
