//! The keys that a client chooses are part of the text: whatever they are called, they stand as
//! names of columns and as keys of JSON, and nothing else in the text depends on them or could be
//! taken for one of them.

use std::collections::BTreeSet;

use gom_engine::plan::Statement;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::{Compiler, runner, variables};

/// With `@` where a key goes.
const QUERY: &str = "query ($where: Node1WhereInput, $one: Node1WhereUniqueInput!, $after: String, $id: ID!) {
  @: node1s(where: $where, orderBy: text_DESC, first: 2) { @: id @: text @: tags @: best { @: name @: __typename }
    @: friends(first: 2, after: $after) { @: name @: nodes { @: id } } }
  @: node1sConnection(where: $where, last: 3) { @: pageInfo { @: hasNextPage @: hasPreviousPage @: startCursor @: endCursor }
    @: edges { @: cursor @: node { @: id @: json @: children { @: color } } } @: aggregate { @: count } }
  @: node1sConnection { @: edges { @: node { @: tags } } @: aggregate { @: count } }
  @: node1(where: $one) { @: id @: parent { @: id @: best { @: bestOf { @: code } } } }
  @: node(id: $id) { @: id @: __typename }
}";

const MUTATION: &str =
    "mutation ($where: Node1WhereInput, $one: Node1WhereUniqueInput!, $create: Node1CreateInput!, \
    $update: Node1UpdateInput!, $many: Node1UpdateManyMutationInput!) {
  @: createNode1(data: $create) { @: id @: tags @: friends { @: name } }
  @: updateNode1(where: $one, data: $update) { @: text @: parent { @: id } }
  @: updateManyNode1s(where: $where, data: $many) { @: count }
  @: deleteNode1(where: $one) { @: id @: json @: tags @: best { @: name } }
}";

const SUBSCRIPTION: &str = "subscription ($event: Node1SubscriptionWhereInput) {
  @: node1(where: $event) { @: mutation @: updatedFields @: node { @: id @: tags @: friends { @: name } }
    @: previousValues { @: text @: tags } }
}";

const DOCUMENTS: [&str; 3] = [QUERY, MUTATION, SUBSCRIPTION];
/// More than any of the documents has.
const KEYS: usize = 64;
/// PostgreSQL cuts longer names, so that keys of which one is longer are written in another way.
const MAX_NAME: usize = 63;

/// What the statements themselves are made of, what GraphQL is made of, and whatever else is a
/// name.
fn key() -> impl Strategy<Value = String> {
    const WORDS: [&str; 40] = [
        "page", "row", "rows", "value", "position", "nodeId", "select", "from", "where", "order",
        "group", "union", "lateral", "array", "all", "user", "null", "true", "false", "default",
        "json", "text", "coalesce", "count", "id", "tags", "name", "gom", "gom_i", "new", "old",
        "excluded", "A", "B", "on", "fragment", "query", "type", "_", "as",
    ];
    prop_oneof![
        3 => (0..31).prop_map(|number| format!("t{number}")),
        4 => select(WORDS.to_vec()).prop_map(str::to_owned),
        2 => "[A-Za-z][_0-9A-Za-z]{0,12}",
        1 => "[A-Za-z][_0-9A-Za-z]{58,69}",
    ]
}

/// Distinct, and most of them short.
fn keys() -> impl Strategy<Value = Vec<String>> {
    let distinct = |all: Vec<String>| {
        let mut seen = BTreeSet::new();
        all.into_iter()
            .filter(|key| seen.insert(key.clone()))
            .take(KEYS)
            .collect::<Vec<_>>()
    };
    let numbered = (0..KEYS)
        .map(|number| format!("k{number}"))
        .collect::<Vec<_>>();
    prop::collection::vec(key(), KEYS * 2)
        .prop_map(move |all| distinct([all, numbered.clone()].concat()))
}

/// As long as the keys, for they are not written in the same way if one is too long, and found
/// nowhere else.
fn marks(keys: &[String]) -> Vec<String> {
    let mark = |(number, key): (usize, &String)| {
        let mark = format!("zq{number}z");
        if key.len() > MAX_NAME {
            format!("{mark:x<0$}z", key.len())
        } else {
            mark
        }
    };
    keys.iter().enumerate().map(mark).collect()
}

fn with_keys(document: &str, keys: &[String]) -> String {
    let mut parts = document.split('@');
    let begin = parts.next().unwrap_or_default().to_owned();
    parts
        .zip(keys)
        .fold(begin, |text, (part, key)| text + key + part)
}

/// A text with marks, and the keys instead of them. No mark is a part of another.
fn replaced(text: &str, marks: &[String], keys: &[String]) -> String {
    let with_key = |text: String, (mark, key): (&String, &String)| text.replace(mark.as_str(), key);
    marks.iter().zip(keys).fold(text.to_owned(), with_key)
}

/// Pieces of the text outside of quotes, each with what stands before it.
fn unquoted(sql: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let (mut begin, mut quote) = (0, None);
    for (at, char) in sql.char_indices() {
        match (quote, char) {
            (None, '"' | '\'') => {
                pieces.push((begin, &sql[begin..at]));
                quote = Some(char);
            }
            (Some(open), _) if open == char => {
                quote = None;
                begin = at + 1;
            }
            _ => {}
        }
    }
    assert_eq!(quote, None, "{sql}");
    pieces.push((begin, &sql[begin..]));
    pieces
}

/// PostgreSQL looks a bare word up among columns, here and in all queries around, before it takes
/// it for a row. An alias is written bare only where it is given: behind a table's name or a
/// sub-select.
fn no_alias_is_looked_up_among_columns(sql: &str) -> Result<(), TestCaseError> {
    for (begin, piece) in unquoted(sql) {
        let is_word = |char: char| char.is_alphanumeric() || char == '_';
        for (at, _) in piece.match_indices('t') {
            let (before, after) = (&sql[..begin + at], &piece[at + 1..]);
            let digits = after
                .find(|char: char| !char.is_ascii_digit())
                .unwrap_or(after.len());
            let ends = after[digits..]
                .chars()
                .next()
                .is_none_or(|char| !is_word(char));
            if digits == 0 || !ends || before.ends_with(is_word) || after[digits..].starts_with('.')
            {
                continue;
            }
            let given = ["\" ", ") ", "page ", " as "]
                .iter()
                .any(|end| before.ends_with(end));
            prop_assert!(given, "t{} in {} … {}", &after[..digits], tail(before), sql);
        }
    }
    Ok(())
}

fn tail(text: &str) -> &str {
    &text[text.len().saturating_sub(60)..]
}

/// A key is a column's name, read with the alias of its rows, or a key of JSON.
fn keys_are_names(sql: &str, marks: &[String]) -> Result<usize, TestCaseError> {
    let mut found = 0;
    for mark in marks {
        for (at, _) in sql.match_indices(mark.as_str()) {
            found += 1;
            let (before, after) = (&sql[..at], &sql[at + mark.len()..]);
            let column =
                after.starts_with('"') && (before.ends_with(" as \"") || before.ends_with(".\""));
            let of_json =
                after.starts_with("\":'") && (before.ends_with("{\"") || before.ends_with(",\""));
            prop_assert!(column || of_json, "{mark} behind {} in {sql}", tail(before));
        }
    }
    Ok(found)
}

#[test]
fn keys_are_names_of_columns_and_nothing_else_depends_on_them() {
    let compiler = Compiler::new();
    let values = variables(&json!({"text": "?", "children_some": {"code": "?"}}));
    let result = runner().run(&keys(), |keys| {
        let marks = marks(&keys);
        for document in DOCUMENTS {
            let statements = |keys: &[String]| -> Vec<String> {
                let compiled = compiler.statements(&with_keys(document, keys), &values);
                compiled
                    .into_iter()
                    .map(|Statement { sql, .. }| sql)
                    .collect()
            };
            let (plain, chosen) = (statements(&marks), statements(&keys));
            let mut found = 0;
            for (plain, chosen) in plain.iter().zip(&chosen) {
                prop_assert_eq!(&replaced(plain, &marks, &keys), chosen);
                found += keys_are_names(plain, &marks)?;
                no_alias_is_looked_up_among_columns(chosen)?;
            }
            prop_assert_eq!(plain.len(), chosen.len());
            // Or nothing was compared.
            prop_assert!(
                found >= document.matches('@').count() / 2,
                "{} of {}",
                found,
                document
            );
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}
