//! The kinds of values that a setting may have: what is accepted, and how it reads when it is not.

use std::time::Duration;

use config::{Value, ValueKind};
use gom_actors::database::DatabaseOptions;
use gom_actors::push::Contact;

use super::address::{host_pattern, network, origin, time_zone, url};
use super::issuers;

/// What values a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// A file or folder, relative to the working directory.
    Path,
    /// A whole number within the bounds, both included.
    Integer {
        /// The least number.
        min: i64,
        /// The greatest number.
        max: i64,
    },
    /// A duration in whole milliseconds.
    Milliseconds {
        /// The shortest duration.
        min: i64,
        /// The longest duration.
        max: i64,
    },
    /// A duration in whole seconds.
    Seconds {
        /// The shortest duration.
        min: i64,
        /// The longest duration.
        max: i64,
    },
    /// A size in bytes.
    Bytes {
        /// The smallest size.
        min: i64,
        /// The largest size.
        max: i64,
    },
    /// `true` or `false`.
    Flag,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A filter for log lines, such as `info` or `gom=debug,warn`.
    LogFilter,
    /// A text that is never shown.
    Secret,
    /// A `postgres://` URL or a `key=value` connection string; it may hold a password and is shown without.
    DatabaseUrl,
    /// Where something is asked for over http: `https`, or `http` on this machine.
    Url,
    /// The beginning of a name: a letter, then letters, digits, `-` and `_`, 32 in all at most.
    Name,
    /// A list of networks (CIDR) and addresses.
    Networks,
    /// A list of origins, as browsers name them.
    Origins,
    /// A list of host names, each perhaps with `*.` in front.
    Hosts,
    /// A list of tables, each an issuer of access tokens; as text, JSON.
    Issuers,
    /// A time zone's name.
    TimeZone,
    /// Where somebody can be written to.
    Contact,
}

/// Why a value was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub remedy: String,
}

impl Kind {
    /// Reads a value that came as text (from the environment, a file of a secret, or the command line).
    pub(crate) fn read_text(self, text: &str) -> Result<ValueKind, Refusal> {
        let value = match self {
            Kind::Integer { .. }
            | Kind::Milliseconds { .. }
            | Kind::Seconds { .. }
            | Kind::Bytes { .. } => ValueKind::I64(
                text.trim()
                    .parse()
                    .map_err(|_| self.refuse(&format!("\"{text}\"")))?,
            ),
            Kind::Flag => match text.trim() {
                "true" | "1" | "yes" | "on" => ValueKind::Boolean(true),
                "false" | "0" | "no" | "off" => ValueKind::Boolean(false),
                _ => return Err(self.refuse(&format!("\"{text}\""))),
            },
            Kind::Networks | Kind::Origins | Kind::Hosts => list(
                text.split(',')
                    .map(str::trim)
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned),
            ),
            Kind::Issuers => {
                serde_json::from_str::<Value>(text)
                    .map_err(|error| self.refuse(&format!("text that is no JSON ({error})")))?
                    .kind
            }
            _ => ValueKind::String(text.to_owned()),
        };
        self.check(value)
    }

    /// Checks a value that came with a type (from a TOML file).
    pub(crate) fn check(self, value: ValueKind) -> Result<ValueKind, Refusal> {
        if let (ValueKind::Array(elements), Kind::Networks | Kind::Origins | Kind::Hosts) =
            (&value, self)
        {
            return self.check_list(elements);
        }
        if let (ValueKind::Array(elements), Kind::Issuers) = (&value, self) {
            return issuers::check(elements.clone()).map_err(|message| Refusal {
                message,
                remedy: format!("give {}", self.expectation()),
            });
        }
        let good = match (&value, self) {
            (
                ValueKind::I64(n),
                Kind::Integer { min, max }
                | Kind::Milliseconds { min, max }
                | Kind::Seconds { min, max }
                | Kind::Bytes { min, max },
            ) => (min..=max).contains(n),
            (ValueKind::Boolean(_), Kind::Flag) => true,
            (ValueKind::String(text), Kind::Choice(words)) => words.contains(&text.as_str()),
            (ValueKind::String(text), Kind::LogFilter) => {
                tracing_subscriber::EnvFilter::builder().parse(text).is_ok()
            }
            (ValueKind::String(text), Kind::DatabaseUrl) => {
                return DatabaseOptions::from_url(text)
                    .map(|_| value.clone())
                    .map_err(|error| {
                        let Refusal { message, remedy } = self.refuse("");
                        Refusal {
                            message: format!("{message}: {error}"),
                            remedy,
                        }
                    });
            }
            (ValueKind::String(text), Kind::Url) => url(text).is_some(),
            (ValueKind::String(text), Kind::TimeZone) => time_zone(text),
            (ValueKind::String(text), Kind::Name) => is_name(text),
            (ValueKind::String(text), Kind::Contact) => Contact::parse(text).is_ok(),
            (ValueKind::String(text), Kind::Text | Kind::Path | Kind::Secret) => !text.is_empty(),
            _ => false,
        };
        if good {
            Ok(value)
        } else {
            Err(self.refuse(&shown(&value)))
        }
    }

    /// Each element as it is used afterwards; the first that cannot be used is named.
    fn check_list(self, elements: &[Value]) -> Result<ValueKind, Refusal> {
        let read = |text: &str| match self {
            Kind::Networks => network(text).map(|network| network.to_string()),
            Kind::Hosts => host_pattern(text),
            _ => origin(text),
        };
        let checked = elements.iter().map(|element| match &element.kind {
            ValueKind::String(text) => {
                read(text).ok_or_else(|| self.refuse(&format!("\"{text}\"")))
            }
            other => Err(self.refuse(&shown(other))),
        });
        Ok(list(checked.collect::<Result<Vec<_>, _>>()?))
    }

    /// The value of a key that was set nowhere, where its field takes one.
    pub fn unset(self) -> Option<ValueKind> {
        matches!(
            self,
            Kind::Networks | Kind::Origins | Kind::Hosts | Kind::Issuers
        )
        .then(|| list([]))
    }

    /// A value as the settings' structs read it: durations carry their unit.
    pub(crate) fn as_field(self, value: ValueKind) -> ValueKind {
        let duration = match (self, &value) {
            (Kind::Milliseconds { .. }, ValueKind::I64(n)) => {
                u64::try_from(*n).map(Duration::from_millis)
            }
            (Kind::Seconds { .. }, ValueKind::I64(n)) => u64::try_from(*n).map(Duration::from_secs),
            _ => return value,
        };
        // Bounds of durations are not negative.
        let duration = duration.unwrap_or_default();
        let parts = [
            ("secs".to_owned(), Value::new(None, duration.as_secs())),
            (
                "nanos".to_owned(),
                Value::new(None, duration.subsec_nanos()),
            ),
        ];
        ValueKind::Table(parts.into_iter().collect())
    }

    /// Whether values must not be shown as they are.
    pub(crate) fn is_secret(self) -> bool {
        matches!(self, Kind::Secret | Kind::DatabaseUrl)
    }

    /// What is accepted, as the end of "expected …".
    pub(crate) fn expectation(self) -> String {
        match self {
            Kind::Text => "a text".into(),
            Kind::Path => "a path".into(),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Milliseconds { min, max } => format!("milliseconds, a whole number from {min} to {max}"),
            Kind::Seconds { min, max } => format!("seconds, a whole number from {min} to {max}"),
            Kind::Bytes { min, max } => format!("bytes, a whole number from {min} to {max}"),
            Kind::Flag => "true or false".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::LogFilter => "a log filter such as \"info\" or \"gom=debug,warn\"".into(),
            Kind::Secret => "a secret text".into(),
            Kind::DatabaseUrl => "a URL such as postgres://user:password@host:5432/database".into(),
            Kind::Url => {
                "a URL such as https://host/path; http only on this machine (localhost, 127.0.0.1), because \
                 secrets are sent there"
                    .into()
            }
            Kind::Networks => "a list of networks such as 10.0.0.0/8, fd00::/8 or 192.0.2.7".into(),
            Kind::Origins => "a list of origins such as https://shop.example, https://*.shop.example or http://localhost:8080".into(),
            Kind::Hosts => "a list of host names such as push.example or *.push.example".into(),
            Kind::Issuers => {
                "a list of tables (`[[auth.issuers]]`; in a variable, the same as JSON), each with `issuer` and `audiences`".into()
            }
            Kind::Name => "a letter, then letters, digits, - and _, 32 in all at most".into(),
            Kind::Contact => "a mailto: address or an https: URL".into(),
            Kind::TimeZone => "a time zone such as UTC or America/Mexico_City".into(),
        }
    }

    fn refuse(self, shown: &str) -> Refusal {
        let message = if self.is_secret() {
            "the value is not usable (it is not shown here)".into()
        } else {
            format!("{shown} is not usable")
        };
        Refusal {
            message,
            remedy: format!("give {}", self.expectation()),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn list(texts: impl IntoIterator<Item = String>) -> ValueKind {
    ValueKind::Array(
        texts
            .into_iter()
            .map(|text| Value::new(None, text))
            .collect(),
    )
}

pub(super) fn shown(value: &ValueKind) -> String {
    match value {
        ValueKind::String(text) => format!("\"{text}\""),
        ValueKind::Table(_) => "a table".into(),
        ValueKind::Array(elements) => {
            format!(
                "[{}]",
                elements
                    .iter()
                    .map(|element| shown(&element.kind))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Kind = Kind::Integer {
        min: 0,
        max: 65_535,
    };

    #[test]
    fn numbers_are_bounded_however_they_come() {
        assert_eq!(PORT.read_text("3000"), Ok(ValueKind::I64(3000)));
        assert!(PORT.read_text("65536").is_err());
        assert!(PORT.read_text("many").is_err());
        assert!(PORT.check(ValueKind::I64(-1)).is_err());
        assert!(
            PORT.check(ValueKind::String("3000".into())).is_err(),
            "a file must give a number"
        );
    }

    #[test]
    fn lists_come_as_text_or_as_lists_and_name_what_is_wrong() {
        let read = |kind: Kind, text| kind.read_text(text).map(|value| shown(&value));
        let proxies = read(Kind::Networks, "10.1.2.3/8, ::1,192.0.2.7").unwrap();
        assert_eq!(proxies, r#"["10.0.0.0/8", "::1/128", "192.0.2.7/32"]"#);
        let refusal = read(Kind::Networks, "10.0.0.0/8, 10.0.0.0/33").unwrap_err();
        assert_eq!(refusal.message, "\"10.0.0.0/33\" is not usable");
        assert!(
            Kind::Networks
                .check(ValueKind::String("::1".into()))
                .is_err(),
            "a file must give a list"
        );
        assert!(Kind::Networks.check(list(["::1".to_owned()])).is_ok());
        assert!(
            Kind::Networks
                .check(ValueKind::Array(vec![Value::new(None, 1)]))
                .is_err()
        );
        let hosts = read(Kind::Hosts, "FCM.googleapis.com, *.push.apple.com").unwrap();
        assert_eq!(hosts, r#"["fcm.googleapis.com", "*.push.apple.com"]"#);
        for wrong in [
            "https://push.example",
            "*",
            "a.*.b",
            "push.example:443",
            "push example",
            ".a",
            "a..b",
        ] {
            assert!(read(Kind::Hosts, wrong).is_err(), "{wrong}");
        }
        let origins = read(
            Kind::Origins,
            "HTTPS://Shop.Example:443/,http://localhost:8080",
        )
        .unwrap();
        assert_eq!(
            origins,
            r#"["https://shop.example", "http://localhost:8080"]"#
        );
        let origins = read(
            Kind::Origins,
            "https://*.Shop.Example:443,http://*.localhost:8080",
        )
        .unwrap();
        assert_eq!(
            origins,
            r#"["https://*.shop.example", "http://*.localhost:8080"]"#
        );
        for wrong in [
            "*",
            "https://*",
            "https://*.com",
            "https://a.*.shop.example",
            "https://*.*.shop.example",
            "https://*a.shop.example",
            "https://*.10.0.0.1",
            "https://*.[::1]",
        ] {
            assert!(read(Kind::Origins, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_good_in_a_cookie() {
        for (text, good) in [
            ("shop-", true),
            ("a_1", true),
            ("", false),
            ("__Host-", false),
            ("a b", false),
            ("a;", false),
            ("a=", false),
            ("ñ", false),
        ] {
            assert_eq!(Kind::Name.read_text(text).is_ok(), good, "{text}");
        }
        assert!(Kind::Name.read_text(&"a".repeat(33)).is_err());
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        let refusal = Kind::DatabaseUrl
            .read_text("postgres://u:hunter2@h:notaport/d")
            .unwrap_err();
        assert!(!refusal.message.contains("hunter2"), "{}", refusal.message);
        assert!(!refusal.remedy.contains("hunter2"));
    }

    #[test]
    fn a_refused_database_url_says_which_part_and_nothing_of_the_password() {
        for (url, part) in [
            (
                "postgres://u:hunter2@h:notaport/d",
                "the port of the database URL is not valid",
            ),
            ("mysql://u:hunter2@h/d", "begins with mysql://"),
            ("u:hunter2@h/d", "has no scheme"),
            (
                "postgres://u:hunter2@h/d?sslcert=x",
                "has the parameter sslcert, which is not supported",
            ),
            (
                "postgres://u:hunter2@h/d?sslmode=on",
                "has an sslmode that is not known",
            ),
            (
                "host=h user=u sslmode=require;password=hunter2",
                "has an sslmode that is not known",
            ),
            (
                "postgres://h/d?user=u&password=ab&hunter2=1",
                "cannot be read",
            ),
            (
                "postgres://gom:pa@hunter2@db/shop",
                "the host of the database URL is not valid",
            ),
            (
                "postgres://u:hunter2@h/d?connect_timeout=x",
                "the connect_timeout of the database URL",
            ),
            ("postgres:///d", "names no host"),
            // A password that was not encoded, in whatever it ends up.
            (
                "postgres://u:p@h/d?sslkey=hunter2",
                "has the parameter sslkey, which",
            ),
            ("host=h password=x hunter2=1", "cannot be read"),
        ] {
            let message = Kind::DatabaseUrl.read_text(url).unwrap_err().message;
            assert!(
                message.contains(part) && !message.contains("hunter2"),
                "{url}: {message}"
            );
        }
    }
}
