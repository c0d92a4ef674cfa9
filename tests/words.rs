//! Words that this project does not use, since the field has a term that readers search for (docs/GLOSSARY.md).

use std::path::{Path, PathBuf};

use regex::Regex;

/// What is not written, and what is instead.
const BANNED: &[(&str, &str)] = &[
    ("anew", "again"),
    ("for ever", "forever, without end"),
    ("for want of", "without, because there is no"),
    ("heard of", "known, received"),
    ("how manyth", "the nth"),
    ("in hand", "in flight"),
    ("is said", "is reported"),
    ("looks on", "subscribes"),
    ("nonsense", "invalid, malformed, unexpected"),
    ("of after", "newer"),
    ("of before", "previous"),
    ("to be had", "available"),
    ("told", "reported, notified, logged"),
    ("tried again", "retried"),
    ("whoever", "anyone who, the client that"),
    ("whomever", "anyone whom"),
];

/// Folders and files that hold other people's texts, or this list.
const SKIPPED: &[&str] = &[
    "target",
    "node_modules",
    ".git",
    ".gom",
    "bundle",
    "package-lock.json",
    "Cargo.lock",
    "words.rs",
    // Applied to databases: their text is part of their checksum.
    "migrations",
];

/// Places where a phrase stays: names that others wrote, former names, and texts that clients receive, which do not change.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    ("CHANGELOG.md", &["in_hand"]),
    ("actors/src/live/mod.rs", &["anew", "tried again"]),
    ("docs/CONFIGURATION.md", &["in_hand"]),
    ("docs/GLOSSARY.md", &[]),
    ("docs/adr/0035-prismas-clients.md", &["nonsense"]),
    ("server/src/settings/database.rs", &["in_hand"]),
    (
        "server/src/settings/tests/former.rs",
        &["in_hand", "IN_HAND", "in-hand"],
    ),
    ("shop/src/rules.rs", &["told"]),
];

/// Whether a phrase may stand in a file; any in a file that lists none, which is the list of what is not used.
fn is_excepted(path: &str, phrase: &str) -> bool {
    EXCEPTIONS
        .iter()
        .any(|(file, phrases)| *file == path && (phrases.is_empty() || phrases.contains(&phrase)))
}

const ENDINGS: &[&str] = &[
    "", "conf", "css", "html", "js", "jsx", "lua", "md", "prisma", "py", "rs", "sh", "sql", "toml",
    "ts", "yml",
];

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_none_or(|name| SKIPPED.contains(&name)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else {
            let ending = path.extension().and_then(|ending| ending.to_str());
            if ENDINGS.contains(&ending.unwrap_or_default()) {
                found.push(path);
            }
        }
    }
}

/// Matches the phrases as whole words, in sentences that go on in the next line and in names with underscores too.
fn pattern() -> Regex {
    let phrases: Vec<String> = BANNED
        .iter()
        .map(|(phrase, _)| phrase.replace(' ', r"(?:[\s_-]|\s*//[/!]?\s|\s*#\s)+"))
        .collect();
    Regex::new(&format!(
        r"(?i)(?:^|[^a-z])({})(?:[^a-z]|$)",
        phrases.join("|")
    ))
    .expect("the phrases make a pattern")
}

#[test]
fn the_fields_words_are_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(root, &mut files);
    assert!(files.len() > 500, "only {} files", files.len());
    let pattern = pattern();
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for place in pattern.captures_iter(&text) {
            let phrase = place.get(1).expect("the group takes part");
            let line = text[..phrase.start()].matches('\n').count() + 1;
            let path = file.strip_prefix(root).expect("it lies in the folder");
            if !is_excepted(&path.to_string_lossy(), phrase.as_str()) {
                found.push(format!("{}:{line}: {}", path.display(), phrase.as_str()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} places use words that have a better one (see `BANNED` in tests/words.rs):\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_banned_phrase_is_found_across_lines_and_in_names() {
    let pattern = pattern();
    for text in [
        "it is told",
        "fn all_are_told_of_it()",
        "what it has in\n    /// hand",
        "Whoever reads",
        "a server of before.",
    ] {
        assert!(pattern.is_match(text), "{text}");
    }
    for text in ["a toldya", "in handy", "newer", "hand in"] {
        assert!(!pattern.is_match(text), "{text}");
    }
}
