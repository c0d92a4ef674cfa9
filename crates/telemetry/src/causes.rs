//! Errors of libraries in words.

use std::error::Error;

/// An error with what caused it: many libraries leave the causes out of their own text. A cause that the text contains already
/// is not repeated.
///
/// ```
/// use gom_telemetry::causes::with_causes;
///
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(with_causes(&error), "the disk is full");
/// ```
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
