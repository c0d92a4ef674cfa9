//! Customers, as they log in: by the code that a shop gave them, and their telephone number as that shop knows it. A code
//! leads to one shop, and the session that it opens is for that shop alone.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use gom_actors::secret::SecretText;
use gom_engine::error::ErrorKind;
use gom_engine::plan::{Param, Statement};
use gom_engine::sql::{LinkAt, quoted};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::logins::{Parts, TABLE};
use crate::subject::customer_subject;
use gom_server::graphql::{self, Api, Engine};

/// Digits at the end of a telephone number that the page shows; the customer types those before.
pub const SHOWN_DIGITS: usize = 3;

/// Looks customers up.
#[derive(Debug, Clone)]
pub struct Customers {
    /// The schema of the datamodel's tables.
    schema: String,
    /// What an attempt to log in looks at, no more: that takes the same time whether there is such a customer.
    telephone: String,
    customer: String,
}

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub uid: String,
    /// Of this shop; the customer may have others at other shops.
    pub code: String,
    pub first_name: String,
    pub last_name: Option<String>,
    /// Digits only. It stands for a password.
    phone: SecretText,
    /// The seller's name at the identity provider.
    pub seller: String,
    pub business: String,
}

impl Customer {
    /// What the login page shows of the telephone number.
    pub fn last_digits(&self) -> &str {
        let phone = self.phone.expose();
        // Digits have one byte each.
        &phone[phone.len().saturating_sub(SHOWN_DIGITS)..]
    }

    pub fn full_name(&self) -> String {
        match &self.last_name {
            Some(last) => format!("{} {last}", self.first_name),
            None => self.first_name.clone(),
        }
    }

    /// Under which sessions, devices and notifications know the customer of this shop.
    pub fn subject(&self) -> String {
        customer_subject(&self.uid, &self.seller)
    }
}

/// There is no answer about a customer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    /// Now; the same may be asked again.
    #[error("the database is not available")]
    Unavailable,
    /// A fault of ours.
    #[error("{0}")]
    Fault(String),
}

impl Customers {
    /// Nothing, if the datamodel is not the shop's, so that nobody can log in as a customer.
    pub fn of(engine: &Engine) -> Option<Self> {
        let physical = engine.planner.physical();
        let model = &physical.model;
        let parts = Parts::find(model)?;
        let LinkAt::Table {
            table: links,
            own,
            partner,
            ..
        } = physical.link(model.field(parts.customer, parts.sellers).relation()?)
        else {
            return None;
        };
        let named = |name: &str| {
            let field = model.model(parts.customer).field_named(name)?;
            model
                .field(parts.customer, field)
                .is_column()
                .then(|| physical.column(parts.customer, field))
        };
        let business = model.model(parts.seller).field_named("business")?;
        let (first, last, business) = (
            named("name1")?,
            named("lastName1")?,
            physical.column(parts.seller, business),
        );
        let (customers, customer_id) =
            (physical.table(parts.customer), physical.id(parts.customer));
        let (sellers, seller_id) = (physical.table(parts.seller), physical.id(parts.seller));
        let subject = physical.column(parts.seller, parts.subject);
        let of_code = "l.schema_name = $1 and l.code = $2";
        Some(Customers {
            schema: physical.schema_name().to_owned(),
            telephone: format!(
                "select (select json_build_object('phone', l.phone) from gom.{TABLE} l where {of_code})::text"
            ),
            // Who is no longer the shop's customer does not log in to it.
            customer: format!(
                "select (select json_build_object('uid', c.{customer_id}, 'code', l.code, 'first_name', c.{first}, \
                 'last_name', c.{last}, 'phone', l.phone, 'seller', s.{subject}, 'business', s.{business}) \
                 from gom.{TABLE} l join {customers} c on c.{customer_id} = l.customer \
                 join {sellers} s on s.{seller_id} = l.seller \
                 join {links} k on k.{own} = c.{customer_id} and k.{partner} = s.{seller_id} \
                 where {of_code} and s.{subject} is not null limit 1)::text"
            ),
        })
    }

    /// The customer with this code, if there is one who could log in.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn find(
        &self,
        api: &Api,
        code: &str,
        deadline: Instant,
    ) -> Result<Option<Customer>, LookUpError> {
        #[derive(Deserialize)]
        struct Row {
            uid: String,
            code: String,
            first_name: String,
            last_name: Option<String>,
            phone: Option<String>,
            seller: String,
            business: String,
        }
        let row: Option<Row> = self.look_up(api, &self.customer, code, deadline).await?;
        Ok(row.and_then(|row| {
            let phone = digits(row.phone.as_deref()?);
            (!phone.is_empty()).then_some(Customer {
                uid: row.uid,
                code: row.code,
                first_name: row.first_name,
                last_name: row.last_name,
                phone: SecretText::new(phone),
                seller: row.seller,
                business: row.business,
            })
        }))
    }

    /// The customer, if code and telephone number (ten digits) belong together.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn log_in(
        &self,
        api: &Api,
        code: &str,
        phone: &str,
        deadline: Instant,
    ) -> Result<Option<Customer>, LookUpError> {
        #[derive(Deserialize)]
        struct Row {
            phone: Option<String>,
        }
        let row: Option<Row> = self.look_up(api, &self.telephone, code, deadline).await?;
        let known = row
            .and_then(|row| row.phone)
            .map(|phone| digits(&phone))
            .unwrap_or_default();
        if verify_slices_are_equal(known.as_bytes(), phone.as_bytes()).is_err() {
            return Ok(None);
        }
        // Between the two looks the number may have become another.
        let customer = self.find(api, code, deadline).await?;
        Ok(customer.filter(|found| {
            verify_slices_are_equal(found.phone.expose().as_bytes(), phone.as_bytes()).is_ok()
        }))
    }

    /// The JSON object of a statement about a code; nothing without a row.
    async fn look_up<T: for<'de> Deserialize<'de>>(
        &self,
        api: &Api,
        sql: &str,
        code: &str,
        deadline: Instant,
    ) -> Result<Option<T>, LookUpError> {
        if !api.deployed.is_done() {
            return Err(LookUpError::Unavailable);
        }
        // A database that was never brought to a datamodel has no logins.
        if !api
            .engine
            .planner
            .physical()
            .has_system_table(&quoted(TABLE))
        {
            return Ok(None);
        }
        let params = [&self.schema, code]
            .map(|text| Param::Text(text.to_owned()))
            .to_vec();
        let statement = Statement {
            sql: sql.to_owned(),
            params,
        };
        let found = api
            .database
            .read(statement, deadline)
            .await
            .map_err(|error| failure(api, error))?;
        let row = found
            .map(|text| serde_json::from_str(text.as_str()))
            .transpose();
        row.map_err(|error| LookUpError::Fault(error.to_string()))
    }
}

/// Telephone numbers were typed by people: `55 1234-5684`.
fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

fn failure(api: &Api, error: gom_actors::database::RunError) -> LookUpError {
    let error = graphql::api_error(&api.engine.planner, error);
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => LookUpError::Unavailable,
        _ => LookUpError::Fault(error.message),
    }
}

/// What the client receives about a customer who has logged in.
pub fn profile(customer: &Customer) -> Value {
    json!({
        "nickname": customer.first_name,
        "name": customer.full_name(),
        "sub": customer.uid,
        "seller": customer.seller,
        "business": customer.business,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_digits_are_shown() {
        let customer = |phone: &str| Customer {
            uid: "u".into(),
            code: "c".into(),
            first_name: "María".into(),
            last_name: Some("Vega".into()),
            phone: SecretText::new(digits(phone)),
            seller: "s".into(),
            business: "b".into(),
        };
        assert_eq!(customer("55 1234-5684").last_digits(), "684");
        assert_eq!(customer("12").last_digits(), "12");
        assert_eq!(
            customer("１２３").last_digits(),
            "",
            "digits of other scripts are not typed"
        );
        assert_eq!(customer("1").full_name(), "María Vega");
    }
}
