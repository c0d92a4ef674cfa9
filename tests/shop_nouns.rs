//! The shop is one application among others: no source outside `shop/` has a word of its datamodel.

use std::path::{Path, PathBuf};

/// Words of the shop's datamodel and policy, in any case, also as parts of other words.
const NOUNS: [&str; 4] = ["seller", "promotion", "publication", "customer"];
/// A whole word only: it is a part of many others.
const WHOLE_NOUNS: [&str; 2] = ["bp", "bps"];

/// Where no source may have one.
const SOURCES: [&str; 5] = ["server/src", "src", "actors/src", "engine/src", "crates"];

/// Words that a source may have, and why.
const EXCEPTIONS: [(&str, &[&str], &str); 3] = [
    (
        "engine/src/datamodel/tests.rs",
        &[
            "Bp",
            "Promotion",
            "Publication",
            "CustomerOf",
            "_CustomerOf",
        ],
        "reads config/datamodel.prisma, as an example of a datamodel",
    ),
    (
        "engine/src/migrate/tests.rs",
        &["Promotion"],
        "lays out config/datamodel.prisma, as an example",
    ),
    (
        "engine/src/schema/plural.rs",
        &["Bp", "Bps", "Publication", "Publications"],
        "its test compares plurals with those that Prisma gave to existing services",
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

/// The nouns in a line, exempted words apart; each of those that it has is added to `used`.
fn nouns<'a>(line: &str, exempted: &[&'a str], used: &mut Vec<&'a str>) -> Vec<&'static str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut kept = String::new();
    for piece in line.split_inclusive(|c: char| !is_part(c)) {
        let word = piece.trim_end_matches(|c: char| !is_part(c));
        match exempted.iter().find(|exempted| **exempted == word) {
            Some(exempted) => used.push(*exempted),
            None => kept.push_str(piece),
        }
    }
    let line = kept.to_lowercase();
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
    let (mut found, mut examined) = (Vec::new(), 0);
    for file in files {
        let name = file.strip_prefix(root).expect("it is in the root");
        let text = std::fs::read_to_string(&file).expect("a source is UTF-8");
        let exception = EXCEPTIONS.iter().find(|(path, ..)| Path::new(path) == name);
        let exempted = exception.map_or(&[][..], |(_, words, _)| words);
        let mut used = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if !nouns(line, exempted, &mut used).is_empty() {
                found.push(format!(
                    "{}:{}: {}",
                    name.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
        let unused = exempted.iter().filter(|word| !used.contains(word));
        found.extend(unused.map(|word| format!("{} does not have {word}", name.display())));
        examined += usize::from(exception.is_some());
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(examined, EXCEPTIONS.len(), "an exception is no source");
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
    let nouns = |line| nouns(line, &[], &mut Vec::new());
    assert_eq!(nouns("struct CustomerToken;"), ["customer"]);
    assert_eq!(nouns("// the Seller's promotions"), ["seller", "promotion"]);
    assert_eq!(nouns("\"/auth/bp\""), ["bp"]);
    assert_eq!(nouns("let bpf = republish;"), [""; 0]);
}

#[test]
fn an_exempted_word_excuses_no_other_word() {
    let mut used = Vec::new();
    let found = nouns(
        "(\"Bp\", Bps, bp, CustomerOf)",
        &["Bp", "CustomerOf"],
        &mut used,
    );
    assert_eq!(found, ["bp", "bps"]);
    assert_eq!(used, ["Bp", "CustomerOf"]);
}
