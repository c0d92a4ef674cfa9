//! Directives: which ones there are, where they may stand, and their arguments with the right
//! types. What they mean together with a field's type is for `fields` and `relations`.

use super::error::Findings;
use super::model::{IdStrategy, Sequence};
use super::names::did_you_mean;
use super::syntax::{DirectiveText, Spanned, ValueText};

/// The directives of a type.
#[derive(Debug, Default)]
pub(super) struct TypeDirectives {
    pub db: Option<Spanned<String>>,
    pub relation_table: bool,
}

/// The directives of a field; the offsets are the directives'.
#[derive(Debug, Default)]
pub(super) struct FieldDirectives {
    pub id: Option<Spanned<Option<IdStrategy>>>,
    pub unique: Option<usize>,
    pub default: Option<Spanned<ValueText>>,
    pub created_at: Option<usize>,
    pub updated_at: Option<usize>,
    pub db: Option<Spanned<String>>,
    pub relation: Option<Spanned<RelationText>>,
    pub scalar_list: Option<usize>,
    pub sequence: Option<Spanned<SequenceText>>,
    pub size: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct RelationText {
    pub name: Option<Spanned<String>>,
    pub link: Option<Spanned<LinkKind>>,
    pub cascade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkKind {
    Inline,
    Table,
}

/// As [`Sequence`], the name still optional.
#[derive(Debug, Clone)]
pub(super) struct SequenceText {
    pub name: Option<Spanned<String>>,
    pub initial_value: i64,
    pub allocation_size: i64,
}

impl SequenceText {
    pub(super) fn named(&self, otherwise: &str) -> Sequence {
        Sequence {
            name: self
                .name
                .as_ref()
                .map_or(otherwise, |n| n.value.as_str())
                .to_string(),
            initial_value: self.initial_value,
            allocation_size: self.allocation_size,
        }
    }
}

/// How something is renamed without its data.
const RENAME: &str = "remove it, and name the change where it is deployed: `--rename Old=New` for a type, \
                      `--rename Type.old=new` for a field (`gom migrate plan --help`)";

/// Bytes of the largest value that PostgreSQL stores.
const MAX_VALUE_BYTES: u64 = 1_073_741_824;

/// Directive and its arguments.
type KnownDirective = (&'static str, &'static [&'static str]);

const ON_TYPES: [KnownDirective; 3] =
    [("db", &["name"]), ("relationTable", &[]), ("embedded", &[])];

const ON_FIELDS: [KnownDirective; 10] = [
    ("id", &["strategy"]),
    ("unique", &[]),
    ("default", &["value"]),
    ("createdAt", &[]),
    ("updatedAt", &[]),
    ("db", &["name"]),
    ("relation", &["name", "link", "onDelete"]),
    ("scalarList", &["strategy"]),
    ("sequence", &["name", "initialValue", "allocationSize"]),
    ("size", &["max"]),
];

pub(super) fn read_type_directives(
    texts: &[DirectiveText],
    findings: &mut Findings,
) -> TypeDirectives {
    let mut read = TypeDirectives::default();
    for text in known_directives(texts, &ON_TYPES, "type", findings) {
        match text.name.value.as_str() {
            "db" => read.db = required_string(text, "name", findings),
            "relationTable" => read.relation_table = true,
            _ => findings.add(
                text.name.at,
                "`@embedded` is for document databases; here each type has a table of its own",
                "remove it, mark an id field with `@id`, and link the type with `@relation`",
            ),
        }
    }
    read
}

pub(super) fn read_field_directives(
    texts: &[DirectiveText],
    findings: &mut Findings,
) -> FieldDirectives {
    let mut read = FieldDirectives::default();
    for text in known_directives(texts, &ON_FIELDS, "field", findings) {
        let at = text.name.at;
        match text.name.value.as_str() {
            "id" => {
                let strategies = [
                    ("AUTO", IdStrategy::Auto),
                    ("NONE", IdStrategy::None),
                    ("SEQUENCE", IdStrategy::Sequence),
                ];
                let strategy = choice(text, "strategy", &strategies, findings).map(|s| s.value);
                read.id = Some(Spanned {
                    at,
                    value: strategy,
                });
            }
            "unique" => read.unique = Some(at),
            "default" => {
                read.default = argument(text, "value").cloned();
                if read.default.is_none() {
                    findings.add(at, "`@default` has no value", "write `@default(value: …)`");
                }
            }
            "createdAt" => read.created_at = Some(at),
            "updatedAt" => read.updated_at = Some(at),
            "db" => read.db = required_string(text, "name", findings),
            "relation" => {
                read.relation = Some(Spanned {
                    at,
                    value: read_relation(text, findings),
                })
            }
            "scalarList" => {
                let strategies = [("RELATION", ())];
                choice(text, "strategy", &strategies, findings);
                read.scalar_list = Some(at);
            }
            "sequence" => {
                read.sequence = Some(Spanned {
                    at,
                    value: read_sequence(text, findings),
                })
            }
            "size" => read.size = read_size(text, findings),
            // `known_directives` lets nothing else through.
            _ => {}
        }
    }
    read
}

fn read_relation(text: &DirectiveText, findings: &mut Findings) -> RelationText {
    let links = [("INLINE", LinkKind::Inline), ("TABLE", LinkKind::Table)];
    let on_delete = [("CASCADE", true), ("SET_NULL", false)];
    RelationText {
        name: string(text, "name", findings),
        link: choice(text, "link", &links, findings),
        cascade: choice(text, "onDelete", &on_delete, findings).is_some_and(|c| c.value),
    }
}

fn read_sequence(text: &DirectiveText, findings: &mut Findings) -> SequenceText {
    let initial_value = integer(text, "initialValue", findings).unwrap_or(1);
    let allocation_size = integer(text, "allocationSize", findings).unwrap_or(1);
    for (name, value) in [
        ("initialValue", initial_value),
        ("allocationSize", allocation_size),
    ] {
        if value < 1 || value > i64::from(i32::MAX) {
            findings.add(
                argument(text, name).map_or(text.name.at, |v| v.at),
                format!("`{name}: {value}` cannot number rows"),
                format!("write a number from 1 to {}", i32::MAX),
            );
        }
    }
    SequenceText {
        name: string(text, "name", findings),
        initial_value,
        allocation_size,
    }
}

/// Bytes that a value may have.
fn read_size(text: &DirectiveText, findings: &mut Findings) -> Option<Spanned<u64>> {
    let at = text.name.at;
    if argument(text, "max").is_none() {
        findings.add(
            at,
            "`@size` has no `max`",
            "write the bytes that a value may have: `@size(max: 1048576)`",
        );
    }
    let max = integer(text, "max", findings)?;
    match u64::try_from(max) {
        Ok(max) if (1..=MAX_VALUE_BYTES).contains(&max) => Some(Spanned { at, value: max }),
        _ => {
            let remedy = format!("write a number of bytes from 1 to {MAX_VALUE_BYTES}");
            findings.add(at, format!("no value can have at most {max} bytes"), remedy);
            None
        }
    }
}

/// The directives that may stand here, each once, and with known arguments; the others are
/// reported.
fn known_directives<'a>(
    texts: &'a [DirectiveText],
    known: &[KnownDirective],
    place: &str,
    findings: &mut Findings,
) -> Vec<&'a DirectiveText> {
    let mut accepted: Vec<&DirectiveText> = Vec::new();
    for text in texts {
        let name = text.name.value.as_str();
        let Some((_, arguments)) = known.iter().find(|(k, _)| *k == name) else {
            let elsewhere = ON_TYPES.iter().chain(&ON_FIELDS).any(|(k, _)| *k == name);
            let message = match elsewhere {
                true => format!("`@{name}` does not belong on a {place}"),
                false => format!("there is no directive `@{name}`"),
            };
            let names = known.iter().map(|(k, _)| *k).filter(|k| *k != "embedded");
            let meant = did_you_mean(name, names.clone()).filter(|meant| *meant != name);
            let remedy = match meant {
                Some(meant) => format!("did you mean `@{meant}`?"),
                _ => format!(
                    "a {place} takes {}",
                    quoted_list(names.map(|n| format!("@{n}")))
                ),
            };
            match name {
                "rename" => {
                    findings.add(text.name.at, "`@rename` is not a directive of Gom", RENAME)
                }
                // Prisma 1 ignored a misspelt `@unique`: its index would be dropped silently.
                _ if elsewhere || meant.is_some() => findings.add(text.name.at, message, remedy),
                // It ignored unknown directives.
                _ => findings.warn(
                    text.name.at,
                    format!("{message}, and it has no effect"),
                    remedy,
                ),
            }
            continue;
        };
        if accepted.iter().any(|other| other.name.value == name) {
            findings.add(
                text.name.at,
                format!("`@{name}` stands here twice"),
                "remove one of the two",
            );
            continue;
        }
        check_arguments(text, arguments, findings);
        accepted.push(text);
    }
    accepted
}

fn check_arguments(text: &DirectiveText, known: &[&str], findings: &mut Findings) {
    for (index, (name, _)) in text.arguments.iter().enumerate() {
        if text.name.value == "relation" && name.value == "oldName" {
            findings.add(name.at, "`@relation` has no argument `oldName`", RENAME);
        } else if !known.contains(&name.value.as_str()) {
            let remedy = match did_you_mean(&name.value, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if known.is_empty() => "it takes no arguments; remove it".to_string(),
                None => format!(
                    "it takes {}",
                    quoted_list(known.iter().map(|k| (*k).to_string()))
                ),
            };
            let message = format!("`@{}` has no argument `{}`", text.name.value, name.value);
            findings.add(name.at, message, remedy);
        } else if text.arguments[..index]
            .iter()
            .any(|(other, _)| other.value == name.value)
        {
            let message = format!("`{}` is given twice", name.value);
            findings.add(name.at, message, "remove one of the two");
        }
    }
}

fn argument<'a>(text: &'a DirectiveText, name: &str) -> Option<&'a Spanned<ValueText>> {
    text.arguments
        .iter()
        .find(|(n, _)| n.value == name)
        .map(|(_, value)| value)
}

fn string(text: &DirectiveText, name: &str, findings: &mut Findings) -> Option<Spanned<String>> {
    let value = argument(text, name)?;
    match &value.value {
        ValueText::String(string) => Some(Spanned {
            at: value.at,
            value: string.clone(),
        }),
        other => {
            let message = format!("`{name}` needs a string, here stands {}", other.describe());
            findings.add(
                value.at,
                message,
                format!("write it in quotes: `{name}: \"…\"`"),
            );
            None
        }
    }
}

fn required_string(
    text: &DirectiveText,
    name: &str,
    findings: &mut Findings,
) -> Option<Spanned<String>> {
    if argument(text, name).is_none() {
        let directive = &text.name.value;
        findings.add(
            text.name.at,
            format!("`@{directive}` has no `{name}`"),
            format!("write `@{directive}({name}: \"…\")`"),
        );
    }
    string(text, name, findings)
}

fn integer(text: &DirectiveText, name: &str, findings: &mut Findings) -> Option<i64> {
    let value = argument(text, name)?;
    let number = match &value.value {
        ValueText::Int(digits) => digits.parse().ok(),
        _ => None,
    };
    if number.is_none() {
        let message = format!(
            "`{name}` needs a whole number, here stands {}",
            value.value.describe()
        );
        findings.add(value.at, message, format!("write for example `{name}: 1`"));
    }
    number
}

/// One of a few names; a string with such a name in it is taken too.
fn choice<T: Copy>(
    text: &DirectiveText,
    name: &str,
    choices: &[(&str, T)],
    findings: &mut Findings,
) -> Option<Spanned<T>> {
    let value = argument(text, name)?;
    let chosen = match &value.value {
        ValueText::Name(given) | ValueText::String(given) => {
            choices.iter().find(|(c, _)| c == given)
        }
        _ => None,
    };
    if chosen.is_none() {
        let message = format!("`{name}` cannot be {}", value.value.describe());
        let all = quoted_list(choices.iter().map(|(c, _)| (*c).to_string()));
        findings.add(value.at, message, format!("it is {all}"));
    }
    chosen.map(|(_, chosen)| Spanned {
        at: value.at,
        value: *chosen,
    })
}

/// `` `a`, `b` or `c` ``.
pub(super) fn quoted_list(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
    match names.pop() {
        Some(last) if !names.is_empty() => format!("{} or {last}", names.join(", ")),
        Some(only) => only,
        None => String::new(),
    }
}
