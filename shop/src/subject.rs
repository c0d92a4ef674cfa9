//! Customers as the server's users: their subjects, and the tokens with which they are logged in. Ids of customers and subjects
//! of an identity provider are given independently, and may be equal: so a customer's subject names its kind.

use gom_server::identity::TokenKind;
use serde_json::{Map, Value};

/// The prefix of customers' subjects. No other user's subject has it.
const CUSTOMER: &str = "customer:";

/// `provider` of a session that a customer opened by telephone number, and the `grantType` of that login.
pub const PHONE: &str = "phone";

/// Tokens of customers.
pub const CUSTOMER_TOKEN: TokenKind = TokenKind {
    provider: PHONE,
    key_label: "gom customer access token v1",
    subject_prefix: CUSTOMER,
    subject_form: "customer:UID:SELLER",
    holder: "a customer's",
    claims: &["eid", "seller", "business"],
    subject,
};

/// Of a token, which is for one shop.
fn subject(claims: &Map<String, Value>) -> Option<String> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    Some(customer_subject(text("sub")?, text("seller")?))
}

/// A customer of one shop: the same person at another shop is another user. `uid` is the id of the customer's row,
/// `seller` the subject of the shop's seller.
pub fn customer_subject(uid: &str, seller: &str) -> String {
    // The id ends at the first colon, so that no two pairs have the same name.
    let uid = uid.replace('%', "%25").replace(':', "%3A");
    format!("{CUSTOMER}{uid}:{seller}")
}

/// What a customer's token says, beside its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerClaims {
    /// `Bp.uid`: the claim `sub`.
    pub uid: String,
    /// `Bp.extUid`: the claim `eid`.
    pub ext_uid: String,
    /// `User.extUid` of the seller that the customer buys from.
    pub seller: String,
    /// The seller's business.
    pub business: String,
    /// What the policy permits customers, as `verb:subject`.
    pub permissions: Vec<String>,
}

impl CustomerClaims {
    /// As the token has them.
    pub fn into_claims(self) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("sub".into(), self.uid.into());
        claims.insert("eid".into(), self.ext_uid.into());
        claims.insert("gty".into(), PHONE.into());
        claims.insert("seller".into(), self.seller.into());
        claims.insert("business".into(), self.business.into());
        claims.insert("permissions".into(), self.permissions.into());
        claims
    }
}

/// The subject that earlier versions gave a customer: the bare id of the row. Only where the API or Prisma has made the id
/// (a cuid): any other could be the subject of somebody else.
pub fn earlier_subject(subject: &str) -> Option<&str> {
    const CUID_BYTES: usize = 25;
    let (uid, _) = subject.strip_prefix(CUSTOMER)?.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (uid.len() == CUID_BYTES && uid.starts_with('c') && uid.bytes().all(plain)).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_customers_with_ids_that_were_made_had_another_name() {
        let uid = "ck00000000000000000000001";
        assert_eq!(
            earlier_subject(&customer_subject(uid, "auth0|ana")),
            Some(uid)
        );
        for other in [
            "auth0|ana",
            uid,
            "customer:",
            "customer:auth0|ana:auth0|eva",
        ] {
            assert_eq!(earlier_subject(other), None, "{other}");
        }
        assert_eq!(
            earlier_subject(&customer_subject("ck0000000000000000000%3A1", "a")),
            None
        );
    }

    #[test]
    fn no_two_customers_have_the_same_subject() {
        assert_eq!(customer_subject("c1", "auth0|ana"), "customer:c1:auth0|ana");
        let pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("a%253Ab", "c")];
        let mut subjects: Vec<String> = pairs
            .iter()
            .map(|(uid, seller)| customer_subject(uid, seller))
            .collect();
        assert!(subjects.iter().all(|subject| CUSTOMER_TOKEN.owns(subject)));
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), pairs.len());
    }
}
