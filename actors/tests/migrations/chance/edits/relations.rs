//! Changes of relations.

use std::collections::BTreeSet;

use super::super::rows::inline_column;
use super::Wanted;
use gom_test_support::dice::Dice;

fn new_relation(wanted: &mut Wanted, dice: &mut Dice, lists: [bool; 2]) -> Option<usize> {
    let models = [wanted.model(dice)?, wanted.model(dice)?];
    let key = wanted.draft.add_relation(models, lists, dice);
    wanted.touched.insert(key);
    wanted.rows.links.insert(key, BTreeSet::new());
    Some(wanted.draft.relations.len() - 1)
}

pub(super) fn add_relation(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let lists = [dice.chance(40), dice.chance(40)];
    new_relation(wanted, dice, lists).map(drop)
}

pub(super) fn add_required_relation(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let lists = [false, dice.chance(60)];
    let at = new_relation(wanted, dice, lists)?;
    let end = &mut wanted.draft.relations[at].ends[0];
    end.required = true;
    wanted.misfits |= !wanted.rows.ids[&end.model].is_empty();
    Some(())
}

pub(super) fn remove_relation(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, _) = wanted.end(dice, |_, _| true)?;
    let relation = wanted.draft.relations.remove(at);
    wanted.loses |= wanted
        .rows
        .links
        .remove(&relation.key)
        .is_some_and(|links| !links.is_empty());
    Some(())
}

pub(super) fn require_partner(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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

pub(super) fn allow_no_partner(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| relation.ends[end].required)?;
    wanted.draft.relations[at].ends[end].required = false;
    Some(())
}

/// The links stay where they are.
pub(super) fn single_partner(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| relation.ends[end].list)?;
    wanted.draft.relations[at].ends[end].list = false;
    wanted.misfits |= wanted
        .rows
        .partners(&wanted.draft.relations[at], end)
        .any(|partners| partners > 1);
    Some(())
}

pub(super) fn many_partners(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
    let (at, end) = wanted.end(dice, |relation, end| {
        !relation.ends[end].list && relation.inline != Some(end)
    })?;
    let end = &mut wanted.draft.relations[at].ends[end];
    (end.list, end.required) = (true, false);
    Some(())
}

pub(super) fn rename_end(wanted: &mut Wanted, dice: &mut Dice) -> Option<()> {
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
