//! Whose changes somebody is told of.

use gom_engine::datamodel::{DataModel, Jobs, ModelId, OpenNodes, Watched};

/// What jobs call an order.
pub const ORDER: &str = "order";
/// What jobs call a publication.
pub const PUBLICATION: &str = "publication";

/// The shop's orders and publications, where a datamodel has them.
pub fn watched(model: &DataModel) -> Vec<Watched> {
    let watched = |name, subject, jobs| {
        Some(Watched {
            model: model.model_named(name)?,
            subject,
            jobs,
            open: None,
        })
    };
    // Whoever has types of these names and no customers is no shop.
    if model.model_named("Bp").is_none() {
        return Vec::new();
    }
    let publications = watched("Publication", PUBLICATION, Jobs::Latest).map(|watched| Watched {
        open: waiting(model, watched.model),
        ..watched
    });
    [watched("Order", ORDER, Jobs::Each), publications]
        .into_iter()
        .flatten()
        .collect()
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
