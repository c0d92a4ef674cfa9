//! HTML, as the client's editor writes it, turned to the text that a notification shows.

use std::borrow::Cow;

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// What is inside of these is no text. Those of one name may stand in each other.
const DROPPED: [&[u8]; 5] = [SVG, b"script", b"style", b"template", TITLE];
const SVG: &[u8] = b"svg";
const TITLE: &[u8] = b"title";
/// Characters that turn the direction of what follows: a promotion's text must not rearrange the words around it.
const BIDI_CONTROLS: [char; 12] = [
    '\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];
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
/// At most so many characters. A drawing or title whose end tag is missing hides nothing of what follows.
pub(super) fn plain_text(html: &str, most: usize) -> String {
    let html = without_unclosed_titles(html);
    let mut emitter = DefaultEmitter::default();
    // The contents of scripts and styles are not looked into for tags.
    emitter.naively_switch_states(true);
    let mut text = Folded::new(most);
    // How many of each of `DROPPED` are open.
    let mut open = [0_usize; DROPPED.len()];
    let mut before_drawing = None;
    for token in Tokenizer::new_with_emitter(html.as_ref(), emitter) {
        let Ok(token) = token;
        let [drawings, others @ ..] = &open;
        let (drawing, hidden) = (*drawings > 0, others.iter().any(|count| *count > 0));
        match token {
            Token::StartTag(tag) => {
                let name: &[u8] = &tag.name;
                if let Some(kind) = DROPPED.iter().position(|dropped| *dropped == name)
                    && !tag.self_closing
                {
                    open[kind] += 1;
                    if name == SVG && !drawing {
                        before_drawing = Some(text.mark());
                    }
                }
                if !hidden {
                    text.at_tag(name);
                    if name == b"li" {
                        text.push("• ");
                    }
                }
            }
            Token::EndTag(tag) => {
                let name: &[u8] = &tag.name;
                if let Some(kind) = DROPPED.iter().position(|dropped| *dropped == name) {
                    open[kind] = open[kind].saturating_sub(1);
                    if name == SVG
                        && open[kind] == 0
                        && let Some(mark) = before_drawing.take()
                    {
                        text.back_to(mark);
                    }
                } else if !hidden {
                    text.at_tag(name);
                }
            }
            Token::String(characters) if !hidden => {
                text.push(&String::from_utf8_lossy(&characters))
            }
            _ => {}
        }
        // What a drawing holds may have to be taken back.
        if text.is_full() && before_drawing.is_none() {
            break;
        }
    }
    text.finish()
}

/// Of titles everything up to the end tag is text; where there is none, that would be the rest.
fn without_unclosed_titles(html: &str) -> Cow<'_, str> {
    const TAG: &str = "<title";
    // Letters of ASCII alone change: places stay the same.
    let lower = html.to_ascii_lowercase();
    let closed = lower.rfind("</title").map_or(0, |end| end + 1);
    let mut unclosed = lower[closed..]
        .match_indices(TAG)
        .map(|(at, _)| closed + at)
        .peekable();
    if unclosed.peek().is_none() {
        return Cow::Borrowed(html);
    }
    let (mut kept, mut from) = (String::with_capacity(html.len()), 0);
    for at in unclosed {
        if at >= from {
            kept.push_str(&html[from..at]);
            from = html[at..].find('>').map_or(html.len(), |end| at + end + 1);
        }
    }
    kept.push_str(&html[from..]);
    Cow::Owned(kept)
}

/// Text whose white space is written when more text comes.
struct Folded {
    text: String,
    characters: usize,
    most: usize,
    space: Option<char>,
}

/// A place in a text to which it can be taken back.
struct Mark {
    bytes: usize,
    characters: usize,
    space: Option<char>,
}

impl Folded {
    fn new(most: usize) -> Self {
        Folded {
            text: String::new(),
            characters: 0,
            most,
            space: None,
        }
    }

    fn mark(&self) -> Mark {
        Mark {
            bytes: self.text.len(),
            characters: self.characters,
            space: self.space,
        }
    }

    fn back_to(&mut self, mark: Mark) {
        self.text.truncate(mark.bytes);
        (self.characters, self.space) = (mark.characters, mark.space);
    }

    fn is_full(&self) -> bool {
        self.characters >= self.most
    }

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
            if self.is_full() {
                return;
            }
            // Of the characters that show nothing only the joiners mean something.
            if character.is_whitespace() {
                self.blank();
            } else if !character.is_control() && !BIDI_CONTROLS.contains(&character) {
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

    fn finish(self) -> String {
        let Folded { mut text, most, .. } = self;
        let end = text
            .char_indices()
            .nth(most)
            .map_or(text.len(), |(at, _)| at);
        text.truncate(end);
        let end = text.trim_end().len();
        text.truncate(end);
        text
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
        check(
            "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            "a b\nc",
        );
        check(
            "  sin   etiquetas\n y espacios  ",
            "sin etiquetas y espacios",
        );
        check("", "");
    }

    #[test]
    fn characters_are_decoded_once() {
        check(
            "Caf&eacute; &amp; t&#233; &lt;b&gt;&nbsp;5&nbsp;&euro;",
            "Café & té <b> 5 €",
        );
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
    fn the_end_of_an_inner_template_or_drawing_does_not_end_the_outer_one() {
        check("a<template><template></template>secret</template>b", "ab");
        check("a<svg><svg></svg>text</svg>b", "ab");
        check("a<svg><template></svg>b</template>c", "ac");
        check("a<svg/>b", "ab");
    }

    #[test]
    fn a_title_or_drawing_that_is_never_closed_hides_nothing() {
        check("a <title>b <p>c</p>", "a b\nc");
        check("<title>x</title>a<TITLE lang=es>b", "ab");
        check("a <title", "a");
        check("a<svg><circle r=1>b<p>c</p>", "ab\nc");
        check("a<svg><script>no</script>b", "ab");
        check("a<svg><svg>x</svg>b", "axb");
        assert_eq!(plain_text("ab<svg>cdefgh</svg>ijkl", 5), "abijk");
    }

    #[test]
    fn no_text_turns_the_direction_of_what_is_around_it() {
        check("a\u{202e}b&#x202E;c\u{2066}d\u{200f}e", "abcde");
        check(
            "می\u{200c}خواهم 👩\u{200d}👧",
            "می\u{200c}خواهم 👩\u{200d}👧",
        );
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
