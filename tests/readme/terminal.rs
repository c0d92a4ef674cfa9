//! A shell in which commands are typed one after the other, and the output of each.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::document::Command;

/// How long something may take that the document shows.
const PATIENCE: Duration = Duration::from_secs(30);
/// Commands that go on until they are stopped.
const LASTING: [&str; 3] = ["scripts/start", "gom serve", "listen"];

/// What differs from run to run, and how it is written where outputs are compared. White space does not count at all: the document
/// folds long lines.
const CHANGING: [(&str, &str); 7] = [
    (r"ey[A-Za-z0-9_.\-…]{8,}", "TOKEN"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"/\S+/\.gom", "FOLDER"),
    (r"[0-9a-f]{16}-\d+", "REQUEST"),
    (r"\b[0-9a-f]{56}\b", "CURSOR"),
    (r"\s+", ""),
];

/// A cursor of an event, which a reader would copy.
const CURSOR: &str = r"\b[0-9a-f]{56}\b";

pub struct Terminal {
    folder: tempfile::TempDir,
    shell: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    substitutes: Vec<(String, String)>,
    changing: Vec<(Regex, &'static str)>,
    typed: usize,
    /// What goes on: the command, the process group, where its output goes.
    lasting: Vec<Lasting>,
    /// Of the event that was seen last.
    cursor: Option<String>,
}

struct Lasting {
    command: Command,
    group: String,
    output: PathBuf,
    seen: bool,
}

impl Terminal {
    /// In a folder of its own, with the project's scripts and the program that was built for the test. In each command, the
    /// first text of a pair is replaced by the second.
    pub fn new(substitutes: &[(&str, &str)]) -> Terminal {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let root = env!("CARGO_MANIFEST_DIR");
        for shared in ["scripts", "config"] {
            symlink(format!("{root}/{shared}"), place(shared)).unwrap();
        }
        // A datamodel of the reader's own.
        fs::write(
            place("shop.prisma"),
            "type Thing {\n  id: ID! @id\n  name: String!\n}\n",
        )
        .unwrap();
        fs::create_dir(place("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_gom"), place("bin/gom")).unwrap();
        // The program is built already, in the tests' profile.
        fs::write(place("bin/cargo"), "#!/bin/sh\nshift 3\nexec gom \"$@\"\n").unwrap();
        fs::set_permissions(place("bin/cargo"), fs::Permissions::from_mode(0o755)).unwrap();

        let path = format!(
            "{}:{}",
            place("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let mut shell = Process::new("bash")
            .current_dir(&folder)
            .env("PATH", path)
            .env("GOM__SERVER__PORT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        // What is put into the background can be stopped with all that it has started (and is disowned, or the shell would
        // tell of its end in the middle of another command's output).
        writeln!(input, "set -m").unwrap();
        Terminal {
            answers: BufReader::new(shell.stdout.take().unwrap()).lines(),
            input,
            shell,
            folder,
            substitutes: substitutes
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect(),
            changing: CHANGING
                .iter()
                .map(|(from, to)| (Regex::new(from).unwrap(), *to))
                .collect(),
            typed: 0,
            lasting: Vec::new(),
            cursor: None,
        }
    }

    /// Runs the command, and gives its output. One that lasts is left to itself once it has said what the document shows, or, if it waits for others
    /// to act, until the next command has been run.
    pub fn run(&mut self, command: &Command) -> String {
        // What is running this.
        if command.text.contains("scripts/test") {
            return String::new();
        }
        self.typed += 1;
        let output = self.folder.path().join(format!("output-{}", self.typed));
        let text = self.substituted(&command.text);
        let lasts = LASTING.iter().any(|name| {
            text.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        // Of several lines, none may fail.
        let (start, end) = if lasts {
            ("", "& echo $!; disown")
        } else {
            ("trap 'failed=$?' ERR", "; echo ${failed:-0}; unset failed")
        };
        writeln!(
            self.input,
            "{start}\n{{ {text}\n}} >{} 2>&1 </dev/null {end}",
            output.display()
        )
        .unwrap();
        let answer = self.answers.next().expect("the shell lives").unwrap();
        if lasts {
            let waits = text.starts_with("listen");
            self.lasting.push(Lasting {
                command: command.clone(),
                group: answer,
                output,
                seen: false,
            });
            if waits {
                // It must be there before something happens, which its cursor tells.
                let started = Instant::now();
                while !fs::read_to_string(&self.lasting.last().unwrap().output)
                    .is_ok_and(|said| said.contains("id:"))
                {
                    assert!(
                        started.elapsed() < PATIENCE,
                        "line {}: {text}\ndoes not begin",
                        command.line
                    );
                    std::thread::sleep(Duration::from_millis(50));
                }
            } else {
                self.see_lasting();
            }
            return String::new();
        }
        let said = fs::read_to_string(&output).unwrap();
        assert_eq!(
            answer, "0",
            "line {}: {text}\nfails with: {said}",
            command.line
        );
        if let Some(shown) = &command.shown {
            assert_eq!(
                self.unchanging(&said),
                self.unchanging(shown),
                "line {}: {text}\nsays: {said}",
                command.line
            );
        }
        self.see_lasting();
        said
    }

    /// Puts a file into the folder.
    pub fn place(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Stops lasting commands, whose output must have contained what the document shows.
    pub fn stop(&mut self) {
        self.see_lasting();
        for lasting in std::mem::take(&mut self.lasting).iter().rev() {
            let group = &lasting.group;
            writeln!(self.input, "kill -TERM -- -{group} 2>/dev/null; while kill -0 -- -{group} 2>/dev/null; do sleep 0.1; done").unwrap();
        }
        writeln!(self.input, "echo stopped").unwrap();
        assert_eq!(
            self.answers.next().expect("the shell lives").unwrap(),
            "stopped"
        );
    }

    pub fn finish(mut self) {
        self.stop();
        writeln!(self.input, "exit").unwrap();
        self.shell.wait().unwrap();
    }

    fn see_lasting(&mut self) {
        let mut all = std::mem::take(&mut self.lasting);
        for lasting in all.iter_mut().filter(|lasting| !lasting.seen) {
            let expected = match &lasting.command.shown {
                Some(shown) => self.unchanging(shown),
                None => "gomserves".to_owned(),
            };
            let started = Instant::now();
            let said = loop {
                let said = fs::read_to_string(&lasting.output).unwrap_or_default();
                if self.unchanging(&said).contains(&expected) {
                    break said;
                }
                let Command { text, line, .. } = &lasting.command;
                assert!(
                    started.elapsed() < PATIENCE,
                    "line {line}: {text}\nsays: {said}\nand not: {expected}"
                );
                std::thread::sleep(Duration::from_millis(50));
            };
            lasting.seen = true;
            self.learn(&said);
            if lasting.command.text.starts_with("listen") {
                writeln!(self.input, "kill -INT -- -{} 2>/dev/null", lasting.group).unwrap();
            }
        }
        self.lasting = all;
    }

    /// What a reader would copy from an output: the server's address, the token, a cursor.
    fn learn(&mut self, said: &str) {
        let find = |pattern: &str| {
            Regex::new(pattern)
                .unwrap()
                .find_iter(said)
                .last()
                .map(|found| found.as_str().to_owned())
        };
        if let Some(address) = find(r"127\.0\.0\.1:\d+")
            && find("Demo sellers").is_some()
        {
            writeln!(self.input, "export GOM_ADDRESS={address}").unwrap();
        }
        if let Some(token) = find(r"(?m)^ey\S+$") {
            self.substitutes.push(("eyJ0eXAi…".to_owned(), token));
        }
        self.cursor = find(CURSOR).or(self.cursor.take());
    }

    fn substituted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.substitutes {
            text = text.replace(from, to);
        }
        match &self.cursor {
            Some(cursor) => Regex::new(CURSOR)
                .unwrap()
                .replace_all(&text, cursor.as_str())
                .into_owned(),
            None => text,
        }
    }

    fn unchanging(&self, text: &str) -> String {
        self.changing
            .iter()
            .fold(text.to_owned(), |text, (from, to)| {
                from.replace_all(&text, *to).into_owned()
            })
    }
}
