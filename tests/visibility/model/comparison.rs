//! Whether there is what should be there.

use std::collections::{BTreeMap, BTreeSet};

use gom_engine::datamodel::ModelId;

use super::{Kept, RowKey};
use gom_test_support::random::world::World;

/// Rows and links as text, without what Gom writes itself. A row whose id nobody could know is called by its values.
fn shown(world: &World, known: &BTreeSet<RowKey>, kept: &Kept) -> BTreeMap<String, usize> {
    let name = |model: ModelId, row: usize| {
        let definition = world.model.model(model);
        let cells = &world.rows[model.0][row];
        let id = cells[definition.id.0].as_str().unwrap();
        let is_known = known.contains(&(model, id.to_owned()));
        let columns = definition.field_ids().filter(|field| {
            let of = definition.field(*field);
            of.is_column()
                && !of.is_server_set()
                && !kept.contains(&(model, *field))
                && (is_known || *field != definition.id)
        });
        let values: Vec<String> = columns
            .map(|field| match (&cells[field.0], cells[field.0].as_f64()) {
                (_, Some(number)) => number.to_string(),
                (other, None) => other.to_string(),
            })
            .collect();
        format!("{} {}", definition.name, values.join(" "))
    };
    let mut lines = BTreeMap::new();
    let mut add = |line: String| *lines.entry(line).or_insert(0) += 1;
    for model in world.model.model_ids() {
        (0..world.rows[model.0].len()).for_each(|row| add(name(model, row)));
    }
    for (relation, links) in world.model.relations.iter().zip(&world.links) {
        for (a, b) in links {
            add(format!(
                "{}: {} - {}",
                relation.name,
                name(relation.a.model, *a),
                name(relation.b.model, *b)
            ));
        }
    }
    lines
}

/// What differs between the rows that there should be and those that there are.
pub fn difference(before: &World, should: &World, is: &World, kept: &Kept) -> Option<String> {
    let keys = |world: &World| -> BTreeSet<RowKey> {
        let of_model = |model: ModelId| {
            (0..world.rows[model.0].len())
                .map(move |row| (model, world.id(model, row).as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        world.model.model_ids().flat_map(of_model).collect()
    };
    let mut known = keys(before);
    known.extend(
        keys(should)
            .into_iter()
            .filter(|(_, id)| !id.starts_with('#')),
    );
    let (should, is) = (shown(should, &known, kept), shown(is, &known, kept));
    let missing: Vec<_> = should
        .iter()
        .filter(|(line, count)| is.get(*line) != Some(count))
        .collect();
    let others: Vec<_> = is
        .iter()
        .filter(|(line, count)| should.get(*line) != Some(count))
        .collect();
    (should != is).then(|| format!("should be there: {missing:#?}\nis there: {others:#?}"))
}
