//! `scripts/release`, in a clone of this repository: the commit and tag of a release, and the refusals.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const CHANGES: &str = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A change.\n";

/// A clone of the repository with a changelog of its own, which nothing outside of it sees.
struct Repository(TempDir);

impl Repository {
    fn new() -> Self {
        let clone = Self(tempfile::tempdir().unwrap());
        let root = env!("CARGO_MANIFEST_DIR");
        clone.git(&["clone", "--quiet", "--no-tags", root, "."]);
        // The script as it is in the tree, committed or not.
        let script = "scripts/release";
        std::fs::copy(Path::new(root).join(script), clone.path(script)).unwrap();
        clone.commit("CHANGELOG.md", CHANGES);
        clone
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).unwrap();
    }

    fn commit(&self, file: &str, text: &str) {
        self.write(file, text);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "prepared"]);
    }

    fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            .env("CARGO_NET_OFFLINE", "true")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .envs(
                [
                    "GIT_AUTHOR_NAME",
                    "GIT_AUTHOR_EMAIL",
                    "GIT_COMMITTER_NAME",
                    "GIT_COMMITTER_EMAIL",
                ]
                .map(|name| (name, "test@gom.example")),
            )
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = self.run("git", arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn release(&self, arguments: &[&str]) -> Output {
        self.run(self.path("scripts/release"), arguments)
    }

    /// The refusal of a release, which changes nothing.
    fn refusal(&self, version: &str) -> String {
        let state = || {
            (
                self.git(&["rev-parse", "HEAD"]),
                self.git(&["status", "--porcelain"]),
                self.git(&["tag"]),
            )
        };
        let before = state();
        let output = self.release(&[version]);
        assert_eq!(output.status.code(), Some(1), "{version}: {output:?}");
        assert_eq!(state(), before, "{version}");
        let text = String::from_utf8(output.stderr).unwrap();
        let text = text.strip_prefix("scripts/release: ");
        text.expect("the script reports the reason")
            .trim()
            .to_owned()
    }

    fn version(&self) -> String {
        let manifest: toml::Table = self.read("Cargo.toml").parse().unwrap();
        let version = &manifest["workspace"]["package"]["version"];
        version.as_str().unwrap().to_owned()
    }
}

#[test]
fn a_release_dates_the_changelog_sets_the_version_and_tags_the_commit() {
    let clone = Repository::new();
    let before = clone.version();
    let output = clone.release(&["90.1.0"]);
    assert!(output.status.success(), "{output:?}");

    let changelog = clone.read("CHANGELOG.md");
    let date = clone.git(&["log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%d"]);
    let expected = format!("## [Unreleased]\n\n## [90.1.0] - {date}\n\n### Added\n");
    assert!(changelog.contains(&expected), "{changelog}");
    assert_eq!(clone.version(), "90.1.0");
    let lock: toml::Table = clone.read("Cargo.lock").parse().unwrap();
    for name in ["gom", "gom-engine"] {
        let packages = lock["package"].as_array().unwrap();
        let package = packages
            .iter()
            .find(|package| package["name"].as_str() == Some(name));
        assert_eq!(package.unwrap()["version"].as_str(), Some("90.1.0"));
    }
    for page in ["docs/openapi.json", "docs/CONSOLE.md"] {
        let text = clone.read(page);
        assert!(text.contains("\"90.1.0\""), "{page}");
        assert!(!text.contains(&format!("\"{before}\"")), "{page}");
    }
    assert_eq!(clone.git(&["status", "--porcelain"]), "");
    assert_eq!(clone.git(&["log", "-1", "--format=%s"]), "release: 90.1.0");
    assert_eq!(
        clone.git(&["rev-parse", "v90.1.0^{commit}"]),
        clone.git(&["rev-parse", "HEAD"])
    );
    let changed = clone.git(&["show", "--name-only", "--format=", "HEAD"]);
    assert_eq!(changed.lines().count(), 5, "{changed}");

    // The next one.
    assert_eq!(clone.refusal("90.1.0"), "the tag v90.1.0 exists already");
    assert_eq!(
        clone.refusal("90.2.0"),
        "CHANGELOG.md lists no changes for 90.2.0"
    );
}

#[test]
fn a_prepared_version_can_be_the_current_one_and_no_other() {
    let clone = Repository::new();
    let current = clone.version();
    let prepared = format!("## [{current}] - Unreleased");
    clone.commit(
        "CHANGELOG.md",
        &CHANGES.replace("## [Unreleased]", &prepared),
    );
    assert_eq!(
        clone.refusal("91.0.0"),
        format!("CHANGELOG.md prepares another version: {prepared}")
    );
    let output = clone.release(&[&current]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        clone
            .read("CHANGELOG.md")
            .contains(&format!("## [{current}] - 2"))
    );
}

#[test]
fn a_release_is_refused_for_its_reason_and_changes_nothing() {
    let clone = Repository::new();
    for arguments in [&[][..], &["1.0.0", "now"][..]] {
        assert_eq!(clone.release(arguments).status.code(), Some(2));
    }
    for invalid in [
        "", "next", "1.0", "v91.0.0", "91.0.0.0", "091.0.0", "91.0.0-", "91.0.0 ",
    ] {
        assert_eq!(
            clone.refusal(invalid),
            format!("{invalid} is not a version; write it as 0.2.0 or 1.0.0-rc.1").trim()
        );
    }
    let lower = clone.refusal("0.0.1");
    let current = clone.version();
    assert_eq!(
        lower,
        format!("0.0.1 is lower than the current version, {current}")
    );
    assert!(
        clone
            .refusal(&format!("{current}-rc.1"))
            .contains("is lower")
    );

    clone.write("untracked", "");
    assert!(clone.refusal("91.0.0").starts_with("the tree has changes"));
    std::fs::remove_file(clone.path("untracked")).unwrap();

    clone.commit(
        "CHANGELOG.md",
        "# Changelog\n\n## [0.0.1] - 2020-01-01\n\n- Old.\n",
    );
    assert!(clone.refusal("91.0.0").contains("is not [Unreleased]"));
    clone.commit("CHANGELOG.md", CHANGES);

    clone.commit("src/main.rs", "fn  main(){}\n");
    assert!(clone.refusal("91.0.0").contains("not formatted"));
}
