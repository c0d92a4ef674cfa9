//! Permissions as tokens carry them: `action:subject`, such as `read:orders`. `manage` is any
//! action, `all` any subject.

use std::fmt;

/// One `action:subject`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    action: String,
    subject: String,
}

/// What a token carries. Words that are no permissions are of no use to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Permission>);

impl Permission {
    /// Reads `action:subject`; `None` if it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let (action, subject) = text.split_once(':')?;
        let good = |part: &str| !part.is_empty() && !part.contains([':', ' ']);
        (good(action) && good(subject)).then(|| Permission {
            action: action.to_owned(),
            subject: subject.to_owned(),
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action, self.subject)
    }
}

impl Permissions {
    /// The permissions among these texts; what is not of the form `action:subject` is left out.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Permissions(texts.into_iter().filter_map(Permission::parse).collect())
    }

    /// Whether one of them is, or includes, the permission.
    pub fn grant(&self, needed: &Permission) -> bool {
        // A role is no action that `manage` could stand for.
        self.0
            .iter()
            .filter(|held| held.action != "role")
            .any(|held| {
                (held.action == needed.action || held.action == "manage")
                    && (held.subject == needed.subject || held.subject == "all")
            })
    }

    /// The names of the roles: the subjects of `role:…`.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|held| held.action == "role")
            .map(|held| held.subject.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manage_and_all_stand_for_any() {
        let granted = |held: &[&str], needed: &str| {
            Permissions::of(held.iter().copied()).grant(&Permission::parse(needed).unwrap())
        };
        assert!(granted(&["read:order"], "read:order"));
        assert!(
            !granted(&["read:order"], "read:orders"),
            "one and many are two subjects"
        );
        assert!(!granted(&["read:order"], "update:order"));
        assert!(granted(&["manage:order"], "update:order"));
        assert!(granted(&["read:all"], "read:orders"));
        assert!(granted(&["manage:all"], "delete:note"));
        assert!(!granted(&["role:all", "malformed", "a:b:c"], "role:order"));
        assert!(!granted(&[], "read:order"));
    }

    #[test]
    fn roles_are_among_the_permissions() {
        let permissions = Permissions::of(["read:order", "role:editor", "role:"]);
        assert_eq!(permissions.roles().collect::<Vec<_>>(), ["editor"]);
    }
}
