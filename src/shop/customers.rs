//! Customers, as they log in: by the code that their seller gave them, and their telephone number. They are
//! looked up through the API itself, on behalf of the service.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use gom_actors::secret::SecretText;
use gom_engine::error::{ApiError, ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::graphql::{self, Answer, Api, Data, Engine, Request};
use crate::identity::Viewer;

/// What an attempt to log in looks at, no more: that takes the same time whether there is such a customer.
const TELEPHONE: &str = "query CustomerTelephone($code: ID!) { bp(where: { extUid: $code }) { phone } }";
/// A customer of several sellers logs in to the shop of the first.
const CUSTOMER: &str = "query Customer($code: ID!) {
    bp(where: { extUid: $code }) {
        uid extUid name1 lastName1 phone
        customerOf(where: { extUid_not: null }, first: 1) { extUid business }
    }
}";

/// Digits at the end of a telephone number that the page shows; the customer types those before.
pub const SHOWN_DIGITS: usize = 3;

/// Looks customers up.
#[derive(Debug, Clone)]
pub struct Customers(());

/// Somebody who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub uid: String,
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
        let limits = &engine.limits_of(&Viewer::Service).request;
        let known = |text| engine.requests.prepare(text, None, limits).is_ok();
        (known(TELEPHONE) && known(CUSTOMER)).then_some(Customers(()))
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
        #[serde(rename_all = "camelCase")]
        struct Row {
            uid: String,
            ext_uid: String,
            name1: String,
            last_name1: Option<String>,
            phone: Option<String>,
            customer_of: Vec<Seller>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Seller {
            ext_uid: String,
            business: String,
        }
        let row: Option<Row> = look_up(api, CUSTOMER, code, deadline).await?;
        Ok(row.and_then(|row| {
            let phone = digits(row.phone.as_deref()?);
            let seller = row.customer_of.into_iter().next()?;
            (!phone.is_empty()).then_some(Customer {
                uid: row.uid,
                code: row.ext_uid,
                first_name: row.name1,
                last_name: row.last_name1,
                phone: SecretText::new(phone),
                seller: seller.ext_uid,
                business: seller.business,
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
        let row: Option<Row> = look_up(api, TELEPHONE, code, deadline).await?;
        let known = row.and_then(|row| row.phone).map(|phone| digits(&phone)).unwrap_or_default();
        if verify_slices_are_equal(known.as_bytes(), phone.as_bytes()).is_err() {
            return Ok(None);
        }
        self.find(api, code, deadline).await
    }
}

/// Telephone numbers were typed by people: `55 1234-5684`.
fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

/// The answer to a document with one field at the top and the variable `code`.
async fn look_up<T: for<'de> Deserialize<'de>>(
    api: &Api,
    text: &str,
    code: &str,
    deadline: Instant,
) -> Result<Option<T>, LookUpError> {
    let mut variables = Map::new();
    variables.insert("code".into(), json!(code));
    let request = Request { text: text.to_owned(), operation_name: None, variables };
    let answer = graphql::execute(api, request, Viewer::Service, true, deadline).await;
    let Some(Answer { data, errors }) = answer else {
        return Err(LookUpError::Fault("our own document is not a query".into()));
    };
    if let Some(error) = errors.first() {
        return Err(failure(error));
    }
    let Data::Fields(fields) = data else {
        return Err(LookUpError::Fault("our own document has no answer".into()));
    };
    let json = fields.first().map_or(&b"null"[..], |(_, fragment)| fragment.as_bytes());
    serde_json::from_slice(json).map_err(|error| LookUpError::Fault(error.to_string()))
}

fn failure(error: &ApiError) -> LookUpError {
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::DeadlineExceeded => LookUpError::Unavailable,
        _ => LookUpError::Fault(error.message.clone()),
    }
}

/// What the client is told of a customer who has logged in.
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
        assert_eq!(customer("１２３").last_digits(), "", "digits of other scripts are not typed");
        assert_eq!(customer("1").full_name(), "María Vega");
    }
}
