//! How the API's names are made from the datamodel's. Knows no types.

use super::plural::english_plural;

/// Upper-cases the first letter only: `extUid` gives `ExtUid`.
pub(super) fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Lower-cases the first letter only, as the name of a model's single field: `AUser` gives `aUser`.
pub(super) fn uncapitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// A model's name in the plural; never the name itself, so that list and single fields differ:
/// `News` gives `Newses`, `Homework` gives `Homeworks`.
pub fn plural(name: &str) -> String {
    let plural = english_plural(name);
    if plural != name {
        return plural;
    }
    let ending = if name.ends_with('s') { "es" } else { "s" };
    format!("{name}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_letter_changes_its_case() {
        assert_eq!(capitalized("friendOf"), "FriendOf");
        assert_eq!(uncapitalized("AUser"), "aUser");
        assert_eq!(uncapitalized("TODO"), "tODO");
        assert_eq!(capitalized(""), "");
    }

    #[test]
    fn names_that_english_leaves_alone_get_an_ending() {
        for (name, expected) in [
            ("News", "Newses"),
            ("Homework", "Homeworks"),
            ("Scissors", "Scissorses"),
            ("Fish", "Fishs"),
            ("A", "As"),
        ] {
            assert_eq!(plural(name), expected);
        }
    }
}
