//! The shop is one application among others: no source outside `shop/` has a word of its datamodel.

use std::path::{Path, PathBuf};

/// Words of the shop's datamodel and policy, in any case, also as parts of other words.
const NOUNS: [&str; 4] = ["seller", "promotion", "publication", "customer"];
/// A whole word only: it is a part of many others.
const WHOLE_NOUNS: [&str; 2] = ["bp", "bps"];

/// Where no source may have one.
const SOURCES: [&str; 5] = ["server/src", "src", "actors/src", "engine/src", "crates"];

/// Sources that may, and why.
const EXCEPTIONS: [(&str, &str); 6] = [
    (
        "engine/src/datamodel/tests.rs",
        "reads config/datamodel.prisma, as an example of a datamodel",
    ),
    (
        "engine/src/migrate/tests.rs",
        "lays out config/datamodel.prisma, as an example",
    ),
    (
        "engine/src/migrate/kept_renames.rs",
        "its test renames the type of an example",
    ),
    (
        "engine/src/schema/plural.rs",
        "its test compares plurals with those that Prisma gave to existing services",
    ),
    (
        "engine/src/policy/permission.rs",
        "its test has permissions of config/policy.toml, as an example",
    ),
    (
        "engine/src/policy/check/tests.rs",
        "its test has a role of config/policy.toml, as an example",
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rs" || extension == "toml")
        {
            found.push(path);
        }
    }
}

/// The nouns in a line.
fn nouns(line: &str) -> Vec<&'static str> {
    let line = line.to_lowercase();
    let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).collect();
    let whole = WHOLE_NOUNS.into_iter().filter(|noun| words.contains(noun));
    NOUNS
        .into_iter()
        .filter(|noun| line.contains(noun))
        .chain(whole)
        .collect()
}

#[test]
fn no_source_outside_the_shop_has_a_noun_of_the_shop() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in SOURCES {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 300, "the sources are looked for elsewhere");
    let (mut found, mut used) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.strip_prefix(root).expect("it is in the root");
        let text = std::fs::read_to_string(&file).expect("a source is UTF-8");
        let lines = text.lines().enumerate();
        let lines: Vec<String> = lines
            .filter(|(_, line)| !nouns(line).is_empty())
            .map(|(number, line)| format!("{}:{}: {}", name.display(), number + 1, line.trim()))
            .collect();
        let exception = EXCEPTIONS
            .iter()
            .find(|(path, _)| Path::new(path) == name && !lines.is_empty());
        match exception {
            Some((path, _)) => used.push(*path),
            None => found.extend(lines),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (path, why) in EXCEPTIONS {
        assert!(used.contains(&path), "{path} is no exception ({why})");
    }
}

#[test]
fn the_library_and_the_crates_below_do_not_depend_on_the_shop() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in SOURCES {
        sources(&root.join(folder), &mut files);
    }
    let program = root.join("src/main.rs");
    for file in files.iter().filter(|file| **file != program) {
        let text = std::fs::read_to_string(file).expect("a source is UTF-8");
        for name in ["gom_shop", "gom-shop = "] {
            assert!(!text.contains(name), "{} names {name}", file.display());
        }
    }
}

#[test]
fn a_noun_is_found_in_code_and_comments() {
    assert_eq!(nouns("struct CustomerToken;"), ["customer"]);
    assert_eq!(nouns("// the Seller's promotions"), ["seller", "promotion"]);
    assert_eq!(nouns("\"/auth/bp\""), ["bp"]);
    assert_eq!(nouns("let bpf = republish;"), [""; 0]);
}
