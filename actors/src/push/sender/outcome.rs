//! What became of a message, from what the push service answered.

use std::error::Error;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use gom_telemetry::causes::with_causes;

/// However long a service asks us to wait, it is asked again after a day.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Characters of a service's own words.
const WORDS: usize = 200;

/// What became of one attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The push service has it.
    Delivered {
        /// Of the HTTP answer.
        status: u16,
    },
    /// The subscription is no more.
    Gone {
        /// Of the HTTP answer.
        status: u16,
    },
    /// Over the limit, ours or the service's.
    TooLarge,
    /// It may work another time. Without a status there was no answer, and whether the message arrived is not known.
    Later {
        /// Of the HTTP answer, if there was one.
        status: Option<u16>,
        /// What the push service suggests to wait.
        retry_after: Option<Duration>,
        /// The push service's words, or why there was no answer.
        reason: String,
    },
    /// The push service does not accept who this server says it is: its keys, its clock or its contact are at fault, unless
    /// the device subscribed for another server's key.
    Unauthorized {
        /// Of the HTTP answer.
        status: u16,
        /// The push service's words.
        reason: String,
    },
    /// It will not work.
    Refused {
        /// Of the HTTP answer, if there was one.
        status: Option<u16>,
        /// The push service's words, or why nothing was sent.
        reason: String,
    },
}

impl Outcome {
    /// What spans say of it.
    pub(in crate::push) fn name(&self) -> &'static str {
        match self {
            Outcome::Delivered { .. } => "delivered",
            Outcome::Gone { .. } => "gone",
            Outcome::TooLarge => "too_large",
            Outcome::Later { .. } => "later",
            Outcome::Unauthorized { .. } => "unauthorized",
            Outcome::Refused { .. } => "refused",
        }
    }

    pub(super) fn refused(status: Option<u16>, reason: impl Into<String>) -> Self {
        Outcome::Refused {
            status,
            reason: reason.into(),
        }
    }

    pub(super) fn later(
        status: Option<u16>,
        retry_after: Option<Duration>,
        reason: impl Into<String>,
    ) -> Self {
        Outcome::Later {
            status,
            retry_after,
            reason: reason.into(),
        }
    }
}

/// `hidden` is the endpoint's path, which lets anybody send to the device: no reason repeats it.
pub(super) fn of_answer(
    status: StatusCode,
    headers: &HeaderMap,
    text: &[u8],
    hidden: &str,
    now: SystemTime,
) -> Outcome {
    let code = status.as_u16();
    match code {
        200..=299 => Outcome::Delivered { status: code },
        404 | 410 => Outcome::Gone { status: code },
        413 => Outcome::TooLarge,
        401 | 403 => Outcome::Unauthorized {
            status: code,
            reason: reason(status, text, hidden),
        },
        // 406: Windows' service says so when a channel has had too many (and may say until when).
        406 | 408 | 425 | 429 | 500..=599 => {
            let wait = headers
                .get(RETRY_AFTER)
                .and_then(|value| retry_after(value.to_str().ok()?, now));
            Outcome::later(Some(code), wait, reason(status, text, hidden))
        }
        300..=399 => Outcome::refused(Some(code), format!("{status}: redirects are not followed")),
        _ => Outcome::refused(Some(code), reason(status, text, hidden)),
    }
}

/// What a user's ledger says of an endpoint from which no answer came, whatever was in the way: that its name is unknown, leads
/// inside or to a port where nothing listens would show strangers networks that they cannot see. It is retried in
/// each case, for one that is given up at once would tell the same.
const UNREACHED: &str = "the push service cannot be reached";

pub(super) fn unreached() -> Outcome {
    Outcome::later(None, None, UNREACHED)
}

/// For the operator's log.
pub(super) fn cause_of(error: &reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {} ms", timeout.as_millis());
    }
    // The outermost error names the address.
    let mut text = if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "no answer".to_owned()
    };
    if let Some(cause) = error.source() {
        text = format!("{text}: {}", with_causes(cause));
    }
    cut(&text)
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time.
        value.parse().map_or(MAX_WAIT, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value)
            .ok()?
            .duration_since(now)
            .unwrap_or(Duration::ZERO)
    };
    Some(wait.min(MAX_WAIT))
}

/// Characters from which on a run may be a token; the longest words of any message are shorter.
const TOKEN: usize = 24;

fn reason(status: StatusCode, text: &[u8], hidden: &str) -> String {
    let text = String::from_utf8_lossy(text);
    let text = if hidden.len() > 1 {
        text.replace(hidden, "…")
    } else {
        text.into_owned()
    };
    let words = cut(&without_tokens(&text));
    if words.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {words}")
    }
}

/// Without anything that might be a part of an endpoint: a long run of what tokens and URLs are made of.
fn without_tokens(text: &str) -> String {
    let belongs = |letter: char| letter.is_ascii_alphanumeric() || "-_%=.~+/:?&".contains(letter);
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|letter| !belongs(letter)).unwrap_or(rest.len());
        kept.push_str(if run >= TOKEN { "…" } else { &rest[..run] });
        let after = rest[run..]
            .find(belongs)
            .map_or(rest.len(), |next| run + next);
        kept.push_str(&rest[run..after]);
        rest = &rest[after..];
    }
    kept
}

/// On one line, without control characters, not too long.
fn cut(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: u16, retry_after: Option<&str>, text: &str) -> Outcome {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        let now = httpdate::parse_http_date("Wed, 25 Nov 2026 00:00:00 GMT").unwrap();
        of_answer(
            StatusCode::from_u16(code).unwrap(),
            &headers,
            text.as_bytes(),
            "/push/secret",
            now,
        )
    }

    #[test]
    fn each_status_has_its_meaning() {
        for code in [200, 201, 202, 204] {
            assert_eq!(outcome(code, None, ""), Outcome::Delivered { status: code });
        }
        for code in [404, 410] {
            assert_eq!(outcome(code, None, ""), Outcome::Gone { status: code });
        }
        assert_eq!(outcome(413, None, ""), Outcome::TooLarge);
        for code in [406, 408, 425, 429, 500, 502, 503, 504] {
            assert!(
                matches!(outcome(code, None, ""), Outcome::Later { status: Some(it), .. } if it == code)
            );
        }
        for code in [401, 403] {
            assert!(
                matches!(outcome(code, None, ""), Outcome::Unauthorized { status, .. } if status == code)
            );
        }
        for code in [301, 302, 307, 308, 400, 405, 422] {
            assert!(
                matches!(outcome(code, None, ""), Outcome::Refused { status: Some(it), .. } if it == code)
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_a_day_at_most() {
        let day = 24 * 60 * 60;
        for (value, seconds) in [
            ("7", Some(7)),
            (" 90 ", Some(90)),
            ("Wed, 25 Nov 2026 00:01:00 GMT", Some(60)),
            ("Tue, 24 Nov 2026 23:00:00 GMT", Some(0)),
            ("Wed, 25 Nov 2037 00:01:00 GMT", Some(day)),
            ("99999999999999999999999", Some(day)),
            ("soon", None),
            ("-5", None),
        ] {
            let Outcome::Later { retry_after, .. } = outcome(429, Some(value), "") else {
                panic!("later")
            };
            assert_eq!(retry_after, seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn reasons_are_one_short_line_without_the_endpoint() {
        let long = format!("bad\r\n\x1b[31m /push/secret {}", "xx ".repeat(2_000));
        let Outcome::Refused { reason, .. } = outcome(400, None, &long) else {
            panic!("refused")
        };
        assert!(
            reason.starts_with("400 Bad Request: bad [31m … xx xx"),
            "{reason}"
        );
        assert!(reason.chars().count() < 250);
        assert!(!reason.contains(char::is_control));
    }
}
