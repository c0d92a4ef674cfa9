//! Datamodels of other versions of Prisma, recognised before their every line is found wrong, and
//! braces that were lost.

use super::error::Findings;
use super::syntax::{Document, TypeText};

/// Prisma 2 and newer: blocks that Prisma 1 did not have.
const NEWER: [&str; 3] = ["datasource", "generator", "model"];

/// A schema of Prisma 2 or newer is one finding, at its first block.
pub(super) fn recognise_newer(text: &str, findings: &mut Findings) {
    let code = without_texts(text);
    let block = lines(&code).find_map(|(at, line)| {
        let word = NEWER.into_iter().find(|word| opens(line, word))?;
        Some((at, word))
    });
    if let Some((at, word)) = block {
        findings.add(
            at,
            format!("this is a schema of Prisma 2 or newer (`{word}`)"),
            "Gom reads the datamodel of Prisma 1.1: write `type Order { id: ID! @id name: String }`",
        );
    }
}

/// A datamodel 1.0, whose ids are `@unique`, is one finding, at its first type.
pub(super) fn recognise_older(document: &Document, findings: &mut Findings) {
    let has = |model: &TypeText, directive: &str| {
        model.fields.iter().any(|field| {
            field
                .directives
                .iter()
                .any(|found| found.name.value == directive)
        })
    };
    let old_id = |model: &TypeText| {
        model.fields.iter().any(|field| {
            field.name.value == "id"
                && field
                    .directives
                    .iter()
                    .any(|found| found.name.value == "unique")
        })
    };
    if document.types.iter().any(|model| has(model, "id")) {
        return;
    }
    if let Some(first) = document.types.iter().find(|model| old_id(model)) {
        findings.add(
            first.name.at,
            "this is a datamodel 1.0 of Prisma: its ids are `id: ID! @unique`",
            "three things make it a datamodel 1.1: write `@id` in place of `@unique` at each id; mark the times with `@createdAt` \
             and `@updatedAt`, and add `createdAt: DateTime! @createdAt` and `updatedAt: DateTime! @updatedAt` to each type, whose \
             columns 1.0 made by itself; and write `@relation(link: TABLE)` at one end of each relation, for 1.0 kept all links in \
             tables",
        );
    }
}

/// Where a `}` is missing, or one is too many. For texts with wrong syntax, where the parser's
/// error is about what follows.
pub(super) fn lost_brace(text: &str) -> Option<(usize, String, &'static str)> {
    let code = without_texts(text);
    let mut open: Option<(usize, String)> = None;
    // Braces within one, of values that are objects.
    let mut inner = 0_usize;
    for (number, (at, line)) in lines(&code).enumerate() {
        let begins = ["type", "enum"].into_iter().any(|word| opens(line, word));
        if let (true, Some((opened, name))) = (begins, &open) {
            let message =
                format!("`{name}`, which begins in line {opened}, has no `}}` before this");
            return Some((
                at + line.len() - line.trim_start().len(),
                message,
                "close it with `}`",
            ));
        }
        for (offset, brace) in line.char_indices() {
            match (brace, &open) {
                ('{', None) => {
                    let name = line[..offset].trim();
                    open = Some((
                        number + 1,
                        if name.is_empty() { "{" } else { name }.to_owned(),
                    ));
                }
                ('{', Some(_)) => inner += 1,
                ('}', Some(_)) if inner > 0 => inner -= 1,
                ('}', Some(_)) => open = None,
                ('}', None) => {
                    return Some((
                        at + offset,
                        "this `}` closes nothing".to_owned(),
                        "remove it",
                    ));
                }
                _ => {}
            }
        }
    }
    let (opened, name) = open?;
    Some((
        text.trim_end().len(),
        format!("`{name}`, which begins in line {opened}, has no `}}`"),
        "close it with `}`",
    ))
}

/// Whether a line begins a block: the word, a name, and a brace.
fn opens(line: &str, word: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix(word) else {
        return false;
    };
    let named = rest.trim_start();
    let name = named
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count();
    named.len() < rest.len() && name > 0 && named[name..].contains('{')
}

/// The lines with their byte offsets.
fn lines(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split_inclusive('\n').scan(0, |at, line| {
        let begin = *at;
        *at += line.len();
        Some((begin, line.trim_end()))
    })
}

const BLOCK: &str = "\"\"\"";

/// The text with blanks for comments and strings, byte for byte: what stands in them opens and
/// closes nothing.
fn without_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with(BLOCK) {
            rest[3..].find(BLOCK).map_or(rest.len(), |end| end + 6)
        } else if first == '"' {
            string_length(rest)
        } else if first == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(
            rest[..length]
                .bytes()
                .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
        );
        rest = &rest[length..];
    }
    code
}

/// Of the string at the start, which ends with its line if it has no end.
fn string_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return at + 1,
            '\n' => return at,
            '\\' => {
                characters.next();
            }
            _ => {}
        }
    }
    text.len()
}
