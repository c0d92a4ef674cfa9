//! Whether the changes that an operation waits for are logged at all.

use gom_actors::live::LiveError;
use gom_engine::datamodel::{DataModel, ModelId, RelationStorage};
use gom_engine::error::ApiError;

use super::outlet::failure;
use crate::graphql::Api;
use crate::graphql::failure::not_deployed;

pub(super) fn check_deployed(api: &Api) -> Result<(), ApiError> {
    not_deployed(api).map_or(Ok(()), Err)
}

/// Who would never hear of a change is refused, and not kept waiting.
pub(super) fn check_logged(
    api: &Api,
    models: impl IntoIterator<Item = ModelId>,
) -> Result<(), ApiError> {
    let unlogged = api.deployed.unlogged();
    let physical = api.engine.planner.physical();
    if unlogged.is_empty() {
        return Ok(());
    }
    let silent = models
        .into_iter()
        .find_map(|model| silent_table(&physical.model, model, &unlogged));
    silent.map_or(Ok(()), |table| {
        Err(failure(&LiveError::UnloggedTable(table)))
    })
}

/// Of the tables that a change of the model's nodes is logged from, one that logs none: the nodes' own, their lists' or their
/// relations'.
fn silent_table(datamodel: &DataModel, id: ModelId, unlogged: &[String]) -> Option<String> {
    let model = datamodel.model(id);
    let lists = model.fields.iter().filter(|field| field.is_scalar_list());
    let lists = lists.map(|field| format!("{}_{}", model.table, field.column));
    let relations = datamodel
        .relations
        .iter()
        .filter(|one| one.a.model == id || one.b.model == id);
    let relations = relations.filter_map(|relation| match &relation.storage {
        RelationStorage::Table { table, .. } => Some(table.clone()),
        RelationStorage::Inline { .. } => None,
    });
    let mut tables = std::iter::once(model.table.clone())
        .chain(lists)
        .chain(relations);
    tables.find(|table| unlogged.contains(table))
}

#[cfg(test)]
mod tests {
    use gom_engine::datamodel::parse;

    use super::*;

    #[test]
    fn a_model_is_silent_if_any_of_its_tables_logs_nothing() {
        let text =
            "type Album { id: ID! @id tags: [String!]! @scalarList(strategy: RELATION) songs: [Song!]! }
                    type Song { id: ID! @id albums: [Album!]! }
                    type Other { id: ID! @id }";
        let model = parse("datamodel.prisma", text).unwrap();
        let silent = |unlogged: &str| -> Vec<&str> {
            let unlogged = [unlogged.to_owned()];
            let silent = |at: &usize| silent_table(&model, ModelId(*at), &unlogged).is_some();
            (0..model.models.len())
                .filter(silent)
                .map(|at| model.models[at].name.as_str())
                .collect()
        };
        let RelationStorage::Table { table, .. } = &model.relations[0].storage else {
            panic!("a table")
        };
        assert_eq!(silent("Album"), ["Album"]);
        assert_eq!(silent("Album_tags"), ["Album"]);
        assert_eq!(silent(table), ["Album", "Song"]);
        assert!(silent("another").is_empty());
    }
}
