//! Escapes in strings that the parser does not support: characters beyond U+FFFF as a surrogate
//! pair (`\uD83D\uDE00`, which every writer of JSON makes), and by code point (`\u{1F600}`; GraphQL
//! of September 2025, section 2.9.4).

use std::borrow::Cow;

/// The text with those characters written out. What is no character is left for the parser to
/// refuse. Places behind one on the same line come to lie further left.
pub(super) fn expand_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '#']) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let length = if found.starts_with('#') {
            found.find('\n').unwrap_or(found.len())
        } else if found.starts_with("\"\"\"") {
            block_length(found)
        } else {
            let length = string_length(found);
            write_string(&mut out, &found[..length]);
            rest = &found[length..];
            continue;
        };
        out.push_str(&found[..length]);
        rest = &found[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Bytes of a string with its quotes; up to the end of the line where it is not closed.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'\n' | b'\r' => return at,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The same of a block string, in which only `\"""` is an escape.
fn block_length(text: &str) -> usize {
    let mut from = 3;
    while let Some(at) = text[from..].find("\"\"\"").map(|at| from + at) {
        if !text[..at].ends_with('\\') {
            return at + 3;
        }
        from = at + 3;
    }
    text.len()
}

fn write_string(out: &mut String, string: &str) {
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((character, length)) = character(rest) {
            // None of these needs an escape of its own but by code point.
            match character {
                '"' | '\\' | '\0'..='\u{1f}' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(character)))
                }
                _ => out.push(character),
            }
            rest = &rest[length..];
        } else {
            // With what follows it: a backslash may follow.
            let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out.push_str(rest);
}

/// The character of an escape that the parser does not support, and the escape's length in bytes.
fn character(escape: &str) -> Option<(char, usize)> {
    let digits = escape.strip_prefix("\\u")?;
    if let Some((digits, _)) = digits
        .strip_prefix('{')
        .and_then(|digits| digits.split_once('}'))
    {
        let character = char::from_u32(number(digits)?)?;
        return Some((character, "\\u{}".len() + digits.len()));
    }
    let (high, low) = (
        digits.get(..4)?,
        digits.get(4..)?.strip_prefix("\\u")?.get(..4)?,
    );
    let units = [
        u16::try_from(number(high)?).ok()?,
        u16::try_from(number(low)?).ok()?,
    ];
    // Two characters of the parser's own are none of ours.
    let character = char::decode_utf16(units)
        .next()?
        .ok()
        .filter(|c| c.len_utf16() == 2)?;
    Some((character, "\\u0000\\u0000".len()))
}

/// A hexadecimal number without a sign.
fn number(digits: &str) -> Option<u32> {
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_and_code_points_become_characters() {
        for (text, expected) in [
            (r#"{a(b:"\uD83D\uDE00")}"#, r#"{a(b:"😀")}"#),
            (
                r#"{a(b:"\ud83d\ude00x\u{1F600}\u{e9}")}"#,
                r#"{a(b:"😀x😀é")}"#,
            ),
            (r#""\u{22}\u{5C}\u{a}""#, r#""\u0022\u005c\u000a""#),
            // The parser's own, and what it refuses.
            (r#""\u00e9\u0041""#, r#""\u00e9\u0041""#),
            (r#""\uD83D""#, r#""\uD83D""#),
            (r#""\uDE00\uD83D""#, r#""\uDE00\uD83D""#),
            (r#""\uD83D\u0041""#, r#""\uD83D\u0041""#),
            (
                r#""\u{D83D}\u{110000}\u{}\u{+1}\u{1""#,
                r#""\u{D83D}\u{110000}\u{}\u{+1}\u{1""#,
            ),
            // A backslash that is escaped escapes nothing.
            (r#""\\uD83D\uDE00""#, r#""\\uD83D\uDE00""#),
            // No strings, or none in which this is an escape.
            ("# \\uD83D\\uDE00 \"\n{a}", "# \\uD83D\\uDE00 \"\n{a}"),
            (
                r#"{a(b:"""\uD83D\uDE00 \""" " """, c:"\u{41}")}"#,
                r#"{a(b:"""\uD83D\uDE00 \""" " """, c:"A")}"#,
            ),
            ("{a(b:\"\\u{41}\n\\u{41}\")}", "{a(b:\"A\n\\u{41}\")}"),
        ] {
            assert_eq!(expand_escapes(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_a_panic_or_changed_without_need(text in "([\"\\\\u{}#\n😀dD8cC0-9aé]|\"\"\"|\\\\uD83D){0,40}") {
            let once = expand_escapes(&text).into_owned();
            if !text.contains("\\u") {
                prop_assert_eq!(&once, &text);
            }
        }
    }
}
