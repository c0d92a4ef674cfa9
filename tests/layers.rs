//! Modules depend on those below them only, in each crate: a cycle, or an arrow upwards, fails here. `--nocapture` prints
//! what depends on what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A crate's modules, the lowest first: each may use those before it.
struct Layers {
    sources: &'static str,
    modules: &'static [&'static str],
}

const ENGINE: Layers = Layers {
    sources: "engine/src",
    modules: &[
        "error",
        "datamodel",
        "migrate",
        "sql",
        "schema",
        "request",
        "policy",
        "plan",
        "events",
    ],
};

const TELEMETRY: Layers = Layers {
    sources: "crates/telemetry/src",
    modules: &["causes", "health", "metrics", "traces"],
};

const RUNTIME: Layers = Layers {
    sources: "crates/runtime/src",
    modules: &[
        "backoff",
        "clock",
        "crash",
        "own_thread",
        "owner",
        "permits",
        "supervision",
        "waiting",
        "reconnecting",
    ],
};

const ACTORS: Layers = Layers {
    sources: "actors/src",
    modules: &[
        "secret",
        "database",
        "migrations",
        "resume",
        "redis",
        "postgres_store_client",
        "live",
        "sessions",
        "limiter",
        "push",
    ],
};

const SERVER: Layers = Layers {
    sources: "server/src",
    modules: &[
        "build_info",
        "settings",
        "stop",
        "logging",
        "identity",
        "seed",
        "datamodel",
        "deployment",
        "telemetry",
        "graphql",
        "admission",
        "policy",
        "ledger",
        "metrics",
        "socket",
        "http",
        "application",
        "push",
        "server",
    ],
};

const SHOP: Layers = Layers {
    sources: "shop/src",
    modules: &[
        "settings",
        "subject",
        "day",
        "logins",
        "customers",
        "watched",
        "detours",
        "rules",
        "notices",
        "seed",
        "phone_login",
        "code_endpoint",
        "pages",
    ],
};

/// Which module uses which others of its crate, by the text of its files.
fn arrows(sources: &str) -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(sources);
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .expect("a name is UTF-8")
                .to_owned();
            let is_test = stem == "tests" || stem.ends_with("_tests");
            if is_test {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).expect("it is in the folder");
            let module = inside
                .iter()
                .next()
                .and_then(|part| part.to_str())
                .expect("a name is UTF-8");
            let module = module.trim_end_matches(".rs");
            if path.extension().is_none_or(|extension| extension != "rs")
                || ["lib", "main"].contains(&module)
            {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a source can be read");
            let used = arrows.entry(module.to_owned()).or_default();
            used.extend(modules_in(&text).filter(|used| used != module));
        }
    }
    arrows
}

/// The modules of its own crate that a source names, tests and comments apart.
fn modules_in(text: &str) -> impl Iterator<Item = String> {
    let text = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    let code = code.join("\n");
    let used: Vec<String> = code
        .split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split(';').next().unwrap_or_default();
                let mut depth = 0_usize;
                let mut names = vec![String::new()];
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth = depth.saturating_sub(1),
                        ',' if depth == 0 => names.push(String::new()),
                        c if depth == 0 => names.last_mut().expect("there is one").push(c),
                        _ => {}
                    }
                }
                names.iter().map(|name| first_word(name.trim())).collect()
            }
            None => vec![first_word(rest)],
        })
        .filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    used.into_iter()
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn check(layers: &Layers) {
    let arrows = arrows(layers.sources);
    let place = |module: &str| layers.modules.iter().position(|layer| *layer == module);
    let mut upwards = BTreeSet::new();
    for (module, used) in &arrows {
        println!(
            "{} {module} → {}",
            layers.sources,
            Vec::from_iter(used.iter().map(String::as_str)).join(", ")
        );
        let own = place(module);
        assert!(
            own.is_some(),
            "{}: no layer is given for {module}",
            layers.sources
        );
        upwards.extend(
            used.iter()
                .filter(|used| place(used) > own)
                .map(|used| (module.as_str(), used.as_str())),
        );
    }
    assert_eq!(
        arrows.len(),
        layers.modules.len(),
        "{}: a layer has no module",
        layers.sources
    );
    assert!(
        upwards.is_empty(),
        "{}: these use modules above them: {upwards:?}",
        layers.sources
    );
}

/// The crates, the lowest first: each may depend on those before it. Cargo forbids cycles; this forbids shortcuts that would
/// make one necessary.
const CRATES: &[(&str, &str)] = &[
    ("gom-telemetry", "crates/telemetry"),
    ("gom-embedded-postgres", "crates/embedded-postgres"),
    ("gom-engine", "engine"),
    ("gom-runtime", "crates/runtime"),
    ("gom-actors", "actors"),
    ("gom-server", "server"),
    ("gom-shop", "shop"),
    ("gom", "."),
];

#[test]
fn crates_depend_on_those_below_them_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (place, (name, folder)) in CRATES.iter().enumerate() {
        let text = std::fs::read_to_string(root.join(folder).join("Cargo.toml"))
            .expect("the manifest can be read");
        let manifest: toml::Table = text.parse().expect("it is TOML");
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name));
        let below: Vec<&str> = CRATES[..place].iter().map(|(name, _)| *name).collect();
        let used = manifest["dependencies"].as_table().expect("a table").keys();
        let upwards: Vec<&String> = used
            .filter(|used| used.starts_with("gom") && !below.contains(&used.as_str()))
            .collect();
        println!("{name} → {}", below.join(", "));
        assert!(upwards.is_empty(), "{name} depends on {upwards:?}");
    }
}

#[test]
fn modules_use_those_below_them_only() {
    for layers in [&TELEMETRY, &RUNTIME, &ENGINE, &ACTORS, &SERVER, &SHOP] {
        check(layers);
    }
}

#[test]
fn a_module_that_is_used_is_found() {
    let found: BTreeSet<String> = modules_in(
        "use crate::graphql::Api;\nuse crate::{identity, settings::{a, b}, push};\n// crate::seed\n\
         fn f() { crate::stop::now() }\npub(crate) fn g() {}\n#[cfg(test)]\nmod tests { use crate::server; }",
    )
    .collect();
    assert_eq!(
        Vec::from_iter(&found),
        ["graphql", "identity", "push", "settings", "stop"]
    );
}
