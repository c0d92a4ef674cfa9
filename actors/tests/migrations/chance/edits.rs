//! Changes of a draft, and what each of them means for rows: what is lost, what does not fit, and what the rows are afterwards.
//! By docs/MIGRATIONS.md and docs/OPERATIONS.md.

use std::collections::{BTreeSet, HashSet};

use super::rows::{Rows, inline_column};
use gom_test_support::dice::Dice;
use gom_test_support::random::drafts::{Draft, FieldDraft, Kind};

/// What is expected of a deployment.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub draft: Draft,
    pub rows: Rows,
    pub renames: Vec<String>,
    /// Something goes that rows have.
    pub loses: bool,
    /// Rows do not fit, whatever may be lost.
    pub misfits: bool,
    /// The names of the changes.
    pub done: Vec<&'static str>,
    /// Keys of what has been changed: of each thing, once.
    touched: HashSet<usize>,
}

type Edit = fn(&mut Wanted, &mut Dice) -> Option<()>;

pub const EDITS: [(&str, Edit); 26] = [
    ("a field is added", add_field),
    (
        "a required field with a default is added",
        add_required_with_default,
    ),
    ("a required field is added", add_required),
    ("a field is removed", remove_field),
    ("a field becomes optional", allow_null),
    ("a field becomes required", forbid_null),
    ("a field with a default becomes required", fill_null),
    ("a field becomes unique", make_unique),
    ("a field is no longer unique", allow_equal),
    ("a number becomes a text", number_to_text),
    ("a number becomes a float", number_to_float),
    ("a text becomes a number", text_to_number),
    ("a field is renamed", rename_field),
    ("a model is renamed", rename_model),
    ("a model is added", add_model),
    ("a model is removed", remove_model),
    ("an enum gets a value", add_color),
    ("an enum loses a value", remove_color),
    ("a relation is added", add_relation),
    ("a required relation is added", add_required_relation),
    ("a relation is removed", remove_relation),
    ("a relation becomes required", require_partner),
    ("a relation becomes optional", allow_no_partner),
    ("a relation becomes single", single_partner),
    ("a relation becomes many", many_partners),
    ("a relation's field is renamed", rename_end),
];

impl Wanted {
    pub fn as_it_is(draft: &Draft, rows: &Rows) -> Wanted {
        Wanted {
            draft: draft.clone(),
            rows: rows.clone(),
            renames: Vec::new(),
            loses: false,
            misfits: false,
            done: Vec::new(),
            touched: HashSet::new(),
        }
    }

    /// One to three changes of different things. Of those that are refused, fewer than chance would make.
    pub fn any(draft: &Draft, rows: &Rows, dice: &mut Dice) -> Wanted {
        let wanted = Self::edited(draft, rows, dice);
        if wanted.misfits && dice.chance(60) {
            Self::edited(draft, rows, dice)
        } else {
            wanted
        }
    }

    fn edited(draft: &Draft, rows: &Rows, dice: &mut Dice) -> Wanted {
        let mut wanted = Wanted::as_it_is(draft, rows);
        let count = dice.between(1, 3);
        for _ in 0..60 {
            if wanted.done.len() == count {
                break;
            }
            let (name, edit) = *dice.pick(&EDITS);
            // Half of an edit that cannot be made is none.
            let before = wanted.clone();
            match edit(&mut wanted, dice) {
                Some(()) => wanted.done.push(name),
                None => wanted = before,
            }
        }
        wanted.misfits |= wanted.has_other_colors();
        wanted
    }

    fn has_other_colors(&self) -> bool {
        let fits = |color: &String| self.draft.colors.contains(color);
        self.draft.models.iter().any(|model| {
            let enums = model.fields.iter().filter(|field| field.kind == Kind::Enum);
            enums.into_iter().any(|field| {
                let of_field =
                    |(m, f, _): &(usize, usize, String)| (*m, *f) == (model.key, field.key);
                let items = self
                    .rows
                    .lists
                    .iter()
                    .filter(|(at, _)| of_field(at))
                    .flat_map(|(_, items)| items);
                let cells = self.rows.of_field(model.key, field.key).flatten();
                !items.chain(cells).all(fits)
            })
        })
    }

    /// A field that nothing has been done to, of a model of which that is true as well.
    fn field(
        &mut self,
        dice: &mut Dice,
        fits: impl Fn(&FieldDraft) -> bool,
    ) -> Option<(usize, FieldDraft)> {
        let untouched = |key: &usize| !self.touched.contains(key);
        let models = self
            .draft
            .models
            .iter()
            .filter(|model| untouched(&model.key));
        let fields = models.flat_map(|model| model.fields.iter().map(|field| (model.key, field)));
        let fields: Vec<_> = fields
            .filter(|(_, field)| untouched(&field.key) && fits(field))
            .collect();
        let (model, field) = (!fields.is_empty()).then(|| *dice.pick(&fields))?;
        let field = field.clone();
        self.touched.insert(field.key);
        Some((model, field))
    }

    fn change(&mut self, model: usize, field: FieldDraft) {
        let fields = &mut self.draft.model_mut(model).fields;
        match fields.iter_mut().find(|old| old.key == field.key) {
            Some(old) => *old = field,
            None => fields.push(field),
        }
    }

    fn model(&mut self, dice: &mut Dice) -> Option<usize> {
        let models = self.draft.models.iter().map(|model| model.key);
        let models: Vec<usize> = models.filter(|key| !self.touched.contains(key)).collect();
        (!models.is_empty()).then(|| *dice.pick(&models))
    }

    /// The position of a relation and one of its ends.
    fn end(
        &mut self,
        dice: &mut Dice,
        fits: impl Fn(&gom_test_support::random::drafts::RelationDraft, usize) -> bool,
    ) -> Option<(usize, usize)> {
        let relations = self.draft.relations.iter().enumerate();
        let free = relations.filter(|(_, relation)| !self.touched.contains(&relation.key));
        let ends: Vec<(usize, usize)> = free
            .flat_map(|(at, relation)| [0, 1].map(|end| (at, relation, end)))
            .filter(|(_, relation, end)| {
                relation.ends[*end].field.is_some() && fits(relation, *end)
            })
            .map(|(at, _, end)| (at, end))
            .collect();
        let (at, end) = (!ends.is_empty()).then(|| *dice.pick(&ends))?;
        self.touched.insert(self.draft.relations[at].key);
        Some((at, end))
    }

    fn add(
        &mut self,
        dice: &mut Dice,
        change: impl FnOnce(&mut FieldDraft, &mut Dice),
    ) -> Option<(usize, FieldDraft)> {
        let model = self.model(dice)?;
        let mut field = self.draft.field(dice);
        change(&mut field, dice);
        self.touched.insert(field.key);
        self.change(model, field.clone());
        if !field.list {
            for id in self.rows.ids.get(&model).cloned().unwrap_or_default() {
                self.rows.cells.insert((model, field.key, id), None);
            }
        }
        Some((model, field))
    }
}

/// As the datamodel writes it, and as PostgreSQL does.
fn default(kind: Kind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        Kind::Text => ("\"it's\"", "it's"),
        Kind::Int => ("-1", "-1"),
        Kind::Float => ("0.5", "0.5"),
        Kind::Boolean => ("true", "true"),
        Kind::Enum => ("RED", "RED"),
        Kind::Time | Kind::Json | Kind::Uuid => return None,
    })
}

fn add_field(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    wanted
        .add(dice, |field, _| field.required &= field.list)
        .map(drop)
}

fn add_required(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, _) = wanted.add(dice, |field, _| {
        (field.list, field.required) = (false, true)
    })?;
    wanted.misfits |= !wanted.rows.ids[&model].is_empty();
    Some(())
}

fn add_required_with_default(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.add(dice, |field, _| {
        (field.list, field.required, field.unique) = (false, true, false);
    })?;
    let (written, stored) = default(field.kind)?;
    field.default = Some(written.to_owned());
    wanted
        .rows
        .of_field_mut(model, field.key)
        .for_each(|cell| *cell = Some(stored.to_owned()));
    wanted.change(model, field);
    Some(())
}

fn remove_field(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, field) = wanted.field(dice, |_| true)?;
    let has_items = wanted.rows.lists.keys().any(|(_, of, _)| *of == field.key);
    wanted.loses |= has_items || wanted.rows.of_field(model, field.key).any(Option::is_some);
    wanted.rows.forget_field(field.key);
    wanted
        .draft
        .model_mut(model)
        .fields
        .retain(|other| other.key != field.key);
    Some(())
}

fn allow_null(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |field| field.required && !field.list)?;
    field.required = false;
    wanted.change(model, field);
    Some(())
}

fn forbid_null(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |field| {
        !field.required && !field.list && field.default.is_none()
    })?;
    field.required = true;
    wanted.misfits |= wanted.rows.of_field(model, field.key).any(Option::is_none);
    wanted.change(model, field);
    Some(())
}

fn fill_null(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let fits = |field: &FieldDraft| {
        !field.required && !field.list && !field.unique && default(field.kind).is_some()
    };
    let (model, mut field) = wanted.field(dice, fits)?;
    let (written, stored) = default(field.kind)?;
    (field.required, field.default) = (true, Some(written.to_owned()));
    let nulls = wanted
        .rows
        .of_field_mut(model, field.key)
        .filter(|cell| cell.is_none());
    nulls.for_each(|cell| *cell = Some(stored.to_owned()));
    wanted.change(model, field);
    Some(())
}

fn make_unique(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let fits = |field: &FieldDraft| {
        !field.list && !field.unique && matches!(field.kind, Kind::Text | Kind::Int)
    };
    let (model, mut field) = wanted.field(dice, fits)?;
    field.unique = true;
    let mut seen = BTreeSet::new();
    wanted.misfits |= !wanted
        .rows
        .of_field(model, field.key)
        .flatten()
        .all(|value| seen.insert(value));
    wanted.change(model, field);
    Some(())
}

fn allow_equal(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |field| field.unique)?;
    field.unique = false;
    wanted.change(model, field);
    Some(())
}

fn number_to_text(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, field) = wanted.field(dice, |field| {
        field.kind == Kind::Int && field.default.is_none()
    })?;
    wanted.change(
        model,
        FieldDraft {
            kind: Kind::Text,
            ..field
        },
    );
    Some(())
}

fn number_to_float(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let fits =
        |field: &FieldDraft| field.kind == Kind::Int && !field.unique && field.default.is_none();
    let (model, field) = wanted.field(dice, fits)?;
    wanted.change(
        model,
        FieldDraft {
            kind: Kind::Float,
            ..field
        },
    );
    Some(())
}

fn text_to_number(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let fits = |field: &FieldDraft| {
        field.kind == Kind::Text && !field.list && !field.unique && field.default.is_none()
    };
    let (model, field) = wanted.field(dice, fits)?;
    let is_number =
        |text: &Option<String>| text.as_ref().is_none_or(|text| text.parse::<i32>().is_ok());
    let all_fit = wanted.rows.of_field(model, field.key).all(is_number);
    wanted.loses |= !all_fit;
    wanted.misfits |= !all_fit && field.required;
    wanted
        .rows
        .of_field_mut(model, field.key)
        .filter(|cell| !is_number(cell))
        .for_each(|cell| *cell = None);
    wanted.change(
        model,
        FieldDraft {
            kind: Kind::Int,
            ..field
        },
    );
    Some(())
}

fn rename_field(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |_| true)?;
    let name = wanted
        .draft
        .name(&["renamed", "aaa", "zzz"], "renamed", dice);
    if field.column.is_none() {
        let table = wanted.draft.model(model).stored();
        // A name with a dot is none that `--rename` reads.
        if table.contains(['.', '=']) {
            return None;
        }
        wanted
            .renames
            .push(format!("{table}.{}={name}", field.name));
    }
    field.name = name;
    wanted.change(model, field);
    Some(())
}

fn rename_model(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let key = wanted.model(dice)?;
    wanted.touched.insert(key);
    let name = wanted.draft.name(&["Aaa", "Zzz", "Mmm"], "Renamed", dice);
    let model = wanted.draft.model_mut(key);
    // Those that are renamed in the same go are named by the table that they are in.
    if model
        .fields
        .iter()
        .any(|field| wanted.touched.contains(&field.key))
    {
        return None;
    }
    let old = std::mem::replace(&mut model.name, name.clone());
    if model.table.is_none() {
        wanted.renames.push(format!("{old}={name}"));
    }
    Some(())
}

fn add_model(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let key = wanted.draft.add_model(dice);
    wanted.touched.insert(key);
    wanted.rows.ids.insert(key, BTreeSet::new());
    Some(())
}

fn remove_model(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let key = wanted
        .model(dice)
        .filter(|_| wanted.draft.models.len() > 2)?;
    let fields: Vec<usize> = wanted
        .draft
        .model(key)
        .fields
        .iter()
        .map(|field| field.key)
        .collect();
    let of_model = |relation: &gom_test_support::random::drafts::RelationDraft| {
        relation.ends.iter().any(|end| end.model == key)
    };
    let relations: Vec<usize> = wanted
        .draft
        .relations
        .iter()
        .filter(|relation| of_model(relation))
        .map(|relation| relation.key)
        .collect();
    if fields
        .iter()
        .chain(&relations)
        .any(|key| wanted.touched.contains(key))
    {
        return None;
    }
    wanted
        .touched
        .extend(fields.iter().chain(&relations).chain([&key]));
    wanted.loses |= !wanted.rows.ids[&key].is_empty();
    fields
        .iter()
        .for_each(|field| wanted.rows.forget_field(*field));
    wanted.rows.ids.remove(&key);
    wanted
        .rows
        .links
        .retain(|relation, _| !relations.contains(relation));
    wanted
        .draft
        .relations
        .retain(|relation| !relations.contains(&relation.key));
    wanted.draft.models.retain(|model| model.key != key);
    Some(())
}

fn add_color(wanted: &mut Wanted, _: &mut Dice) -> Option<()> {
    let name = format!("COLOR{}", wanted.draft.key());
    wanted.draft.colors.push(name);
    Some(())
}

/// Not the first, which defaults are.
fn remove_color(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let others = wanted.draft.colors.len() - 1;
    (others > 0)
        .then(|| wanted.draft.colors.remove(1 + dice.below(others)))
        .map(drop)
}

fn new_relation(wanted: &mut Wanted, dice: &mut Dice, lists: [bool; 2]) -> Option<usize> {
    let models = [wanted.model(dice)?, wanted.model(dice)?];
    let key = wanted.draft.add_relation(models, lists, dice);
    wanted.touched.insert(key);
    wanted.rows.links.insert(key, BTreeSet::new());
    Some(wanted.draft.relations.len() - 1)
}

fn add_relation(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let lists = [dice.chance(40), dice.chance(40)];
    new_relation(wanted, dice, lists).map(drop)
}

fn add_required_relation(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let lists = [false, dice.chance(60)];
    let at = new_relation(wanted, dice, lists)?;
    let end = &mut wanted.draft.relations[at].ends[0];
    end.required = true;
    wanted.misfits |= !wanted.rows.ids[&end.model].is_empty();
    Some(())
}

fn remove_relation(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, _) = wanted.end(dice, |_, _| true)?;
    let relation = wanted.draft.relations.remove(at);
    wanted.loses |= wanted
        .rows
        .links
        .remove(&relation.key)
        .is_some_and(|links| !links.is_empty());
    Some(())
}

fn require_partner(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| {
        !relation.ends[end].list && !relation.ends[end].required
    })?;
    wanted.draft.relations[at].ends[end].required = true;
    wanted.misfits |= wanted
        .rows
        .partners(&wanted.draft.relations[at], end)
        .any(|partners| partners == 0);
    Some(())
}

fn allow_no_partner(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| relation.ends[end].required)?;
    wanted.draft.relations[at].ends[end].required = false;
    Some(())
}

/// The links stay where they are.
fn single_partner(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| relation.ends[end].list)?;
    wanted.draft.relations[at].ends[end].list = false;
    wanted.misfits |= wanted
        .rows
        .partners(&wanted.draft.relations[at], end)
        .any(|partners| partners > 1);
    Some(())
}

fn many_partners(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| {
        !relation.ends[end].list && relation.inline != Some(end)
    })?;
    let end = &mut wanted.draft.relations[at].ends[end];
    (end.list, end.required) = (true, false);
    Some(())
}

fn rename_end(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |_, _| true)?;
    let name = wanted.draft.name(&["aLink", "zLink"], "link", dice);
    let relation = &wanted.draft.relations[at];
    let model = relation.ends[end].model;
    let table = wanted.draft.model(model).stored();
    if relation.inline == Some(end) && relation.ends[end].column.is_none() {
        if wanted.touched.contains(&model) || table.contains(['.', '=']) {
            return None;
        }
        wanted
            .renames
            .push(format!("{table}.{}={name}", inline_column(relation, end)));
    }
    wanted.draft.relations[at].ends[end].field = Some(name);
    Some(())
}
