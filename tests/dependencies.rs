//! What `deny.toml` demands of the dependencies, checked without `cargo-deny`, which takes minutes to build.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

#[derive(Deserialize)]
struct Demands {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

/// A crate that nothing may depend on, but those that are named.
#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    license: Option<String>,
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

/// As a manifest requires it.
#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

fn demands() -> Demands {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    toml::from_str(&std::fs::read_to_string(path).expect("deny.toml can be read"))
        .expect("deny.toml is TOML")
}

fn metadata(target: &str) -> Metadata {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            target,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// Every package that is built for a target, by its id.
fn built(metadata: &Metadata) -> HashMap<&str, &Package> {
    let ids: HashSet<&str> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| node.id.as_str())
        .collect();
    let packages = metadata
        .packages
        .iter()
        .filter(|package| ids.contains(package.id.as_str()));
    packages
        .map(|package| (package.id.as_str(), package))
        .collect()
}

/// Whether a licence expression can be met with the licences that are allowed.
fn is_allowed(expression: &str, allowed: &[Licensee]) -> bool {
    let permitted =
        |demanded: &LicenseReq| allowed.iter().any(|licensee| licensee.satisfies(demanded));
    Expression::parse_mode(expression, ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|term| permitted(term)))
}

fn allowed(demands: &Demands) -> Vec<Licensee> {
    let allow = &demands.licenses.allow;
    allow
        .iter()
        .map(|licence| Licensee::parse(licence).expect("a licence has a name"))
        .collect()
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let demands = demands();
    let allowed = allowed(&demands);
    for target in &demands.graph.targets {
        let metadata = metadata(target);
        let packages = built(&metadata);
        assert!(
            packages.len() > 300,
            "{} packages for {target}",
            packages.len()
        );
        for package in packages.values() {
            let licence = package.license.as_deref().unwrap_or("none");
            assert!(
                is_allowed(licence, &allowed),
                "{}: its licence is {licence}",
                package.name
            );
        }
    }
}

#[test]
fn a_licence_that_is_not_allowed_is_found() {
    let allowed = allowed(&demands());
    assert!(is_allowed("MIT/Apache-2.0", &allowed));
    assert!(is_allowed("GPL-3.0 OR MIT", &allowed));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception", &allowed));
    for refused in [
        "GPL-3.0",
        "GPL-3.0 AND MIT",
        "none",
        "",
        "MIT AND (AGPL-3.0 OR SSPL-1.0)",
    ] {
        assert!(!is_allowed(refused, &allowed), "{refused}");
    }
}

#[test]
fn dependencies_come_from_one_registry_at_versions_that_are_named() {
    let metadata = metadata(&demands().graph.targets[0]);
    let source_of = |name: &str| {
        let package = metadata
            .packages
            .iter()
            .find(|package| package.name == name);
        package
            .and_then(|package| package.source.as_deref())
            .expect("it comes from the registry")
    };
    let registry = source_of("serde");
    assert!(registry.starts_with("registry+"), "{registry}");
    for package in &metadata.packages {
        match &package.source {
            Some(source) => assert_eq!(source, registry, "{} comes from elsewhere", package.name),
            // One of ours. What has a path may do without a version.
            None => {
                for dependency in &package.dependencies {
                    let named = dependency.path.is_some() || dependency.req != "*";
                    assert!(
                        named,
                        "{} takes any version of {}",
                        package.name, dependency.name
                    );
                }
            }
        }
    }
}

#[test]
fn crates_that_are_banned_are_reached_through_those_that_may_only() {
    let demands = demands();
    for target in &demands.graph.targets {
        let metadata = metadata(target);
        let packages = built(&metadata);
        for node in &metadata.resolve.nodes {
            let by = &packages[node.id.as_str()].name;
            for dependency in node
                .dependencies
                .iter()
                .filter_map(|id| packages.get(id.as_str()))
            {
                let ban = demands
                    .bans
                    .deny
                    .iter()
                    .find(|ban| ban.name == dependency.name);
                let permitted = ban.is_none_or(|ban| ban.wrappers.contains(by));
                assert!(
                    permitted,
                    "{by} depends on {}, which is banned",
                    dependency.name
                );
            }
        }
    }
}

/// What a manifest depends on, and the sources in which a use counts.
fn unused(folder: &Path, sources: &[&str], tables: &[&str]) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest can be read");
    let manifest: toml::Table = text.parse().expect("a manifest is TOML");
    let mut code = String::new();
    for source in sources {
        read_sources(&folder.join(source), &mut code);
    }
    let named = tables
        .iter()
        .filter_map(|table| manifest.get(*table)?.as_table())
        .flat_map(|table| table.iter());
    named
        // There for its feature only (actors/Cargo.toml).
        .filter(|(name, _)| *name != "openssl")
        .map(|(name, _)| name.replace('-', "_"))
        .filter(|name| {
            let uses = [
                format!("{name}::"),
                format!("use {name};"),
                format!("extern crate {name}"),
            ];
            !uses.iter().any(|text| code.contains(text))
        })
        .collect()
}

fn read_sources(path: &Path, code: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder can be read") {
            read_sources(&entry.expect("an entry can be read").path(), code);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        code.push_str(&std::fs::read_to_string(path).expect("a source can be read"));
    }
}

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("Cargo.toml")).expect("a manifest can be read");
    let manifest: toml::Table = text.parse().expect("a manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list");
    let mut folders = vec![root.to_owned()];
    for member in members.iter().filter_map(|member| member.as_str()) {
        match member.strip_suffix("/*") {
            None => folders.push(root.join(member)),
            Some(parent) => {
                let entries = std::fs::read_dir(root.join(parent)).expect("a folder can be read");
                folders.extend(entries.map(|entry| entry.expect("an entry can be read").path()));
            }
        }
    }
    assert!(folders.len() > 5, "{folders:?}");
    for folder in folders {
        let program = unused(&folder, &["src"], &["dependencies"]);
        assert_eq!(
            program,
            [""; 0],
            "{}: not used by its sources",
            folder.display()
        );
        // The programs in benches/load are examples of the crates that they use.
        let all = ["src", "tests", "examples", "benches", "../benches/load"];
        let tests = unused(&folder, &all, &["dev-dependencies"]);
        assert_eq!(
            tests,
            [""; 0],
            "{}: not used by its tests",
            folder.display()
        );
    }
}
