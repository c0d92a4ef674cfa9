//! The parts of a JSON text as they are written: the members of an object, the elements of an array. Nothing is decoded but names,
//! so that numbers keep their digits and what is equal is found without being read.

use std::borrow::Cow;

/// A member of an object: its name, and its value as it is written.
pub(super) type Member<'a> = (Cow<'a, str>, &'a str);

/// The members of an object in their order; nothing if the text is no object.
pub(super) fn members(text: &str) -> Option<Vec<Member<'_>>> {
    let mut scanner = Scanner::inside(text, b'{')?;
    let mut members = Vec::new();
    while scanner.goes_on(b'}', members.is_empty())? {
        let name = scanner.name()?;
        scanner.expect(b':')?;
        members.push((name, scanner.value()?));
    }
    scanner.is_at_end().then_some(members)
}

/// The elements of an array; nothing if the text is none.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let mut scanner = Scanner::inside(text, b'[')?;
    let mut elements = Vec::new();
    while scanner.goes_on(b']', elements.is_empty())? {
        elements.push(scanner.value()?);
    }
    scanner.is_at_end().then_some(elements)
}

/// Reads a JSON text from its beginning. All that it looks for is ASCII, so that its places are those of whole characters.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn inside(text: &'a str, opening: u8) -> Option<Self> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.expect(opening)?;
        Some(scanner)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_spaces();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Whether another part follows, after a comma if it is not the first.
    fn goes_on(&mut self, closing: u8, is_first: bool) -> Option<bool> {
        self.skip_spaces();
        if self.peek()? == closing {
            self.at += 1;
            return Some(false);
        }
        if !is_first {
            self.expect(b',')?;
        }
        Some(true)
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.at == self.text.len()
    }

    fn name(&mut self) -> Option<Cow<'a, str>> {
        self.skip_spaces();
        let begin = self.at;
        self.string()?;
        let written = self.text.get(begin..self.at)?;
        if written.contains('\\') {
            return serde_json::from_str(written).ok().map(Cow::Owned);
        }
        written
            .strip_prefix('"')?
            .strip_suffix('"')
            .map(Cow::Borrowed)
    }

    /// A value, to its end.
    fn value(&mut self) -> Option<&'a str> {
        self.skip_spaces();
        let begin = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                _ => self.word()?,
            }
            if depth == 0 {
                return self.text.get(begin..self.at);
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// A number, or `true`, `false`, `null`.
    fn word(&mut self) -> Option<()> {
        let begin = self.at;
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b'-' | b'+' | b'.') || byte.is_ascii_alphanumeric())
        {
            self.at += 1;
        }
        (self.at > begin).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_they_are_written() {
        let text =
            " { \"a\" : 1.50 , \"b\\u0063\":[ 1,\n 2],\"\":{\"}\":\"]\\\"\"}, \"d\":null }\n";
        let found = members(text).unwrap();
        let expected = [
            ("a", "1.50"),
            ("bc", "[ 1,\n 2]"),
            ("", "{\"}\":\"]\\\"\"}"),
            ("d", "null"),
        ];
        assert_eq!(found.len(), expected.len());
        for ((name, value), expected) in found.iter().zip(expected) {
            assert_eq!((name.as_ref(), *value), expected);
        }
        assert_eq!(
            elements("[\"ö\", -1e5 ,[], {} ,true]").unwrap(),
            ["\"ö\"", "-1e5", "[]", "{}", "true"]
        );
        assert_eq!(elements("[]").unwrap(), Vec::<&str>::new());
        assert_eq!(members("{}").unwrap(), []);
    }

    #[test]
    fn what_is_no_json_has_no_parts() {
        for text in [
            "", "{", "[", "[1", "[1,", "[1}", "[1 2]", "[,1]", "[1]]", "[\"a]", "[\"a\\", "[}",
            "[1,]",
        ] {
            assert_eq!(elements(text), None, "{text}");
        }
        for text in [
            "[]",
            "{1:2}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\" 1}",
            "{\"\\ud800\":1}",
            "{\"a\":1}x",
        ] {
            assert_eq!(members(text), None, "{text}");
        }
    }
}
