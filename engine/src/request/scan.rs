//! Measures a document's text before it is parsed: how many tokens it has and how deep its brackets
//! nest. The parser is recursive, so nesting must be bounded before it runs; everything else about
//! the syntax is the parser's business. Knows no schema.

use std::collections::HashSet;

use crate::error::Position;

/// Brackets of any kind that may be open at once. The parser recurses for each; so many fit the 2
/// MiB stack of a worker's thread, which the tests of soundness run on.
pub(super) const MAX_NESTING: usize = 100;

/// What was seen in one pass over the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Scan {
    /// Punctuators, names, numbers and strings; commas and comments are none.
    pub tokens: usize,
}

/// Why a text is not worth parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScanError {
    /// More than `max_tokens`.
    Tokens,
    /// More than [`MAX_NESTING`] open brackets.
    Nesting(Position),
    /// An input object literal gives a key twice. The parser keeps the last one only, so it must be
    /// seen here.
    DuplicateKey(String, Position),
}

/// One pass over `text`, which may be anything.
pub(super) fn scan(text: &str, max_tokens: usize) -> Result<Scan, ScanError> {
    Scanner {
        text,
        at: 0,
        open: Vec::new(),
        parentheses: 0,
        tokens: 0,
    }
    .run(max_tokens)
}

/// An open bracket; for an input object literal the keys seen so far.
enum OpenBracket<'a> {
    Parenthesis,
    Other,
    Object(HashSet<&'a str>),
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: Vec<OpenBracket<'a>>,
    parentheses: usize,
    tokens: usize,
}

impl<'a> Scanner<'a> {
    fn run(mut self, max_tokens: usize) -> Result<Scan, ScanError> {
        while let Some(byte) = self.peek() {
            let start = self.at;
            self.at += 1;
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => continue,
                b'#' => {
                    self.skip_while(|b| b != b'\n' && b != b'\r');
                    continue;
                }
                b'"' => self.skip_string(),
                b'{' | b'[' | b'(' => self.open(byte)?,
                b'}' | b']' | b')' => self.close(),
                b'.' => self.skip_while(|b| b == b'.'),
                b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                    self.skip_while(is_name_byte);
                    self.name(start)?;
                }
                b'-' | b'0'..=b'9' => {
                    self.skip_while(|b| is_name_byte(b) || matches!(b, b'.' | b'+' | b'-'));
                }
                _ => {}
            }
            self.tokens += 1;
            if self.tokens > max_tokens {
                return Err(ScanError::Tokens);
            }
        }
        Ok(Scan {
            tokens: self.tokens,
        })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// The opening quote has been read.
    fn skip_string(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(b"\"\"") {
            self.at += 2;
            while let Some(byte) = self.peek() {
                let rest = &self.text.as_bytes()[self.at..];
                if rest.starts_with(b"\\\"\"\"") {
                    self.at += 4;
                } else if rest.starts_with(b"\"\"\"") {
                    self.at += 3;
                    return;
                } else {
                    debug_assert_eq!(rest.first(), Some(&byte));
                    self.at += 1;
                }
            }
            return;
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' | b'\n' | b'\r' => return,
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    fn open(&mut self, byte: u8) -> Result<(), ScanError> {
        if self.open.len() >= MAX_NESTING {
            return Err(ScanError::Nesting(position(self.text, self.at - 1)));
        }
        self.open.push(match byte {
            b'(' => {
                self.parentheses += 1;
                OpenBracket::Parenthesis
            }
            // Braces inside of parentheses can only be input object literals.
            b'{' if self.parentheses > 0 => OpenBracket::Object(HashSet::new()),
            _ => OpenBracket::Other,
        });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(OpenBracket::Parenthesis) = self.open.pop() {
            self.parentheses -= 1;
        }
    }

    fn name(&mut self, start: usize) -> Result<(), ScanError> {
        let end = self.at;
        if let Some(OpenBracket::Object(keys)) = self.open.last_mut()
            && is_followed_by_colon(&self.text.as_bytes()[end..])
        {
            // Within an object literal a name before a colon is always a key: values hold no colon.
            let key = &self.text[start..end];
            if !keys.insert(key) {
                return Err(ScanError::DuplicateKey(
                    key.to_owned(),
                    position(self.text, start),
                ));
            }
        }
        Ok(())
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn is_followed_by_colon(rest: &[u8]) -> bool {
    let mut bytes = rest.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
            b'#' => {
                for byte in bytes.by_ref() {
                    if byte == b'\n' || byte == b'\r' {
                        break;
                    }
                }
            }
            byte => return byte == b':',
        }
    }
    false
}

fn position(text: &str, at: usize) -> Position {
    let before = &text.as_bytes()[..at];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |i| i + 1);
    Position {
        line,
        column: String::from_utf8_lossy(&before[start..]).chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> usize {
        scan(text, usize::MAX).expect("nothing to refuse").tokens
    }

    #[test]
    fn counts_tokens_as_the_specification_does() {
        assert_eq!(tokens("{ a, b }"), 4);
        assert_eq!(tokens("# {{{{\n{ a(x: -1.5e+3, s: \"}}\\\"}\") ...F }"), 13);
        assert_eq!(tokens(r#"{ a(s: """ "quoted" \""" }}} """) }"#), 8);
        assert_eq!(tokens("\u{feff}{ a }"), 3);
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("\"never closed \\"), 1);
    }

    #[test]
    fn refuses_more_tokens_than_allowed() {
        assert_eq!(scan("{ a b c }", 5), Ok(Scan { tokens: 5 }));
        assert_eq!(scan("{ a b c }", 4), Err(ScanError::Tokens));
    }

    #[test]
    fn refuses_deep_nesting_of_any_bracket() {
        for bracket in ["{", "[", "("] {
            assert!(scan(&bracket.repeat(MAX_NESTING), usize::MAX).is_ok());
            let refusal = scan(&bracket.repeat(MAX_NESTING + 1), usize::MAX);
            assert_eq!(
                refusal,
                Err(ScanError::Nesting(Position {
                    line: 1,
                    column: MAX_NESTING + 1
                }))
            );
        }
    }

    #[test]
    fn sees_a_key_given_twice_in_an_object_literal_only() {
        let twice = scan("{ a(x: {\n k: 1, l: {k: 2}\n k # c\n : 3}) }", usize::MAX);
        assert_eq!(
            twice,
            Err(ScanError::DuplicateKey(
                "k".into(),
                Position { line: 3, column: 2 }
            ))
        );
        assert!(scan("{ k: a k: b }", usize::MAX).is_ok());
        assert!(scan("{ a(x: [{k: 1}, {k: k}]) { k: b } }", usize::MAX).is_ok());
    }
}
