//! The rules of the shop, for users' writes: what the API's language cannot say of a single row. Each is checked by
//! statements at the beginning of the write's own transaction.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use gom_engine::datamodel::{DataModel, FieldId, ModelId};
use gom_engine::error::{ApiError, ErrorKind};
use gom_engine::plan::{Access, Expect, Planner, Step, WriteHooks};
use gom_engine::request::{Selected, SelectedField, Value, Variables, WrittenFilter};
use gom_engine::schema::{InputMeaning, OutputMeaning, Schema};
use gom_engine::sql::{Filter, Physical, Quantifier, guard, write};
use serde_json::{Map, json};

use crate::day;
use crate::detours::Detours;
use gom_server::graphql::WriteRules;

/// Delays beyond this are mistakes: a year, in milliseconds.
const MAX_DELAY: i64 = 366 * 24 * 60 * 60 * 1_000;
/// So long before its time a publication can be called off for the last time, in milliseconds: between the look at the clock and
/// the commit, a sender may begin.
const CANCEL_CUTOFF_MS: i64 = 1_000;

pub const BP_WITH_ACTIVE_ORDERS: &str = "BP_WITH_ACTIVE_ORDERS";
pub const NO_CUSTOMERS: &str = "NO_CUSTOMERS";
pub const PUBLICATION_NOT_WAITING: &str = "PUBLICATION_NOT_WAITING";
pub const TOO_MANY_PUBLICATIONS: &str = "TOO_MANY_PUBLICATIONS";

/// Every code of the shop's own, for tables and the test that keeps them complete.
pub const CODES: [&str; 4] = [
    BP_WITH_ACTIVE_ORDERS,
    NO_CUSTOMERS,
    PUBLICATION_NOT_WAITING,
    TOO_MANY_PUBLICATIONS,
];

/// Columns with the values that the server gives them.
type Columns = Vec<(FieldId, String)>;

/// The shop's rules, found in the datamodel that has its types.
#[derive(Debug)]
pub struct Rules {
    customer: ModelId,
    order: ModelId,
    promotion: ModelId,
    publication: ModelId,
    /// The telephone number, where a customer has one.
    phone: Option<FieldId>,
    issued_to: FieldId,
    of_promotion: FieldId,
    publications: FieldId,
    delay: FieldId,
    status: FieldId,
    publish_at: FieldId,
    /// Customers who wait for an order.
    waiting: WrittenFilter,
    /// Promotions whose seller has customers.
    with_customers: WrittenFilter,
    /// Publications that are out, or will be, at a time of a day.
    of_day: WrittenFilter,
    /// Publications that nobody has been notified of, nor will be before a time.
    still_waiting: WrittenFilter,
    zone: Tz,
}

impl WriteRules for Rules {
    /// Whether they judge a mutation by the time. It has to be one clock for all nodes: publications are sent by the database's,
    /// and once a day is once for whichever nodes are asked.
    fn needs_time(&self, field: &SelectedField) -> bool {
        let Selected::Field(meaning) = field.meaning else {
            return false;
        };
        let (OutputMeaning::Create(model)
        | OutputMeaning::Update(model)
        | OutputMeaning::Delete(model)) = meaning
        else {
            return false;
        };
        model == self.publication
    }

    fn amend(
        &self,
        planner: &Planner,
        field: &SelectedField,
        variables: &Variables,
        access: Access<'_>,
        now: Option<DateTime<Utc>>,
    ) -> Result<WriteHooks, ApiError> {
        let now = || {
            now.ok_or_else(|| ApiError::new(ErrorKind::Internal, "a publication needs the time"))
        };
        let argument = |meaning| {
            planner
                .argument(field, meaning, variables)
                .unwrap_or(Value::Null)
        };
        if let Selected::Field(meaning) = field.meaning {
            let data = [
                InputMeaning::Data,
                InputMeaning::Create,
                InputMeaning::Update,
            ]
            .map(argument);
            let model = &planner.physical().model;
            Detours::of(self.customer, self.publication).refuse(model, meaning, &data)?;
        }
        match field.meaning {
            Selected::Field(OutputMeaning::Create(model)) if model == self.customer => {
                self.create_customer(planner, &argument(InputMeaning::Data))
            }
            Selected::Field(OutputMeaning::Upsert(model)) if model == self.customer => {
                self.create_customer(planner, &argument(InputMeaning::Create))
            }
            Selected::Field(OutputMeaning::Update(model)) if model == self.customer => self
                .update_customer(
                    planner,
                    &argument(InputMeaning::Where),
                    &argument(InputMeaning::Data),
                    access,
                ),
            Selected::Field(OutputMeaning::Delete(model)) if model == self.customer => {
                self.delete_customer(planner, &argument(InputMeaning::Where), access)
            }
            Selected::Field(OutputMeaning::Create(model)) if model == self.publication => {
                self.publish(planner, &argument(InputMeaning::Data), access, now()?)
            }
            Selected::Field(OutputMeaning::Update(model)) if model == self.publication => {
                let (given, data) = (argument(InputMeaning::Where), argument(InputMeaning::Data));
                self.put_off(planner, &given, &data, access, now()?)
            }
            Selected::Field(OutputMeaning::Delete(model)) if model == self.publication => {
                let row = planner.row_to_write(model, &argument(InputMeaning::Where), access)?;
                Ok(WriteHooks {
                    before: self.only_waiting(planner, &row, now()?)?,
                    ..Default::default()
                })
            }
            _ => Ok(WriteHooks::default()),
        }
    }
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
            phone: field(customer, "phone"),
            issued_to: field(order, "issuedTo")?,
            of_promotion: field(publication, "promotion")?,
            publications: field(promotion, "publications")?,
            delay: field(publication, "delay")?,
            status: field(publication, "status")?,
            publish_at: field(publication, "publishAt")?,
            waiting: filter(
                customer,
                "{ orders_some: { stage_in: [OPEN, IN_PROCESS] } }",
            )?,
            with_customers: filter(promotion, "{ assignedTo: { customers_some: {} } }")?,
            of_day: filter(
                publication,
                "{ status_in: [DELIVERED, WAITING], publishAt_gte: $from, publishAt_lt: $to }",
            )?,
            still_waiting: filter(publication, "{ status: WAITING, publishAt_gt: $from }")?,
            zone,
        })
    }

    /// Nobody chooses a customer's id, which is the subject of the customer's tokens: it could be another's, or that of a
    /// customer who was deleted and is still logged in.
    fn create_customer(&self, planner: &Planner, data: &Value) -> Result<WriteHooks, ApiError> {
        let definition = planner.physical().model.model(self.customer);
        if data
            .entry(InputMeaning::Value(definition.id))
            .is_none_or(|value| *value == Value::Null)
        {
            return Ok(WriteHooks::default());
        }
        let message = format!(
            "'{}' cannot be chosen: the server makes it",
            definition.id_field().name
        );
        Err(ApiError::new(ErrorKind::BadUserInput, message))
    }

    /// A telephone number counts, for logins, in the shop of the seller who gives it.
    fn update_customer(
        &self,
        planner: &Planner,
        given: &Value,
        data: &Value,
        access: Access<'_>,
    ) -> Result<WriteHooks, ApiError> {
        let model = self.customer;
        let Some((phone, value)) = self
            .phone
            .and_then(|phone| Some((phone, data.entry(InputMeaning::Value(phone))?)))
        else {
            return Ok(WriteHooks::default());
        };
        let Some(write) = planner.write_own_value((model, phone), given, value, access)? else {
            return Ok(WriteHooks::default());
        };
        let row = planner.row_to_write(model, given, access)?;
        let missing = Box::new(planner.no_access(model));
        let before = vec![
            // As everybody else does: the customer's row first.
            run(
                write::lock(planner.physical(), model, &row),
                Expect::Some(missing),
            ),
            run(write, Expect::Anything),
        ];
        Ok(WriteHooks {
            before,
            ..WriteHooks::default()
        })
    }

    /// A customer who waits for an order stays.
    fn delete_customer(
        &self,
        planner: &Planner,
        given: &Value,
        access: Access<'_>,
    ) -> Result<WriteHooks, ApiError> {
        let (physical, model) = (planner.physical(), self.customer);
        let id = physical.model.model(model).id;
        if given
            .entry(InputMeaning::Value(id))
            .is_none_or(|value| *value == Value::Null)
        {
            return Err(ApiError::new(
                ErrorKind::BadUserInput,
                "Missing uid in arguments",
            ));
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
        Ok(WriteHooks {
            before,
            ..WriteHooks::default()
        })
    }

    /// A promotion is published once on each day of the shop, by sellers who have customers.
    fn publish(
        &self,
        planner: &Planner,
        data: &Value,
        access: Access<'_>,
        now: DateTime<Utc>,
    ) -> Result<WriteHooks, ApiError> {
        let physical = planner.physical();
        let (publish_at, set) = self.schedule(data, now)?;
        let connected = data
            .entry(InputMeaning::Relation(self.of_promotion))
            .and_then(|nested| nested.entry(InputMeaning::Connect));
        // Without a promotion there is nothing to check: the write itself is refused.
        let Some(promotion) = connected.filter(|value| **value != Value::Null) else {
            return Ok(WriteHooks {
                set,
                ..WriteHooks::default()
            });
        };
        let promotion = planner.row_to_write(self.promotion, promotion, access)?;
        let same_day = self.on_the_day(planner, &promotion, publish_at)?;
        let with_customers = planner.written(&self.with_customers, &Map::new(), Access::Full)?;
        let missing = Box::new(planner.no_access(self.promotion));
        let before = vec![
            // A request that publishes the same promotion at the same time waits here, and then sees this publication.
            run(
                write::lock(physical, self.promotion, &promotion),
                Expect::Some(missing),
            ),
            run(
                guard::outside(physical, self.promotion, &promotion, &with_customers),
                Expect::None(refused(NO_CUSTOMERS, "No customers associated")),
            ),
            once_a_day(physical, self.publication, &same_day),
        ];
        Ok(WriteHooks {
            before,
            set,
            ..WriteHooks::default()
        })
    }

    /// Another time for a publication that nobody has been notified of: counted from now, like the first one.
    fn put_off(
        &self,
        planner: &Planner,
        given: &Value,
        data: &Value,
        access: Access<'_>,
        now: DateTime<Utc>,
    ) -> Result<WriteHooks, ApiError> {
        let only_delay = match data {
            Value::Object(_, entries) => {
                matches!(entries.as_slice(), [(meaning, Value::Int(_))] if *meaning == InputMeaning::Value(self.delay))
            }
            _ => false,
        };
        if !only_delay {
            let message = "Of a publication only the delay can be changed, and must be given";
            return Err(ApiError::new(ErrorKind::BadUserInput, message));
        }
        let (publish_at, set) = self.schedule(data, now)?;
        let row = planner.row_to_write(self.publication, given, access)?;
        let promotion = self.promotion_of(&row);
        let same_day = self
            .on_the_day(planner, &promotion, publish_at)?
            .and(Filter::Nor(vec![row.clone()]));
        let mut before = self.only_waiting(planner, &row, now)?;
        before.push(once_a_day(planner.physical(), self.publication, &same_day));
        Ok(WriteHooks {
            before,
            set,
            ..WriteHooks::default()
        })
    }

    /// Only before its time a publication can be changed, or called off.
    fn only_waiting(
        &self,
        planner: &Planner,
        row: &Filter,
        now: DateTime<Utc>,
    ) -> Result<Vec<Step>, ApiError> {
        let physical = planner.physical();
        let from = now + chrono::Duration::milliseconds(CANCEL_CUTOFF_MS);
        let from = json!({ "from": from.to_rfc3339() });
        let from = from.as_object().cloned().unwrap_or_default();
        let waiting = planner.written(&self.still_waiting, &from, Access::Full)?;
        // As when it was published: the promotion's row first.
        let missing = || Box::new(planner.no_access(self.publication));
        let refusal = "Somebody may have been told of the publication: it can be neither changed nor called off";
        Ok(vec![
            run(
                write::lock(physical, self.promotion, &self.promotion_of(row)),
                Expect::Some(missing()),
            ),
            run(
                write::lock(physical, self.publication, row),
                Expect::Some(missing()),
            ),
            run(
                guard::outside(physical, self.publication, row, &waiting),
                Expect::None(refused(PUBLICATION_NOT_WAITING, refusal)),
            ),
        ])
    }

    /// When a publication with this data is due, and what the server says of it.
    fn schedule(
        &self,
        data: &Value,
        now: DateTime<Utc>,
    ) -> Result<(DateTime<Utc>, Columns), ApiError> {
        let delay = match data.entry(InputMeaning::Value(self.delay)) {
            Some(Value::Int(delay)) => *delay,
            _ => 0,
        };
        if !(0..=MAX_DELAY).contains(&delay) {
            let message = format!("delay must be from 0 to {MAX_DELAY} milliseconds");
            return Err(ApiError::new(ErrorKind::BadUserInput, message));
        }
        let publish_at = now + chrono::Duration::milliseconds(delay);
        let set = vec![
            (
                self.publish_at,
                publish_at.format("%Y-%m-%dT%H:%M:%S%.3f").to_string(),
            ),
            (self.status, "WAITING".to_owned()),
        ];
        Ok((publish_at, set))
    }

    fn promotion_of(&self, publication: &Filter) -> Filter {
        Filter::Related {
            field: self.publications,
            quantifier: Quantifier::Some,
            filter: Box::new(publication.clone()),
        }
    }

    /// The publications of a promotion that are out, or will be, on the day of a time.
    fn on_the_day(
        &self,
        planner: &Planner,
        promotion: &Filter,
        time: DateTime<Utc>,
    ) -> Result<Filter, ApiError> {
        let (from, to) = day::bounds(self.zone, time);
        let bounds = json!({ "from": from.to_rfc3339(), "to": to.to_rfc3339() });
        let bounds = bounds.as_object().cloned().unwrap_or_default();
        Ok(planner
            .written(&self.of_day, &bounds, Access::Full)?
            .and(Filter::Related {
                field: self.of_promotion,
                quantifier: Quantifier::Is,
                filter: Box::new(promotion.clone()),
            }))
    }
}

fn refused(code: &'static str, message: &str) -> Box<ApiError> {
    Box::new(ApiError::new(ErrorKind::Application(code), message))
}

/// There is no other publication of the day.
fn once_a_day(physical: &Physical, publication: ModelId, same_day: &Filter) -> Step {
    run(
        guard::outside(physical, publication, same_day, &Filter::FALSE),
        Expect::None(refused(TOO_MANY_PUBLICATIONS, "Too many publications")),
    )
}

fn run(statement: gom_engine::plan::Statement, expect: Expect) -> Step {
    Step::Run {
        statement,
        fills: Vec::new(),
        expect,
    }
}
