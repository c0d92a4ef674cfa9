//! Stage one: the text of `datamodel.prisma` becomes a checked [`DataModel`]. Knows no SQL and no
//! GraphQL API.
//!
//! `syntax` reads the text, `directives` and `fields` check what stands alone, `relations` pairs
//! the fields of relations, `names` finds clashes, `check` leads through them. Findings are
//! collected, so that one run reports all of them.

mod check;
mod directives;
mod error;
mod fields;
mod foreign;
mod model;
mod names;
mod relations;
mod syntax;

pub use error::{DatamodelError, DatamodelErrors};
pub use model::*;
pub use names::{MAX_IDENTIFIER_BYTES, OWN_COLUMN};

/// Reads and checks a datamodel, as [`parse_with_warnings`].
///
/// # Errors
/// As there.
pub fn parse(file_name: &str, text: &str) -> Result<DataModel, DatamodelErrors> {
    Ok(parse_with_warnings(file_name, text)?.0)
}

/// Reads and checks a datamodel. The warnings are about what Prisma 1 took without effect, and is
/// taken so here.
///
/// # Errors
/// Everything that is wrong, each with line, column and remedy. `file_name` only appears in them.
/// While the syntax is wrong, only that is reported: what the text means is a guess then. Of a
/// datamodel of another version of Prisma, only that it is one.
pub fn parse_with_warnings(
    file_name: &str,
    text: &str,
) -> Result<(DataModel, Vec<DatamodelError>), DatamodelErrors> {
    let mut findings = error::Findings::default();
    foreign::recognise_newer(text, &mut findings);
    let document = if findings.is_empty() {
        syntax::read(text, &mut findings)
    } else {
        syntax::Document::default()
    };
    foreign::recognise_older(&document, &mut findings);
    let model = if findings.is_empty() {
        check::check(&document, &mut findings)
    } else {
        None
    };
    if model.is_none() && findings.is_empty() {
        // `check` gives no model only with a reason; should it ever forget, that is better than a
        // panic.
        findings.add(
            0,
            "the datamodel could not be read",
            "report this as a fault of gom",
        );
    }
    let warnings = findings.into_warnings(file_name, text)?;
    model
        .map(|model| (model, warnings))
        .ok_or(DatamodelErrors { errors: Vec::new() })
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
