//! Whether a secret can be guessed, or tried out.

use super::Secret;

/// Characters of a secret that nobody tries out.
pub const MIN_SECRET_CHARACTERS: usize = 32;
/// Fewer different characters than this in a secret are no accident.
const MIN_DIFFERENT_CHARACTERS: usize = 8;
/// Of examples and of tutorials, and what people write before they think.
const KNOWN: [&str; 10] = [
    "secret",
    "changeme",
    "change-me",
    "password",
    "prisma",
    "mysecret",
    "mysecret42",
    "my-secret",
    "test",
    "example",
];

/// What is wrong with a secret that signs what strangers can see; nothing, if it is good.
pub fn weakness(secret: &Secret) -> Option<String> {
    let text = secret.expose();
    let bare = text.trim().to_lowercase();
    let mut letters: Vec<char> = text.chars().collect();
    let length = letters.len();
    letters.sort_unstable();
    letters.dedup();
    if KNOWN.contains(&bare.as_str()) {
        Some("it is one that everybody knows".to_owned())
    } else if letters.len() < MIN_DIFFERENT_CHARACTERS {
        Some(format!(
            "it has only {} different characters",
            letters.len()
        ))
    } else if length < MIN_SECRET_CHARACTERS {
        Some(format!(
            "it has {length} characters, and can be tried out; {MIN_SECRET_CHARACTERS} are enough"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_famous_and_monotonous_secrets_are_weak() {
        for (text, expected) in [
            ("mysecret", "everybody knows"),
            (" Prisma ", "everybody knows"),
            ("12345", "5 different"),
            ("0101010101010101010101010101010101010101", "2 different"),
            ("2f6f7c1b9e0d4a58b3c7d1e2f3a4b5c", "31 characters"),
        ] {
            let found = weakness(&Secret::new(text)).unwrap_or_default();
            assert!(found.contains(expected), "{text}: {found}");
        }
        assert_eq!(
            weakness(&Secret::new("2f6f7c1b9e0d4a58b3c7d1e2f3a4b5c6")),
            None
        );
    }
}
