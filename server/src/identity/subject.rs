//! Under which name sessions, devices, jobs, notifications and stamps know a user. Ids of customers and subjects of an
//! identity provider are made by different people, and may be equal: so a customer's name tells its kind.

/// What the names of customers begin with. No other user's subject does.
const CUSTOMER: &str = "customer:";

/// A customer of one shop: the same person at another shop is another user. `uid` is the id of the customer's row,
/// `seller` the subject of the shop's seller.
pub fn customer_subject(uid: &str, seller: &str) -> String {
    // The id ends at the first colon, so that no two pairs have the same name.
    let uid = uid.replace('%', "%25").replace(':', "%3A");
    format!("{CUSTOMER}{uid}:{seller}")
}

/// Whether a subject is one that only customers have.
pub fn is_customers(subject: &str) -> bool {
    subject.starts_with(CUSTOMER)
}

/// How servers before these names knew a customer: by the bare id of the row. Only where the API or Prisma has made the id
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
        assert!(subjects.iter().all(|subject| is_customers(subject)));
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), pairs.len());
    }
}
