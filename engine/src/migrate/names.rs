//! Names of indexes and constraints, and how names and texts are written in SQL. Knows no layout.

use crate::datamodel::MAX_IDENTIFIER_BYTES;

/// The prefix of indexes that the datamodel does not declare.
const OWN_INDEX_PREFIX: &str = "gom_";

/// How the names of `@unique` indexes end, ours as well as Prisma's.
const UNIQUE_SUFFIX: &str = "._UNIQUE";

/// The identifier in quotes.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The text as an SQL literal, independent of `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// The name of an index that only serves speed.
pub(super) fn own_index_name(table: &str, columns: &[&str]) -> String {
    fit(&format!("{OWN_INDEX_PREFIX}{table}_{}", columns.join("_")))
}

pub(super) fn is_own_index(name: &str) -> bool {
    name.starts_with(OWN_INDEX_PREFIX)
}

/// The name of a `@unique` index.
pub(super) fn unique_index_name(schema: &str, table: &str, column: &str) -> String {
    fit(&format!("{schema}.{table}.{column}{UNIQUE_SUFFIX}"))
}

/// Whether a datamodel made this unique index. PostgreSQL cut Prisma's long names, so the end may
/// be missing.
pub(super) fn is_unique_index(name: &str, schema: &str, table: &str, column: &str) -> bool {
    name.ends_with(UNIQUE_SUFFIX)
        || name == unique_index_name(schema, table, column)
        || (name.len() == MAX_IDENTIFIER_BYTES
            && format!("{schema}.{table}.{column}{UNIQUE_SUFFIX}").starts_with(name))
}

pub(super) fn foreign_key_name(table: &str, columns: &[&str]) -> String {
    fit(&format!("{table}_{}_fkey", columns.join("_")))
}

/// The name itself when PostgreSQL takes it, else its beginning and a hash of the whole.
pub(super) fn fit(name: &str) -> String {
    if name.len() <= MAX_IDENTIFIER_BYTES {
        return name.to_string();
    }
    let hash = format!("_{:08x}", fnv1a(name.as_bytes()));
    let mut end = MAX_IDENTIFIER_BYTES - hash.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{hash}", &name[..end])
}

/// A name like `name` that is not `taken`.
pub(super) fn free_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut number = 1;
    let mut candidate = name.to_string();
    while taken(&candidate) {
        number += 1;
        candidate = fit(&format!("{name}_{number}"));
    }
    candidate
}

/// FNV-1a, 32 bits: the same on every platform and in every version, as names in databases must be.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let long = "ñ".repeat(40);
        let (a, b) = (fit(&format!("{long}a")), fit(&format!("{long}b")));
        assert!(a.len() <= MAX_IDENTIFIER_BYTES && b.len() <= MAX_IDENTIFIER_BYTES);
        assert_ne!(a, b);
        assert_eq!(fit("short"), "short");
    }

    #[test]
    fn quotes_inside_names_and_texts_are_doubled() {
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'b"), "E'a\\\\''b'");
    }
}
