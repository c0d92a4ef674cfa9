//! The tables of the documentation are complete.

use std::path::{Path, PathBuf};

use gom_engine::error::ErrorKind;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .expect("the file is there")
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
    sources(&root.join("server/src"), &mut files);
    sources(&root.join("shop/src"), &mut files);
    let mut numbers: Vec<u16> = files
        .iter()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file).expect("a source can be read");
            let words = text
                .split(|c: char| !c.is_ascii_digit())
                .map(str::to_owned)
                .collect::<Vec<_>>();
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
    for code in ErrorKind::ALL
        .iter()
        .map(|kind| kind.code())
        .chain(gom_shop::CODES)
    {
        assert!(
            table.contains(&format!("| `{code}` |")),
            "{code} is missing"
        );
    }
    let numbers = numbers();
    assert!(
        numbers.len() > 10,
        "the numbers are looked for in the wrong place"
    );
    for number in numbers {
        assert!(
            table.contains(&format!("| {number} |")),
            "{number} is missing"
        );
    }
}

#[test]
fn the_proxy_logs_no_query_and_redirects_to_no_port_of_its_own() {
    let proxy = read("docker/nginx.conf");
    let lines: Vec<&str> = proxy
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert!(
        lines.contains(&"absolute_redirect off;"),
        "`return 308 /api/` would name the port within the stack"
    );
    let logs: Vec<&&str> = lines
        .iter()
        .filter(|line| line.starts_with("access_log "))
        .collect();
    assert_eq!(logs, [&"access_log /dev/stdout paths;"]);
    let format = lines
        .iter()
        .find(|line| line.starts_with("log_format paths "))
        .expect("the format is there");
    // A login's code stands in the query, and in what the page that it leads to is referred by.
    for variable in [
        "$request ",
        "$request\"",
        "$request_uri",
        "$args",
        "$query_string",
        "$arg_",
        "$http_referer",
    ] {
        assert!(!format.contains(variable), "{variable} shows the query");
    }
}

/// Every Markdown file of the project, relative to its root.
fn pages() -> Vec<PathBuf> {
    fn search(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("the folder is there") {
            let entry = entry.expect("it can be read");
            let name = entry.file_name();
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let skipped = ["target", "node_modules", ".git", ".gom"];
                if !skipped
                    .iter()
                    .any(|skipped| name.to_str() == Some(*skipped))
                {
                    search(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    search(root, &mut found);
    found
        .iter()
        .map(|path| {
            path.strip_prefix(root)
                .expect("it is in the project")
                .to_owned()
        })
        .collect()
}

/// The lines of a page that are not code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Targets of the links in a text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
}

/// What a heading can be linked to by, as GitHub makes it.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter_map(|line| line.strip_prefix('#'));
    let slug = |heading: &str| {
        let lower = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = lower
            .chars()
            .filter(|c| c.is_alphanumeric() || ['-', '_', ' '].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(root.join(&page)).expect("a page can be read");
        for target in links(&text) {
            let (local, anchor) = target.split_once('#').unwrap_or((target, ""));
            if local.contains(':') {
                continue;
            }
            let folder = page.parent().expect("a file has a folder");
            let path = if local.is_empty() {
                root.join(&page)
            } else {
                root.join(folder).join(local)
            };
            assert!(
                path.exists(),
                "{} links to {target}, which is not there",
                page.display()
            );
            if !anchor.is_empty() && path.extension().is_some_and(|extension| extension == "md") {
                let other = std::fs::read_to_string(&path).expect("a page can be read");
                let found = anchors(&other).iter().any(|found| found == anchor);
                assert!(
                    found,
                    "{} links to {target}: there is no such heading",
                    page.display()
                );
            }
            seen += 1;
        }
    }
    assert!(seen > 200, "{seen} links");
}

#[test]
fn every_page_stands_in_its_index() {
    for folder in ["docs", "docs/adr"] {
        let index = read(&format!("{folder}/README.md"));
        let listed: Vec<&str> = links(&index).collect();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
            .expect("the folder is there")
        {
            let name = entry
                .expect("it can be read")
                .file_name()
                .into_string()
                .expect("a name is UTF-8");
            if name.ends_with(".md") && name != "README.md" {
                assert!(
                    listed.contains(&name.as_str()),
                    "{folder}/README.md does not list {name}"
                );
            }
        }
    }
}

#[test]
fn the_files_that_contributors_are_sent_to_exist() {
    let text = read("CONTRIBUTING.md");
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted
        .filter(|word| word.contains('/') && !word.contains([' ', '…']) && !word.contains("NAME"));
    let mut seen = 0;
    for path in paths {
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(),
            "CONTRIBUTING.md names {path}"
        );
        seen += 1;
    }
    assert!(seen > 20, "{seen} paths");
}
