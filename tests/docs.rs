//! The tables of the documentation are complete.

use std::path::{Path, PathBuf};

use gom_engine::error::ErrorKind;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is there")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The numbers of Prisma's errors that the code gives: the first argument of `numbered` and its like.
fn numbers() -> Vec<u16> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("engine/src"), &mut files);
    sources(&root.join("src"), &mut files);
    let mut numbers: Vec<u16> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).expect("a source can be read");
            let words = text.split(|c: char| !c.is_ascii_digit()).map(str::to_owned).collect::<Vec<_>>();
            words.into_iter().filter_map(|word| word.parse().ok())
        })
        .filter(|number| (3000..3050).contains(number) && *number != 3000)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[test]
fn every_error_code_stands_in_its_table() {
    let table = read("docs/ERRORS.md");
    for code in ErrorKind::ALL.iter().map(|kind| kind.code()).chain(gom::shop::CODES) {
        assert!(table.contains(&format!("| `{code}` |")), "{code} is missing");
    }
    let numbers = numbers();
    assert!(numbers.len() > 10, "the numbers are looked for in the wrong place");
    for number in numbers {
        assert!(table.contains(&format!("| {number} |")), "{number} is missing");
    }
}

#[test]
fn the_proxy_logs_no_query_and_redirects_to_no_port_of_its_own() {
    let proxy = read("docker/nginx.conf");
    let lines: Vec<&str> = proxy.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    assert!(
        lines.contains(&"absolute_redirect off;"),
        "`return 308 /api/` would name the port within the stack"
    );
    let logs: Vec<&&str> = lines.iter().filter(|line| line.starts_with("access_log ")).collect();
    assert_eq!(logs, [&"access_log /dev/stdout paths;"]);
    let format =
        lines.iter().find(|line| line.starts_with("log_format paths ")).expect("the format is there");
    // A login's code stands in the query, and in what the page that it leads to is referred by.
    for variable in
        ["$request ", "$request\"", "$request_uri", "$args", "$query_string", "$arg_", "$http_referer"]
    {
        assert!(!format.contains(variable), "{variable} shows the query");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in [
        "README.md",
        "docs/ARCHITECTURE.md",
        "docs/CLIENTS.md",
        "docs/CONFORMANCE.md",
        "docs/CONSOLE.md",
        "docs/ERRORS.md",
        "docs/OPERATIONS.md",
        "docs/SESSIONS.md",
    ] {
        let folder = Path::new(document).parent().expect("a file has a folder");
        let text = read(document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let local = target.split('#').next().unwrap_or_default();
            if local.is_empty() || local.contains(':') {
                continue;
            }
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(local);
            assert!(path.exists(), "{document} links to {target}, which is not there");
        }
    }
}
