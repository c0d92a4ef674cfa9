//! A notification: its text, and how it is sent.

use std::time::Duration;

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation;

/// How soon a device that saves its battery is to be woken (RFC 8030, section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// `very-low`: on power and Wi-Fi.
    VeryLow,
    /// `low`: on either.
    Low,
    /// `normal`: on neither.
    Normal,
    /// `high`: also with a low battery.
    High,
}

impl Urgency {
    /// As the header and the ledger have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Urgency::VeryLow => "very-low",
            Urgency::Low => "low",
            Urgency::Normal => "normal",
            Urgency::High => "high",
        }
    }

    /// The urgency of that name.
    pub fn of(name: &str) -> Option<Self> {
        [
            Urgency::VeryLow,
            Urgency::Low,
            Urgency::Normal,
            Urgency::High,
        ]
        .into_iter()
        .find(|urgency| urgency.as_str() == name)
    }
}

/// A notification and its recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `data.type`: a word of the application's.
    pub kind: String,
    /// `data.uid`: the id of what it is about.
    pub node: String,
    /// `data.operation`: `create` or `update`.
    pub operation: Option<String>,
    /// The first line that the browser shows. Shortened if the message would be too long.
    pub title: String,
    /// The text below the title. Shortened if the message would be too long.
    pub body: String,
    /// The `sub` of each recipient.
    pub recipients: Vec<String>,
    /// The place of the last of them among all, if there are more: the composer knows what it means.
    pub next: Option<String>,
    /// How long push services keep it for a device that is away, and how long it is tried.
    pub ttl: Duration,
    /// How soon it is to wake a device that saves its battery.
    pub urgency: Urgency,
    /// A later message with the same topic replaces one that still waits at the push service. At most 32 characters of
    /// base64url.
    pub topic: Option<String>,
}

/// The text of a notification, before it is made to fit into a message.
#[derive(Debug)]
pub(super) struct Text<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub data: Data<'a>,
}

/// A message's plaintext, as service workers read it.
#[derive(Serialize)]
struct Payload<'a> {
    title: &'a str,
    body: &'a str,
    /// For `showNotification`: a notification with the tag of one that is shown replaces it. A worker that knows no `tag` here
    /// makes the same one of `data`.
    tag: &'a str,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Data<'a> {
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<&'a str>,
}

/// What stands where a text was cut.
const ELLIPSIS: char = '…';

impl Text<'_> {
    /// JSON of at most `limit` bytes: of a text that is too long the body is cut, then the title. What cannot be made
    /// to fit stays longer, and is refused when it is encrypted.
    pub fn fit(&self, limit: usize) -> Vec<u8> {
        let whole = self.json(self.title, self.body);
        if whole.len() <= limit {
            return whole;
        }
        let without_body = self.json(self.title, "").len();
        if without_body + ELLIPSIS.len_utf8() <= limit {
            return self.json(self.title, &cut(self.body, limit - without_body));
        }
        let bare = self.json("", "").len();
        self.json(&cut(self.title, limit.saturating_sub(bare)), "")
    }

    fn json(&self, title: &str, body: &str) -> Vec<u8> {
        let tag = format!("{}:{}", self.data.kind, self.data.uid);
        let payload = Payload {
            title,
            body,
            tag: &tag,
            data: Data { ..self.data },
        };
        // Strings under fixed keys: nothing in them can fail.
        serde_json::to_vec(&payload).unwrap_or_default()
    }
}

/// The beginning of a text that takes at most `room` bytes in JSON, the mark of the cut included. Cut between grapheme
/// clusters, so that no flag, family or accented letter is shown in part.
fn cut(text: &str, room: usize) -> String {
    let mut left = room.saturating_sub(ELLIPSIS.len_utf8());
    let mut kept = String::new();
    for cluster in text.graphemes(true) {
        let bytes: usize = cluster.chars().map(escaped_len).sum();
        if bytes > left {
            if kept.is_empty() {
                // A letter under more marks than a message can carry: better a part of it than nothing.
                kept.extend(
                    cluster
                        .chars()
                        .take_while(|character| take(&mut left, escaped_len(*character))),
                );
            }
            break;
        }
        left -= bytes;
        kept.push_str(cluster);
    }
    let end = kept.trim_end().len();
    kept.truncate(end);
    kept.push(ELLIPSIS);
    kept
}

/// Takes so much of what is left, if there is as much.
fn take(left: &mut usize, bytes: usize) -> bool {
    let fits = bytes <= *left;
    if fits {
        *left -= bytes;
    }
    fits
}

/// How many bytes a character takes in a JSON string as serde_json writes it.
fn escaped_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(title: &'a str, body: &'a str) -> Text<'a> {
        Text {
            title,
            body,
            data: Data {
                kind: "order",
                uid: "u1",
                operation: Some("create"),
            },
        }
    }

    #[test]
    fn a_message_carries_its_tag_and_what_older_workers_read() {
        let json =
            String::from_utf8(text("Pedido nuevo", "Tienes un nuevo pedido: «A»").fit(3_052))
                .unwrap();
        assert_eq!(
            json,
            r#"{"title":"Pedido nuevo","body":"Tienes un nuevo pedido: «A»","tag":"order:u1","data":{"type":"order","uid":"u1","operation":"create"}}"#
        );
    }

    #[test]
    fn a_text_is_never_cut_within_what_is_one_character_to_a_reader() {
        for cluster in ["👩‍👩‍👧‍👦", "🇲🇽", "é", "क्षि", "👍🏽"] {
            let body = cluster.repeat(400);
            for room in ELLIPSIS.len_utf8() + cluster.len()..120 {
                let kept = cut(&body, room);
                let kept = kept.strip_suffix(ELLIPSIS).unwrap();
                let whole = kept.len() / cluster.len();
                assert!(kept == cluster.repeat(whole), "{cluster} in {room}: {kept}");
                assert_eq!(whole, (room - ELLIPSIS.len_utf8()) / cluster.len());
            }
        }
    }

    #[test]
    fn a_letter_under_too_many_marks_is_shown_in_part() {
        let body = format!("a{}", "\u{301}".repeat(4_000));
        assert_eq!(cut(&body, 8), "a\u{301}\u{301}…");
    }

    #[test]
    fn long_texts_are_cut_between_characters_and_stay_json() {
        let bodies = [
            "ñ".repeat(4_000),
            "\"\\\n".repeat(3_000),
            "a\u{1}😀 ".repeat(2_000),
            "x".repeat(3_052),
        ];
        for body in &bodies {
            for limit in [120, 121, 122, 123, 124, 500, 1_000, 3_050, 3_052] {
                let json = text("Título", body).fit(limit);
                assert!(
                    json.len() <= limit && json.len() + 12 > limit,
                    "{} of {limit}",
                    json.len()
                );
                let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
                let cut = read["body"].as_str().unwrap().strip_suffix('…').unwrap();
                assert!(body.starts_with(cut));
                assert_eq!(read["title"], "Título");
            }
        }
    }

    #[test]
    fn a_title_alone_may_be_too_long_as_well() {
        let json = text(&"T".repeat(5_000), "body").fit(3_052);
        let read: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((json.len(), read["body"].as_str()), (3_052, Some("")));
        assert!(read["title"].as_str().unwrap().ends_with("T…"));
    }
}
