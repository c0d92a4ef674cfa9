//! The two spellings of a connection string, read as libpq reads them: a URL, or pairs of `key = value`. Takes out
//! the parameters that tokio-postgres does not know; decides nothing about what they mean.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::options::UrlError;

/// Parameters that tokio-postgres would refuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    pub ssl_mode: Option<String>,
    pub roots: Option<PathBuf>,
}

impl Extra {
    /// Whether the parameter is ours to handle, or nobody's. Of two, the last counts, as in libpq.
    fn take(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.ssl_mode = Some(value.to_owned()),
            "sslrootcert" => self.roots = Some(PathBuf::from(value)),
            "schema" | "connection_limit" | "pool_timeout" | "pgbouncer" => {}
            _ => return false,
        }
        true
    }
}

/// The connection string without the parameters of [`Extra`], and these.
pub(super) fn split(text: &str) -> Result<(String, Extra), UrlError> {
    match SCHEMES.into_iter().find(|scheme| text.starts_with(scheme)) {
        Some(scheme) => split_url(text, scheme.len()),
        None => match text.split_once("://") {
            Some((other, _))
                if !other.is_empty() && other.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Err(UrlError::Scheme(other.to_owned()))
            }
            _ if !text.contains('=') => Err(UrlError::NoScheme),
            _ => split_pairs(text),
        },
    }
}

/// What tokio-postgres finds wrong with a string, by the name of the part. Its own words hold pieces of the text, which may be of
/// the password: none of those is repeated, but the names of libpq's own parameters.
pub(super) fn fault(words: &str) -> UrlError {
    let named = |before: &str| {
        words
            .split_once(before)?
            .1
            .split_once('`')
            .map(|(name, _)| name)
    };
    if let Some(part) = named("invalid value for option `")
        .and_then(|name| PARTS.into_iter().find(|part| *part == name))
    {
        return UrlError::Part(part);
    }
    match named("unknown option `")
        .and_then(|name| UNSUPPORTED.into_iter().find(|known| *known == name))
    {
        Some(name) => UrlError::Parameter(name),
        None => malformed(
            "it cannot be read as postgres://USER:PASSWORD@HOST:PORT/DATABASE; percent-encode what has a meaning in a URL",
        ),
    }
}

/// Parameters of libpq that tokio-postgres does not have.
const UNSUPPORTED: [&str; 14] = [
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "krbsrvname",
    "passfile",
    "replication",
    "requirepeer",
    "service",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslkey",
    "sslpassword",
    "sslsni",
];

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// The parts that may have a value that cannot be used.
const PARTS: [&str; 13] = [
    "port",
    "host",
    "hostaddr",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "sslnegotiation",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// `scheme` is the scheme's length. The query begins at the first `?` after the credentials, whose password may
/// hold any character but `@`.
fn split_url(url: &str, scheme: usize) -> Result<(String, Extra), UrlError> {
    let mut extra = Extra::default();
    let server = url[scheme..].find('@').map_or(scheme, |at| scheme + at + 1);
    let Some(start) = url[server..].find('?').map(|at| server + at) else {
        return Ok((url.to_owned(), extra));
    };
    let (base, query) = (&url[..start], &url[start + 1..]);
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let ours = match pair.split_once('=') {
            Some((key, value)) => extra.take(&decoded(key)?, &decoded(value)?),
            None => false,
        };
        if !ours {
            kept.push(pair);
        }
    }
    Ok((
        if kept.is_empty() {
            base.to_owned()
        } else {
            format!("{base}?{}", kept.join("&"))
        },
        extra,
    ))
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| malformed("a parameter is not UTF-8"))
}

fn split_pairs(text: &str) -> Result<(String, Extra), UrlError> {
    let mut extra = Extra::default();
    let mut kept = String::new();
    for (key, value) in pairs(text)? {
        if extra.take(key, &value) {
            continue;
        }
        // In quotes whatever it was before: so it means the same to every reader.
        kept.push_str(key);
        kept.push_str("='");
        for character in value.chars() {
            if matches!(character, '\'' | '\\') {
                kept.push('\\');
            }
            kept.push(character);
        }
        kept.push_str("' ");
    }
    Ok((kept, extra))
}

/// The pairs in the order in which they are written. White space may stand around keys, `=` and values; a value
/// that holds some is in single quotes; a backslash takes the next character as it is (libpq, `conninfo_parse`).
fn pairs(text: &str) -> Result<Vec<(&str, String)>, UrlError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let end = rest.find(|c| c == '=' || is_blank(c)).unwrap_or(rest.len());
        let key = &rest[..end];
        let after_key = rest[end..].trim_start_matches(is_blank);
        let Some(after) = after_key.strip_prefix('=').filter(|_| !key.is_empty()) else {
            return Err(malformed("it is neither a URL nor a list of key=value"));
        };
        let (value, after) = value(after.trim_start_matches(is_blank))?;
        found.push((key, value));
        rest = after.trim_start_matches(is_blank);
    }
    Ok(found)
}

/// The value at the start of `text`, and what follows it.
fn value(text: &str) -> Result<(String, &str), UrlError> {
    let quoted = text.strip_prefix('\'');
    let text = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if quoted.is_some() => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if quoted.is_none() && is_blank(character) => return Ok((value, &text[at..])),
            _ => value.push(character),
        }
    }
    if quoted.is_some() {
        Err(malformed("a quoted value has no end"))
    } else {
        Ok((value, ""))
    }
}

/// C's `isspace`.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// The reason never holds any of the text, which may be a password.
fn malformed(reason: &str) -> UrlError {
    UrlError::Malformed(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_postgres::Config;

    use super::super::options::{DatabaseOptions, Encryption};
    use super::*;

    const BLANKS: &str = "[ \\t\\n\\x0b\\x0c\\r]{0,2}";

    /// A value in one of the ways in which libpq lets it be written.
    fn spelled(value: String) -> impl Strategy<Value = String> {
        let escaped = |value: &str, blanks: bool| {
            let mut text = String::new();
            for character in value.chars() {
                if matches!(character, '\'' | '\\') || blanks && is_blank(character) {
                    text.push('\\');
                }
                text.push(character);
            }
            text
        };
        let quoted = format!("'{}'", escaped(&value, false));
        let plain = if value.is_empty() {
            quoted.clone()
        } else {
            escaped(&value, true)
        };
        prop_oneof![Just(quoted), Just(plain)]
    }

    /// `key = value`, with what it means.
    fn pair(key: &'static str, values: &'static str) -> impl Strategy<Value = String> {
        (BLANKS, BLANKS, values.prop_flat_map(spelled))
            .prop_map(move |(before, after, value)| format!("{key}{before}={after}{value}"))
    }

    fn known() -> impl Strategy<Value = String> {
        prop_oneof![
            pair("user", "[a-z '\\\\]{1,8}"),
            // The words that were once taken out of a password.
            pair("password", "[a-z '\\\\=?&]{0,8}( sslmode=disable)?"),
            pair("dbname", "[a-z]{1,8}"),
            pair("application_name", "[a-z \t]{1,8}"),
            pair("port", "[1-9][0-9]{3}"),
            pair("connect_timeout", "[1-9]"),
            pair("sslmode", "disable|prefer|require"),
            pair("target_session_attrs", "any|read-write"),
        ]
    }

    /// Pairs with at least one blank between them, or none after a quote.
    fn joined(pairs: &[String], blanks: &[String]) -> String {
        let mut text = String::new();
        for (pair, blank) in pairs.iter().zip(blanks) {
            text.push_str(pair);
            let quoted = pair.ends_with('\'') && !pair.ends_with("\\'");
            text.push_str(if blank.is_empty() && !quoted {
                "\n"
            } else {
                blank
            });
        }
        text
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pairs_mean_what_they_mean_to_libpq_however_they_are_written(
            pairs in proptest::collection::vec(known(), 0..6),
            blanks in proptest::collection::vec(BLANKS, 6),
        ) {
            let text = format!("host=db.example {}", joined(&pairs, &blanks));
            let expected: Config = text.parse().expect("tokio-postgres knows these");
            let options = DatabaseOptions::from_url(&text).expect("so does Gom");
            prop_assert_eq!(&options.server, &expected, "{}", text);
        }

        #[test]
        fn tls_never_falls_below_what_was_asked(
            before in proptest::collection::vec(known(), 0..3),
            mode in pair("sslmode", "require|verify-ca|verify-full"),
            after in pair("password", "[a-z '\\\\=]{0,8}( sslmode=disable)?"),
            blanks in proptest::collection::vec(BLANKS, 6),
        ) {
            let pairs = [vec!["host=db.example".to_owned()], before, vec![mode, after]].concat();
            let text = joined(&pairs, &blanks);
            let options = DatabaseOptions::from_url(&text).expect("a connection string");
            prop_assert_eq!(options.encryption, Encryption::Verified { roots: None }, "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,40}", url in any::<bool>()) {
            let text = if url { format!("postgres://{text}") } else { text };
            let _ = DatabaseOptions::from_url(&text);
        }
    }

    #[test]
    fn a_file_with_one_pair_a_line_is_read_like_a_line_of_pairs() {
        for text in [
            "host=db.example\nuser=u\nsslmode=require\n",
            "host=db.example user=u sslmode = require",
            "host=db.example\tsslmode=require\tuser=u",
            "host=db.example password='a sslmode=disable b' sslmode=require",
            "host=db.example password=a?b sslmode=require",
        ] {
            let options = DatabaseOptions::from_url(text).expect(text);
            assert_eq!(
                options.encryption,
                Encryption::Verified { roots: None },
                "{text}"
            );
        }
        let options = DatabaseOptions::from_url("host=db.example password='a sslmode=disable b'");
        let server = options.expect("a connection string").server;
        assert_eq!(server.get_password(), Some(&b"a sslmode=disable b"[..]));
    }

    #[test]
    fn a_urls_parameters_are_decoded_and_its_password_is_left_alone() {
        for text in [
            "postgres://u:p@db.example/d?sslm%6fde=require",
            "postgres://u:p@db.example/d?sslmode=%72equire",
            "postgres://u:p?sslmode=disable&x@db.example/d?sslmode=verify-full",
            "postgresql://db.example?sslmode=require",
        ] {
            let options = DatabaseOptions::from_url(text).expect(text);
            assert_eq!(
                options.encryption,
                Encryption::Verified { roots: None },
                "{text}"
            );
        }
        let options = DatabaseOptions::from_url("postgres://u:p?sslmode=disable&x@db.example/d");
        let server = options.expect("a URL").server;
        assert_eq!(server.get_password(), Some(&b"p?sslmode=disable&x"[..]));
    }

    #[test]
    fn what_is_no_list_of_pairs_is_refused_without_being_shown() {
        for text in [
            "hunter2",
            "host=h = sslmode=require",
            "host=h password='hunter2",
            "=hunter2",
        ] {
            let error = DatabaseOptions::from_url(text).expect_err(text).to_string();
            assert!(
                error.starts_with("the database URL ") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
