//! One statement for many executions of the same one: each with its own parameters, as rows of an `unnest`.

use super::{Param, Statement};

/// The rows of parameters, in the statement's own text. No alias of a planned statement is like it.
const ROWS: &str = "gom_rows";

/// One statement that answers what a statement's text answers for each of these lists of parameters, in one row each: the place of
/// the list from 1, as text, and the first column of the text's first row, or null. `types`: the names of the parameters' types,
/// quoted where they need it.
///
/// ```
/// use gom_engine::sql::{Param, together};
///
/// let lists = [vec![Param::from("a")], vec![Param::from("b")]];
/// let lists: Vec<&[Param]> = lists.iter().map(Vec::as_slice).collect();
/// let one = together("select name from t where id = $1", &["text".to_owned()], &lists).unwrap();
/// assert!(one.sql.contains("where id = gom_rows.c1::text"));
/// assert_eq!(one.params, [Param::from("{\"a\",\"b\"}")]);
/// ```
///
/// `None`: the text cannot be executed like this, for it has no parameters, or lists differ in length from the types, or a list has a
/// register.
pub fn together(sql: &str, types: &[String], lists: &[&[Param]]) -> Option<Statement> {
    if types.is_empty() || lists.iter().any(|list| list.len() != types.len()) {
        return None;
    }
    let inner = with_columns(sql, types)?;
    let (mut arrays, mut columns) = (Vec::new(), Vec::new());
    for number in 1..=types.len() {
        arrays.push(format!("${number}::text[]"));
        columns.push(format!("c{number}"));
    }
    let (arrays, columns) = (arrays.join(", "), columns.join(", "));
    let sql = format!(
        "select {ROWS}.place::text, gom_one.answer from unnest({arrays}) with ordinality as {ROWS}({columns}, place) \
         left join lateral (select * from ({inner}) as gom_all limit 1) as gom_one(answer) on true"
    );
    let of_column = |column: usize| array_of(lists.iter().map(|list| &list[column]));
    let params = (0..types.len()).map(of_column).collect::<Option<_>>()?;
    Some(Statement { sql, params })
}

/// PostgreSQL's text form of an array of texts and nulls.
fn array_of<'a>(params: impl Iterator<Item = &'a Param>) -> Option<Param> {
    let mut out = String::from("{");
    for (place, param) in params.enumerate() {
        if place > 0 {
            out.push(',');
        }
        match param {
            Param::Null => out.push_str("NULL"),
            Param::Text(text) => {
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
            Param::Register(_) => return None,
        }
    }
    out.push('}');
    Some(Param::Text(out))
}

/// The text with a column in place of each placeholder. Names and literals are passed over.
fn with_columns(sql: &str, types: &[String]) -> Option<String> {
    let mut out = String::with_capacity(sql.len() + 32 * types.len());
    let mut rest = sql;
    while let Some(at) = rest.find(['\'', '"', '$']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = match from.as_bytes()[0] {
            b'"' => end_of_quoted(from, b'"', false)?,
            b'\'' => {
                let escapes = before.ends_with(['E', 'e']);
                end_of_quoted(from, b'\'', escapes)?
            }
            _ => {
                let digits = from[1..].bytes().take_while(u8::is_ascii_digit).count();
                let number: usize = from[1..=digits].parse().ok()?;
                let name = types.get(number.checked_sub(1)?)?;
                out.push_str(&format!("{ROWS}.c{number}::{name}"));
                rest = &from[1 + digits..];
                continue;
            }
        };
        out.push_str(&from[..length]);
        rest = &from[length..];
    }
    out.push_str(rest);
    Some(out)
}

/// The bytes of a quoted name or literal at the beginning of a text.
fn end_of_quoted(text: &str, quote: u8, escapes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match *bytes.get(at)? {
            b'\\' if escapes => at += 2,
            // A doubled one is one of the text.
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(sql: &str) -> Option<String> {
        with_columns(sql, &["text".to_owned(), "pg_catalog.\"_int4\"".to_owned()])
    }

    #[test]
    fn placeholders_become_columns_and_what_is_quoted_stays() {
        assert_eq!(
            columns(
                r#"select "$1""$2", '$1''$2', E'\'$1', "a" from t where x = $1 and y = any($2)"#
            )
            .unwrap(),
            "select \"$1\"\"$2\", '$1''$2', E'\\'$1', \"a\" from t where x = gom_rows.c1::text and y = any(gom_rows.c2::pg_catalog.\"_int4\")"
        );
        // There is no such parameter, or the text is none of ours.
        for bad in ["select $3", "select $$a$$", "select 'a", "select $0"] {
            assert_eq!(columns(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_parameter_is_an_array_with_nulls_and_quotes() {
        let lists = [
            vec![Param::from("a\"\\,{}"), Param::Null],
            vec![Param::Null, Param::from("NULL")],
        ];
        let lists: Vec<&[Param]> = lists.iter().map(Vec::as_slice).collect();
        let types = ["text".to_owned(), "text".to_owned()];
        let one = together("select $1 || $2", &types, &lists).unwrap();
        assert_eq!(
            one.params,
            [
                Param::from(r#"{"a\"\\,{}",NULL}"#),
                Param::from(r#"{NULL,"NULL"}"#)
            ]
        );
        assert_eq!(together("select 1", &[], &[]), None);
        assert_eq!(together("select $1", &types[..1], &lists), None);
    }
}
