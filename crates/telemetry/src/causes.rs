//! Errors of libraries in words.

use std::error::Error;

/// An error with what caused it: libraries say the half of it by themselves.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
