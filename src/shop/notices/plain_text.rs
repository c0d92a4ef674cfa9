//! HTML, as the client's editor writes it, turned to the text that a notification shows.

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// What is inside of these is no text.
const DROPPED: [&[u8]; 5] = [b"script", b"style", b"template", b"title", b"svg"];
/// What begins and ends a line.
const LINES: [&[u8]; 25] = [
    b"address",
    b"article",
    b"blockquote",
    b"br",
    b"dd",
    b"div",
    b"dl",
    b"dt",
    b"footer",
    b"h1",
    b"h2",
    b"h3",
    b"h4",
    b"h5",
    b"h6",
    b"header",
    b"hr",
    b"li",
    b"ol",
    b"p",
    b"pre",
    b"section",
    b"table",
    b"tr",
    b"ul",
];
/// What is apart from what is beside it.
const CELLS: [&[u8]; 2] = [b"td", b"th"];

/// The text of `html`: tags and comments left out, characters decoded, white space folded, one line for each block.
/// At most so many characters.
pub(super) fn plain_text(html: &str, most: usize) -> String {
    let mut emitter = DefaultEmitter::default();
    // The contents of scripts and styles are not looked into for tags.
    emitter.naively_switch_states(true);
    let mut text = Folded::default();
    let mut dropping: Option<Vec<u8>> = None;
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match (&dropping, token) {
            (Some(name), Token::EndTag(tag)) if **tag.name == **name => dropping = None,
            (Some(_), _) => {}
            (None, Token::StartTag(tag)) => {
                let name: &[u8] = &tag.name;
                if DROPPED.contains(&name) && !tag.self_closing {
                    dropping = Some(name.to_vec());
                }
                text.at_tag(name);
                if name == b"li" {
                    text.push("• ");
                }
            }
            (None, Token::EndTag(tag)) => text.at_tag(&tag.name),
            (None, Token::String(characters)) => text.push(&String::from_utf8_lossy(&characters)),
            (None, _) => {}
        }
        if text.characters >= most {
            break;
        }
    }
    let end = text.text.char_indices().nth(most).map_or(text.text.len(), |(at, _)| at);
    text.text.truncate(end);
    let end = text.text.trim_end().len();
    text.text.truncate(end);
    text.text
}

/// Text whose white space is written when more text comes.
#[derive(Default)]
struct Folded {
    text: String,
    characters: usize,
    space: Option<char>,
}

impl Folded {
    fn at_tag(&mut self, name: &[u8]) {
        if LINES.contains(&name) {
            self.space = Some('\n');
        } else if CELLS.contains(&name) {
            self.blank();
        }
    }

    fn blank(&mut self) {
        self.space.get_or_insert(' ');
    }

    fn push(&mut self, text: &str) {
        for character in text.chars() {
            // Of the characters that show nothing only the joiners mean something.
            if character.is_whitespace() {
                self.blank();
            } else if !character.is_control() {
                if let Some(space) = self.space.take()
                    && !self.text.is_empty()
                {
                    self.text.push(space);
                    self.characters += 1;
                }
                self.text.push(character);
                self.characters += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(html: &str, text: &str) {
        assert_eq!(plain_text(html, 1_000), text, "{html}");
    }

    #[test]
    fn what_the_editor_writes_becomes_lines() {
        check(
            "<div>Dos por <b>uno</b></div><div><br></div><div>hasta el lunes</div>",
            "Dos por uno\nhasta el lunes",
        );
        check("Hola<br>mundo", "Hola\nmundo");
        check("<p>A</p>\n\n<p>B</p>", "A\nB");
        check("<ul><li>uno</li><li>dos</li></ul>", "• uno\n• dos");
        check("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc");
        check("  sin   etiquetas\n y espacios  ", "sin etiquetas y espacios");
        check("", "");
    }

    #[test]
    fn characters_are_decoded_once() {
        check("Caf&eacute; &amp; t&#233; &lt;b&gt;&nbsp;5&nbsp;&euro;", "Café & té <b> 5 €");
        check("&amp;lt;", "&lt;");
        check("a &unknown; b & c", "a &unknown; b & c");
    }

    #[test]
    fn what_is_no_text_is_dropped() {
        check("a<script>alert('<b>x</b>')</script>b", "ab");
        check("a<style>p > b { color: red }</style>b", "ab");
        check("a<!-- no --><img src=x onerror=alert(1)>b", "ab");
        check("a<template><p>x</p></template>b", "ab");
        check("a<script>never closed", "a");
        check("1 < 2 <3", "1 < 2 <3");
        check("a\u{0}\u{7}b", "ab");
    }

    #[test]
    fn it_ends_where_it_must() {
        assert_eq!(plain_text("<p>ñandú y más</p>", 5), "ñandú");
        assert_eq!(plain_text("<p>ñandú y más</p>", 6), "ñandú");
        assert_eq!(plain_text(&"x".repeat(100_000), 4_000).len(), 4_000);
    }

    proptest! {
        #[test]
        fn whatever_comes_becomes_bounded_folded_text(html in "(?s)(<[a-z/!]{0,6}>?|&[a-z]{0,4};?|.|script){0,60}", most in 1_usize..80) {
            let text = plain_text(&html, most);
            prop_assert!(text.chars().count() <= most);
            prop_assert!(text.trim() == text && !text.contains("  ") && !text.contains("\n\n"));
        }
    }
}
