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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_customers_have_the_same_subject() {
        assert_eq!(customer_subject("c1", "auth0|ana"), "customer:c1:auth0|ana");
        let pairs = [("a", "b:c"), ("a:b", "c"), ("a%3Ab", "c"), ("a%253Ab", "c")];
        let mut subjects: Vec<String> =
            pairs.iter().map(|(uid, seller)| customer_subject(uid, seller)).collect();
        assert!(subjects.iter().all(|subject| is_customers(subject)));
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), pairs.len());
    }
}
