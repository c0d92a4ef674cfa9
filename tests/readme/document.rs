//! The commands of a document, and what it shows of their output.

/// A fenced block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// As it would be typed, here-documents and continued lines with it.
    pub text: String,
    /// What the document shows; nothing in blocks that show none.
    pub shown: Option<String>,
    /// Where it begins in the document, from 1.
    pub line: usize,
}

/// Every command of the blocks `sh` (all lines are commands) and `console` (commands begin with `$ `, output follows).
pub fn commands(document: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut lines = document.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let block = lines
            .clone()
            .take_while(|(line, _)| !line.starts_with("```"));
        match line.trim() {
            "```sh" => {
                let text = block.map(|(line, _)| line).collect::<Vec<_>>().join("\n");
                commands.push(Command {
                    text,
                    shown: None,
                    line: number + 1,
                });
            }
            "```console" => commands.extend(console(block)),
            _ => continue,
        }
        // Past the block's end, which would else begin one.
        lines.by_ref().find(|(line, _)| line.starts_with("```"));
    }
    commands
}

fn console<'a>(mut lines: impl Iterator<Item = (&'a str, usize)>) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    while let Some((text, line)) = lines.next() {
        let Some(typed) = text.strip_prefix("$ ") else {
            let Some(Command {
                shown: Some(shown), ..
            }) = commands.last_mut()
            else {
                panic!("line {line} is neither a command nor its output: {text}");
            };
            shown.push_str(text);
            shown.push('\n');
            continue;
        };
        let mut typed = typed.to_owned();
        let end = typed
            .split("<<'")
            .nth(1)
            .and_then(|rest| rest.split('\'').next())
            .map(str::to_owned);
        let mut more = || lines.next().expect("a command has an end").0;
        if let Some(end) = end {
            while typed.lines().last() != Some(&end) {
                typed = format!("{typed}\n{}", more());
            }
        }
        while typed.ends_with('\\') {
            typed = format!("{typed}\n{}", more());
        }
        commands.push(Command {
            text: typed,
            shown: Some(String::new()),
            line,
        });
    }
    commands
}

#[test]
fn blocks_are_read_as_they_are_typed() {
    let read = |line, text: &str, shown: Option<&str>| Command {
        text: text.to_owned(),
        shown: shown.map(str::to_owned),
        line,
    };
    let document = "\
Words.
```sh
one
two
```
More `words`.
```console
$ ask <<'X'
{ }
X
answer,
in two lines
$ long \\
    line
```
```json
{}
```
";
    let expected = [
        read(3, "one\ntwo", None),
        read(8, "ask <<'X'\n{ }\nX", Some("answer,\nin two lines\n")),
        read(13, "long \\\n    line", Some("")),
    ];
    assert_eq!(commands(document), expected);
}
