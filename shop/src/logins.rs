//! The table of customers' logins and the datamodel's tables that it follows: for each customer and shop a code and a
//! telephone number, so that what one shop knows of a customer opens no other
//! ([ADR 25](../../docs/adr/0025-a-login-for-each-customer-and-shop.md)).

use gom_engine::datamodel::{
    DataModel, FieldId, FieldKind, FollowedTables, ModelId, RelationStorage, ScalarType, Side,
};

/// The table, in Gom's own schema.
pub const TABLE: &str = "customer_login";

/// Where a datamodel has what logins are made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    pub customer: ModelId,
    pub seller: ModelId,
    pub code: FieldId,
    pub phone: FieldId,
    /// The seller's name at the identity provider.
    pub subject: FieldId,
    /// From the customer to the sellers.
    pub sellers: FieldId,
}

impl Parts {
    /// `None`, if the datamodel is not the shop's.
    pub fn find(model: &DataModel) -> Option<Self> {
        let (customer, seller) = (model.model_named("Bp")?, model.model_named("User")?);
        let text = |of: ModelId, name: &str| {
            let field = model.model(of).field_named(name)?;
            let kind = &model.field(of, field).kind;
            let text = matches!(kind, FieldKind::Scalar(ScalarType::String | ScalarType::Id));
            (text && model.field(of, field).is_column()).then_some(field)
        };
        let of_text = |of: ModelId| {
            matches!(
                model.model(of).id_field().kind,
                FieldKind::Scalar(ScalarType::Id)
            )
        };
        let parts = Parts {
            customer,
            seller,
            code: text(customer, "extUid")?,
            phone: text(customer, "phone")?,
            subject: text(seller, "extUid")?,
            sellers: model.model(customer).field_named("customerOf")?,
        };
        let links = model
            .field(customer, parts.sellers)
            .relation()
            .filter(|to| to.target == seller)?;
        let in_table = matches!(
            model.relation(links.relation).storage,
            RelationStorage::Table { .. }
        );
        (in_table && of_text(customer) && of_text(seller)).then_some(parts)
    }

    fn names(&self, model: &DataModel) -> Option<Vec<String>> {
        let (customers, sellers) = (model.model(self.customer), model.model(self.seller));
        let links = customers.field(self.sellers).relation()?;
        let RelationStorage::Table {
            table,
            a_column,
            b_column,
            ..
        } = &model.relation(links.relation).storage
        else {
            return None;
        };
        let (of_customer, of_seller, end) = match links.side {
            Side::A => (a_column, b_column, "node"),
            Side::B => (b_column, a_column, "partner"),
        };
        let author = customers
            .field_named("createdBy")
            .map(|field| &customers.field(field).column);
        let names: [&str; 12] = [
            &customers.table,
            &customers.id_field().column,
            &customers.field(self.code).column,
            &customers.field(self.phone).column,
            author.map_or("", String::as_str),
            &sellers.table,
            &sellers.id_field().column,
            &sellers.field(self.subject).column,
            table,
            of_customer,
            of_seller,
            end,
        ];
        Some(names.map(str::to_owned).to_vec())
    }
}

/// What keeps the table in step with the datamodel's; nothing, if that is not the shop's.
pub fn followed(model: &DataModel) -> Vec<FollowedTables> {
    let names = Parts::find(model).and_then(|parts| Some((parts, parts.names(model)?)));
    let followed = names.map(|(parts, names)| FollowedTables {
        name: TABLE,
        table: TABLE,
        function: "follow_customer_logins",
        fill: "fill_customer_logins",
        tables: [0, 5, 8].map(|table: usize| names[table].clone()).to_vec(),
        models: vec![parts.customer],
        names,
    });
    followed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shops_datamodel_has_logins() {
        let own =
            gom_engine::datamodel::parse("own", include_str!("../../config/datamodel.prisma"))
                .unwrap();
        let followed = followed(&own);
        assert_eq!(followed[0].tables, ["Bp", "User", "_CustomerOf"]);
        let expected = "Bp uid extUid phone createdBy User uid extUid _CustomerOf A B node";
        assert_eq!(followed[0].names.join(" "), expected);
        let other = gom_engine::datamodel::parse("other", "type Bp { uid: ID! @id phone: String }")
            .unwrap();
        assert_eq!(super::followed(&other), []);
    }
}
