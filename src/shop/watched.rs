//! Whose changes somebody is told of.

use gom_engine::datamodel::{DataModel, Jobs, Watched};

/// What jobs call an order.
pub const ORDER: &str = "order";
/// What jobs call a publication.
pub const PUBLICATION: &str = "publication";

/// The shop's orders and publications, where a datamodel has them.
pub fn watched(model: &DataModel) -> Vec<Watched> {
    let watched = |name, subject, jobs| Some(Watched { model: model.model_named(name)?, subject, jobs });
    // Whoever has types of these names and no customers is no shop.
    if model.model_named("Bp").is_none() {
        return Vec::new();
    }
    let all = [watched("Order", ORDER, Jobs::Each), watched("Publication", PUBLICATION, Jobs::Latest)];
    all.into_iter().flatten().collect()
}
