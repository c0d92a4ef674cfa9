//! The rules of the shop, for users' writes: what the API's language cannot say of a single row. Each is checked by
//! statements at the beginning of the write's own transaction.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gom_engine::datamodel::{DataModel, FieldId, ModelId};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Access, Amendments, Expect, Planner, Step};
use gom_engine::request::{Selected, SelectedField, Value, Variables, WrittenFilter};
use gom_engine::schema::{InputMeaning, OutputMeaning, Schema};
use gom_engine::sql::{Filter, Quantifier, guard, write};
use serde_json::{Map, json};

use super::day;

/// Delays beyond this are mistakes: a year, in milliseconds.
const LONGEST_DELAY: i64 = 366 * 24 * 60 * 60 * 1_000;

pub const BP_WITH_ACTIVE_ORDERS: &str = "BP_WITH_ACTIVE_ORDERS";
pub const NO_CUSTOMERS: &str = "NO_CUSTOMERS";
pub const TOO_MANY_PUBLICATIONS: &str = "TOO_MANY_PUBLICATIONS";

/// Every code of the shop's own, for tables and the test that keeps them complete.
pub const CODES: [&str; 3] = [BP_WITH_ACTIVE_ORDERS, NO_CUSTOMERS, TOO_MANY_PUBLICATIONS];

/// The shop's rules, found in the datamodel that has its types.
#[derive(Debug)]
pub struct Rules {
    customer: ModelId,
    order: ModelId,
    promotion: ModelId,
    publication: ModelId,
    issued_to: FieldId,
    of_promotion: FieldId,
    delay: FieldId,
    status: FieldId,
    publish_at: FieldId,
    /// Customers who wait for an order.
    waiting: WrittenFilter,
    /// Promotions whose seller has customers.
    with_customers: WrittenFilter,
    /// Publications that are out, or will be, at a time of a day.
    of_day: WrittenFilter,
    zone: Tz,
}

impl Rules {
    /// The rules for a datamodel; `None` if it is not the shop's.
    pub fn find(model: &DataModel, schema: &Schema, zone: Tz) -> Option<Self> {
        let id = |name| model.model_named(name);
        let (customer, order) = (id("Bp")?, id("Order")?);
        let (promotion, publication) = (id("Promotion")?, id("Publication")?);
        let field = |id: ModelId, name| model.model(id).field_named(name);
        let filter = |id, text| WrittenFilter::parse(schema, id, text).ok();
        Some(Rules {
            customer,
            order,
            promotion,
            publication,
            issued_to: field(order, "issuedTo")?,
            of_promotion: field(publication, "promotion")?,
            delay: field(publication, "delay")?,
            status: field(publication, "status")?,
            publish_at: field(publication, "publishAt")?,
            waiting: filter(customer, "{ orders_some: { stage_in: [OPEN, IN_PROCESS] } }")?,
            with_customers: filter(promotion, "{ assignedTo: { customers_some: {} } }")?,
            of_day: filter(
                publication,
                "{ status_in: [DELIVERED, WAITING], publishAt_gte: $from, publishAt_lt: $to }",
            )?,
            zone,
        })
    }

    /// What they add to a user's top-level mutation.
    ///
    /// # Errors
    /// What the arguments alone forbid.
    pub fn amend(
        &self,
        planner: &Planner,
        field: &SelectedField,
        variables: &Variables,
        access: Access<'_>,
        now: DateTime<Utc>,
    ) -> Result<Amendments, ApiError> {
        let argument = |meaning| planner.argument(field, meaning, variables).unwrap_or(Value::Null);
        match field.meaning {
            Selected::Field(OutputMeaning::Delete(model)) if model == self.customer => {
                self.delete_customer(planner, &argument(InputMeaning::Where), access)
            }
            Selected::Field(OutputMeaning::Create(model)) if model == self.publication => {
                self.publish(planner, &argument(InputMeaning::Data), access, now)
            }
            _ => Ok(Amendments::default()),
        }
    }

    /// A customer who waits for an order stays.
    fn delete_customer(
        &self,
        planner: &Planner,
        given: &Value,
        access: Access<'_>,
    ) -> Result<Amendments, ApiError> {
        let (physical, model) = (planner.physical(), self.customer);
        let id = physical.model.model(model).id;
        if given.entry(InputMeaning::Value(id)).is_none_or(|value| *value == Value::Null) {
            return Err(ApiError::new(ErrorKind::BadUserInput, "Missing uid in arguments"));
        }
        let row = planner.row_to_write(model, given, access)?;
        let orders = Filter::Related {
            field: self.issued_to,
            quantifier: Quantifier::Is,
            filter: Box::new(row.clone()),
        };
        let waiting = planner.written(&self.waiting, &Map::new(), access)?;
        let refusal = ApiError::new(
            ErrorKind::Application(BP_WITH_ACTIVE_ORDERS),
            "BP with active orders cannot be deleted",
        );
        let missing = Box::new(planner.no_access(model));
        let before = vec![
            // New orders wait for the customer's row, and changes of old ones for theirs.
            run(write::lock(physical, model, &row), Expect::Some(missing)),
            run(write::lock(physical, self.order, &orders), Expect::Anything),
            run(
                guard::outside(physical, model, &row, &Filter::Nor(vec![waiting])),
                Expect::None(Box::new(refusal)),
            ),
        ];
        Ok(Amendments { before, ..Amendments::default() })
    }

    /// A promotion is published once on each day of the shop, by sellers who have customers.
    fn publish(
        &self,
        planner: &Planner,
        data: &Value,
        access: Access<'_>,
        now: DateTime<Utc>,
    ) -> Result<Amendments, ApiError> {
        let physical = planner.physical();
        let delay = match data.entry(InputMeaning::Value(self.delay)) {
            Some(Value::Int(delay)) => *delay,
            _ => 0,
        };
        if !(0..=LONGEST_DELAY).contains(&delay) {
            let message = format!("delay must be from 0 to {LONGEST_DELAY} milliseconds");
            return Err(ApiError::new(ErrorKind::BadUserInput, message));
        }
        let publish_at = now + chrono::Duration::milliseconds(delay);
        let set = vec![
            (self.publish_at, publish_at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()),
            (self.status, "WAITING".to_owned()),
        ];
        let connected = data
            .entry(InputMeaning::Relation(self.of_promotion))
            .and_then(|nested| nested.entry(InputMeaning::Connect));
        // Without a promotion there is nothing to check: the write itself is refused.
        let Some(promotion) = connected.filter(|value| **value != Value::Null) else {
            return Ok(Amendments { set, ..Amendments::default() });
        };
        let promotion = planner.row_to_write(self.promotion, promotion, access)?;
        let (from, to) = day::bounds(self.zone, publish_at);
        let bounds = json!({ "from": from.to_rfc3339(), "to": to.to_rfc3339() });
        let bounds = bounds.as_object().cloned().unwrap_or_default();
        let same_day = planner.written(&self.of_day, &bounds, Access::Full)?.and(Filter::Related {
            field: self.of_promotion,
            quantifier: Quantifier::Is,
            filter: Box::new(promotion.clone()),
        });
        let with_customers = planner.written(&self.with_customers, &Map::new(), Access::Full)?;
        let refusal = |code, message: &str| Box::new(ApiError::new(ErrorKind::Application(code), message));
        let missing = Box::new(planner.no_access(self.promotion));
        let before = vec![
            // Whoever publishes the same promotion at the same time waits here, and then sees this publication.
            run(write::lock(physical, self.promotion, &promotion), Expect::Some(missing)),
            run(
                guard::outside(physical, self.promotion, &promotion, &with_customers),
                Expect::None(refusal(NO_CUSTOMERS, "No customers associated")),
            ),
            run(
                guard::outside(physical, self.publication, &same_day, &Filter::FALSE),
                Expect::None(refusal(TOO_MANY_PUBLICATIONS, "Too many publications")),
            ),
        ];
        Ok(Amendments { before, set, ..Amendments::default() })
    }
}

fn run(statement: gom_engine::plan::Statement, expect: Expect) -> Step {
    Step::Run { statement, fills: Vec::new(), expect }
}
