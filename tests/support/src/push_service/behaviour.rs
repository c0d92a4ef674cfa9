//! How a request is answered.

use std::time::{Duration, SystemTime};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// 201, or 413 above so many bytes.
    Limit(usize),
    /// 201, after a while.
    Slow(Duration),
    Hang,
    Reset,
    /// Bytes that are no HTTP.
    Garbage,
}

impl Behaviour {
    pub fn status(status: u16) -> Self {
        Behaviour::Answer {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Behaviour::Answer {
            status,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    /// 429 with `Retry-After` in seconds.
    pub fn retry_after(seconds: u64) -> Self {
        Behaviour::answer(
            429,
            &[("retry-after", &seconds.to_string())],
            "slower, please",
        )
    }

    /// 429 with `Retry-After` as a date.
    pub fn retry_at(at: SystemTime) -> Self {
        Behaviour::answer(
            429,
            &[("retry-after", &httpdate::fmt_http_date(at))],
            "slower, please",
        )
    }

    pub fn redirect(target: &str) -> Self {
        Behaviour::answer(307, &[("location", target)], "")
    }

    /// The behaviour that a path selects.
    pub(super) fn of_path(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/');
        let kind = parts.next().unwrap_or_default();
        let number = parts.next().and_then(|text| text.parse::<u64>().ok());
        match (kind, number) {
            ("status", Some(code)) if (200..=599).contains(&code) => Behaviour::status(code as u16),
            ("retry-after", Some(seconds)) => Behaviour::retry_after(seconds),
            ("retry-date", Some(seconds)) => {
                Behaviour::retry_at(SystemTime::now() + Duration::from_secs(seconds))
            }
            ("limit", Some(bytes)) => Behaviour::Limit(bytes as usize),
            ("slow", Some(ms)) => Behaviour::Slow(Duration::from_millis(ms)),
            ("hang", _) => Behaviour::Hang,
            ("reset", _) => Behaviour::Reset,
            ("garbage", _) => Behaviour::Garbage,
            ("redirect", _) => Behaviour::redirect("https://127.0.0.1/"),
            _ => Behaviour::status(201),
        }
    }
}
