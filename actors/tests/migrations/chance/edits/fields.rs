//! Changes of fields.

use std::collections::BTreeSet;

use super::Wanted;
use gom_test_support::dice::Dice;
use gom_test_support::random::drafts::{FieldDraft, Kind};

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

pub(super) fn add_field(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    wanted
        .add(dice, |field, _| field.required &= field.list)
        .map(drop)
}

pub(super) fn add_required(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, _) = wanted.add(dice, |field, _| {
        (field.list, field.required) = (false, true)
    })?;
    wanted.misfits |= !wanted.rows.ids[&model].is_empty();
    Some(())
}

pub(super) fn add_required_with_default(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn remove_field(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn allow_null(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |field| field.required && !field.list)?;
    field.required = false;
    wanted.change(model, field);
    Some(())
}

pub(super) fn forbid_null(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |field| {
        !field.required && !field.list && field.default.is_none()
    })?;
    field.required = true;
    wanted.misfits |= wanted.rows.of_field(model, field.key).any(Option::is_none);
    wanted.change(model, field);
    Some(())
}

pub(super) fn fill_null(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn make_unique(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn allow_equal(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (model, mut field) = wanted.field(dice, |field| field.unique)?;
    field.unique = false;
    wanted.change(model, field);
    Some(())
}

pub(super) fn number_to_text(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn number_to_float(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn text_to_number(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn rename_field(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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
