//! Changes of a draft, and what each of them means for rows: what is lost, what does not fit, and what the rows are afterwards.
//! By docs/MIGRATIONS.md and docs/OPERATIONS.md.

mod fields;
mod relations;

use std::collections::{BTreeSet, HashSet};

use self::fields::*;
use self::relations::*;
use super::rows::Rows;
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
