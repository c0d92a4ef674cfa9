//! Models whose changes become notices, and lists that an index serves.

use gom_engine::datamodel::{DataModel, JobRule, ModelId, OpenNodes, OrderedList, WatchedModel};

/// What jobs call an order.
pub const ORDER: &str = "order";
/// What jobs call a publication.
pub const PUBLICATION: &str = "publication";

/// The shop's orders and publications, where a datamodel has them.
pub fn watched(model: &DataModel) -> Vec<WatchedModel> {
    let watched = |name, subject, jobs| {
        Some(WatchedModel {
            model: model.model_named(name)?,
            subject,
            jobs,
            open: None,
        })
    };
    // A datamodel with types of these names and no customers is no shop.
    if model.model_named("Bp").is_none() {
        return Vec::new();
    }
    let publications =
        watched("Publication", PUBLICATION, JobRule::Latest).map(|watched| WatchedModel {
            open: waiting(model, watched.model),
            ..watched
        });
    [watched("Order", ORDER, JobRule::Each), publications]
        .into_iter()
        .flatten()
        .collect()
}

/// Lists of the shop's own client that are not ordered by creation: model, link and order.
const LISTS: [(&str, &str, &str); 2] = [
    ("Promotion", "assignedTo", "end"),
    ("Publication", "promotion", "updatedAt"),
];

/// Those of the lists that a datamodel has.
pub fn lists(model: &DataModel) -> Vec<OrderedList> {
    let list = |(name, link, order)| {
        let of = model.model_named(name)?;
        let field = |name| model.model(of).field_named(name);
        Some(OrderedList {
            model: of,
            link: field(link)?,
            order: field(order)?,
        })
    };
    LISTS.into_iter().filter_map(list).collect()
}

/// Publications that wait: an earlier server has taken them up, and its queue is not ours.
fn waiting(model: &DataModel, publications: ModelId) -> Option<OpenNodes> {
    let column = |name: &str| {
        let fields = &model.model(publications).fields;
        fields
            .iter()
            .find(|field| field.name == name && field.is_column())
            .map(|field| field.column.clone())
    };
    let since = ["publishAt", "createdAt"]
        .into_iter()
        .filter_map(column)
        .collect();
    Some(OpenNodes {
        column: column("status")?,
        value: "WAITING",
        since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shops_own_datamodel_has_all_of_its_lists_and_watched_models() {
        let text = include_str!("../../config/datamodel.prisma");
        let model = gom_engine::datamodel::parse("datamodel.prisma", text)
            .expect("the shop's datamodel is sound");
        assert_eq!(lists(&model).len(), LISTS.len());
        let subjects: Vec<&str> = watched(&model).iter().map(|model| model.subject).collect();
        assert_eq!(subjects, [ORDER, PUBLICATION]);
    }
}
