//! Relations: which two fields belong together, what the relation is called, and where its links
//! are kept. Knows fields only as the ends of relations.

use indexmap::IndexMap;

use super::directives::{LinkKind, RelationText};
use super::error::Findings;
use super::model::{
    FieldId, ModelId, Relation, RelationEnd, RelationId, RelationRef, RelationStorage, Side,
};
use super::names::check_identifier;
use super::syntax::Spanned;

/// A relation field as the checks on fields leave it.
pub(super) struct RelationField<'a> {
    pub at: usize,
    pub model: ModelId,
    pub field: FieldId,
    pub target: ModelId,
    pub name: &'a str,
    pub column: &'a str,
    pub list: bool,
    pub required: bool,
    pub text: &'a RelationText,
    /// Where `@db` stands, which only makes sense for a field that has a column.
    pub db_at: Option<usize>,
}

/// A `type … @relationTable`.
pub(super) struct RelationTableText {
    pub name: Spanned<String>,
    pub table: String,
    /// Field name, column and model, in the order of the text.
    pub ends: [(String, String, ModelId); 2],
    pub id_column: Option<String>,
}

pub(super) struct Resolved {
    pub relations: Vec<Relation>,
    /// Where each relation is first named, for messages about its table.
    pub places: Vec<usize>,
    pub fields: Vec<((ModelId, FieldId), RelationRef)>,
}

/// Two fields that belong together, or one without a partner; in the order of the sides.
struct Pair<'a, 'b> {
    a: Option<&'b RelationField<'a>>,
    b: Option<&'b RelationField<'a>>,
}

impl<'a, 'b> Pair<'a, 'b> {
    fn fields(&self) -> impl Iterator<Item = &'b RelationField<'a>> + use<'a, 'b> {
        self.a.into_iter().chain(self.b)
    }

    fn get(&self, side: Side) -> Option<&'b RelationField<'a>> {
        match side {
            Side::A => self.a,
            Side::B => self.b,
        }
    }

    /// A left-out back relation counts as a list.
    fn is_list(&self, side: Side) -> bool {
        self.get(side).is_none_or(|f| f.list)
    }

    fn at(&self) -> usize {
        self.fields().map(|f| f.at).min().unwrap_or_default()
    }
}

/// `model_names` in the order of the ids, `fields` in the order of the text.
pub(super) fn resolve(
    model_names: &[String],
    fields: &[RelationField],
    tables: &[RelationTableText],
    findings: &mut Findings,
) -> Resolved {
    let name_of = |id: ModelId| model_names[id.0].as_str();
    let mut between: IndexMap<(ModelId, ModelId), Vec<&RelationField>> = IndexMap::new();
    for field in fields {
        let (x, y) = (field.model, field.target);
        let ends = if name_of(x) <= name_of(y) {
            (x, y)
        } else {
            (y, x)
        };
        between.entry(ends).or_default().push(field);
    }
    let mut resolved = Resolved {
        relations: Vec::new(),
        places: Vec::new(),
        fields: Vec::new(),
    };
    let mut table_used = vec![false; tables.len()];
    for ((a, b), fields) in between {
        for pair in pair_up(a, b, &fields, model_names, findings) {
            let explicit = pair.fields().find_map(|f| f.text.name.as_ref());
            let name = match explicit {
                Some(name) => name.value.clone(),
                None => format!("{}To{}", name_of(a), name_of(b)),
            };
            let place = explicit.map_or(pair.at(), |name| name.at);
            if name.is_empty() {
                findings.add(
                    place,
                    "the relation's name is empty",
                    "give it a name, or remove `name:`",
                );
            }
            if let Some(other) = resolved.relations.iter().find(|r| r.name == name) {
                findings.add(
                    place,
                    format!(
                        "the relation `{name}` already stands between `{}` and `{}`",
                        name_of(other.a.model),
                        name_of(other.b.model)
                    ),
                    "give each relation its own `@relation(name: \"…\")`",
                );
            }
            let table = tables.iter().position(|t| t.name.value == name);
            table.into_iter().for_each(|used| table_used[used] = true);
            let storage = storage(&name, &pair, (a, b), table.map(|t| &tables[t]), findings);
            check_column_names(&pair, &storage, findings);
            let relation = RelationId(resolved.relations.len());
            for (side, target, field) in [(Side::A, b, pair.a), (Side::B, a, pair.b)] {
                let found = field.map(|f| {
                    (
                        (f.model, f.field),
                        RelationRef {
                            relation,
                            side,
                            target,
                        },
                    )
                });
                resolved.fields.extend(found);
            }
            resolved.places.push(place);
            resolved.relations.push(Relation {
                name,
                a: end(a, pair.a),
                b: end(b, pair.b),
                storage,
            });
        }
    }
    for (table, _) in tables.iter().zip(&table_used).filter(|(_, used)| !**used) {
        findings.add(
            table.name.at,
            format!("no relation uses the relation table `{}`", table.name.value),
            format!(
                "name it at a relation field: `@relation(name: \"{}\")`",
                table.name.value
            ),
        );
    }
    resolved
}

fn end(model: ModelId, field: Option<&RelationField>) -> RelationEnd {
    match field {
        Some(f) => RelationEnd {
            model,
            field: Some(f.field),
            list: f.list,
            required: f.required && !f.list,
            cascade: f.text.cascade,
        },
        None => RelationEnd {
            model,
            field: None,
            list: true,
            required: false,
            cascade: false,
        },
    }
}

/// Decides which of the fields between two models (or of one with itself) belong together.
fn pair_up<'a, 'b>(
    a: ModelId,
    b: ModelId,
    fields: &[&'b RelationField<'a>],
    model_names: &[String],
    findings: &mut Findings,
) -> Vec<Pair<'a, 'b>> {
    let mut named: IndexMap<&str, Vec<&RelationField>> = IndexMap::new();
    let mut unnamed: Vec<&RelationField> = Vec::new();
    for field in fields {
        match &field.text.name {
            Some(name) => named.entry(&name.value).or_default().push(field),
            None => unnamed.push(field),
        }
    }
    // Fields without a name: at most one from each side; with more, the partners are ambiguous.
    let lonely: Vec<&str> = named
        .iter()
        .filter(|(_, group)| group.len() == 1 && unnamed.iter().all(|u| u.model != group[0].model))
        .map(|(name, _)| *name)
        .collect();
    let ambiguous = match unnamed.as_slice() {
        [] => false,
        [_] if a == b => named.values().any(|group| group.len() == 1),
        [_] if lonely.len() == 1 => {
            named[lonely[0]].append(&mut unnamed);
            false
        }
        [_] => lonely.len() > 1,
        [one, two] => a == b || one.model == two.model,
        _ => true,
    };
    if ambiguous {
        for field in &unnamed {
            findings.add(
                field.at,
                format!(
                    "which field of `{}` belongs to `{}`? There are several relations between `{}` and `{}`",
                    model_names[field.target.0], field.name, model_names[a.0], model_names[b.0]
                ),
                "give the fields at both ends of a relation the same `@relation(name: \"…\")`",
            );
        }
        unnamed.clear();
    }
    let groups = named
        .into_values()
        .chain((!unnamed.is_empty()).then_some(unnamed));
    let mut pairs: Vec<Pair> = groups
        .map(|group| pair_of(a, b, group, model_names, findings))
        .collect();
    pairs.sort_by_key(Pair::at);
    pairs
}

fn pair_of<'a, 'b>(
    a: ModelId,
    b: ModelId,
    mut group: Vec<&'b RelationField<'a>>,
    model_names: &[String],
    findings: &mut Findings,
) -> Pair<'a, 'b> {
    if a == b {
        group.sort_by_key(|f| f.at);
        for field in group.drain(2.min(group.len())..) {
            report_third(field, model_names, findings);
        }
        group.sort_by_key(|f| f.name);
        let mut group = group.into_iter();
        return Pair {
            a: group.next(),
            b: group.next(),
        };
    }
    let mut pair = Pair { a: None, b: None };
    for field in group {
        let slot = if field.model == a {
            &mut pair.a
        } else {
            &mut pair.b
        };
        match slot {
            None => *slot = Some(field),
            Some(_) => report_third(field, model_names, findings),
        }
    }
    pair
}

fn report_third(field: &RelationField, model_names: &[String], findings: &mut Findings) {
    let name = field.text.name.as_ref().map_or("", |n| n.value.as_str());
    findings.add(
        field.at,
        format!(
            "the relation `{name}` has one field more than two ends: `{}.{}`",
            model_names[field.model.0], field.name
        ),
        "give this field a relation name of its own",
    );
}

fn storage(
    name: &str,
    pair: &Pair,
    ends: (ModelId, ModelId),
    table: Option<&RelationTableText>,
    findings: &mut Findings,
) -> RelationStorage {
    let links: Vec<(Side, Spanned<LinkKind>)> = [(Side::A, pair.a), (Side::B, pair.b)]
        .into_iter()
        .filter_map(|(side, field)| Some((side, field?.text.link.clone()?)))
        .collect();
    if let [_, (_, second)] = links.as_slice() {
        let message = format!("both ends of the relation `{name}` say `link`");
        findings.add(second.at, message, "say it on one end only");
    }
    let link = links.first();
    let many_to_many = pair.is_list(Side::A) && pair.is_list(Side::B);
    let inline_side = match link {
        Some((
            _,
            Spanned {
                value: LinkKind::Table,
                ..
            },
        )) => None,
        Some((side, Spanned { at, .. })) => {
            if table.is_some() {
                let message =
                    format!("the relation `{name}` has a relation table and `link: INLINE`");
                findings.add(*at, message, "remove one of the two");
            } else if many_to_many {
                let message =
                    format!("the relation `{name}` is many-to-many, so no column can hold a link");
                findings.add(
                    *at,
                    message,
                    "write `link: TABLE`, or make one end a single value",
                );
            } else if pair.is_list(*side) {
                let other = pair.get(side.other()).map_or("", |f| f.name);
                findings.add(
                    *at,
                    format!(
                        "a list has no column; the links of `{name}` are kept where `{other}` is"
                    ),
                    "say `link: INLINE` on the end that is no list, or leave it out",
                );
            }
            Some(*side)
        }
        None if table.is_some() || many_to_many => None,
        None => {
            let one = [Side::A, Side::B]
                .into_iter()
                .find(|side| pair.is_list(side.other()));
            if one.is_none() {
                findings.add(
                    pair.at(),
                    format!(
                        "the one-to-one relation `{name}` does not say where its links are kept"
                    ),
                    "write `@relation(link: INLINE)` on the end whose table shall have the column",
                );
            }
            Some(one.unwrap_or(Side::A))
        }
    };
    match inline_side {
        Some(side) => {
            let column = pair.get(side).map_or("", |f| f.column).to_string();
            RelationStorage::Inline { side, column }
        }
        None => table_storage(name, ends, table, pair, findings),
    }
}

fn table_storage(
    name: &str,
    (a, b): (ModelId, ModelId),
    table: Option<&RelationTableText>,
    pair: &Pair,
    findings: &mut Findings,
) -> RelationStorage {
    let Some(text) = table else {
        let table = format!("_{name}");
        check_identifier("relation table", &table, pair.at(), findings);
        let (a_column, b_column) = ("A".to_string(), "B".to_string());
        return RelationStorage::Table {
            table,
            a_column,
            b_column,
            id_column: None,
        };
    };
    let [first, second] = &text.ends;
    // A self relation's sides go by the alphabet, here as in the model.
    let swapped = if a == b {
        first.0 > second.0
    } else {
        first.2 == b
    };
    let (for_a, for_b) = if swapped {
        (second, first)
    } else {
        (first, second)
    };
    if (for_a.2, for_b.2) != (a, b) {
        findings.add(
            text.name.at,
            format!(
                "the fields of the relation table `{name}` do not lead to the relation's two models"
            ),
            "give it one field for each end of the relation",
        );
    }
    RelationStorage::Table {
        table: text.table.clone(),
        a_column: for_a.1.clone(),
        b_column: for_b.1.clone(),
        id_column: text.id_column.clone(),
    }
}

/// `@db` names a column; a field whose links are kept elsewhere has none.
fn check_column_names(pair: &Pair, storage: &RelationStorage, findings: &mut Findings) {
    for (side, field) in [(Side::A, pair.a), (Side::B, pair.b)] {
        let inline_here =
            matches!(storage, RelationStorage::Inline { side: at, .. } if *at == side);
        if let (
            Some(RelationField {
                db_at: Some(at),
                name,
                ..
            }),
            false,
        ) = (field, inline_here)
        {
            let message = format!("`{name}` has no column in its table that `@db` could name");
            findings.add(
                *at,
                message,
                "remove `@db`, or keep the link here with `link: INLINE`",
            );
        }
    }
}
