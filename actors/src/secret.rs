//! Text that must not be seen: passwords, keys, refresh tokens. The one such type of the workspace.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A secret text: zeroed when it is dropped. `Debug` shows nothing of it, and there is no `Display`; it is read by
/// [`SecretText::expose`].
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Takes the text; the caller's own copies are the caller's to keep short.
    pub fn new(text: impl Into<String>) -> Self {
        SecretText(SecretString::from(text.into()))
    }

    /// The text itself, to send or to check it. Never log it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// A copy of the text.
    pub fn into_exposed(self) -> String {
        self.expose().to_owned()
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        SecretText::new(text)
    }
}

/// For options that are compared. A secret that a stranger presents is compared in constant time instead.
impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for SecretText {}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_masks_the_text_and_settings_read_it() {
        let secret: SecretText = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(format!("{secret:?}"), "SecretText(***)");
    }
}
