//! A password for a command: prompted for on a terminal, without showing it, or read from standard
//! input. Never from the command line, which other users of the machine can see.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};

use gom_actors::secret::SecretText;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Failure;

/// More than any password is long.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// How often it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Twice, because it is a new one.
    Twice,
}

pub(super) fn ask(asked: Asked) -> Result<SecretText, Failure> {
    let failed = |error: io::Error| Failure::because("the password cannot be read", &error);
    if !io::stdin().is_terminal() {
        return from_input(io::stdin().lock()).map_err(failed);
    }
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(failed)?;
    let first = on_terminal(&terminal, "Password: ").map_err(failed)?;
    if asked == Asked::Twice && on_terminal(&terminal, "Once more: ").map_err(failed)? != first {
        return Err(Failure::Other(
            "the two passwords are not the same; nothing was changed".into(),
        ));
    }
    Ok(first)
}

/// All of it, without one newline at its end.
fn from_input(input: impl Read) -> io::Result<SecretText> {
    let mut text = String::new();
    input.take(MAX_INPUT_BYTES).read_to_string(&mut text)?;
    Ok(without_newline(text))
}

fn without_newline(mut text: String) -> SecretText {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    SecretText::new(text)
}

fn on_terminal(mut terminal: &File, question: &str) -> io::Result<SecretText> {
    terminal.write_all(question.as_bytes())?;
    let quiet = Quiet::begin(terminal)?;
    let mut line = String::new();
    let read = BufReader::new(terminal.take(MAX_INPUT_BYTES)).read_line(&mut line);
    drop(quiet);
    // The line's end was not shown, either.
    terminal.write_all(b"\n")?;
    read.map(|_| without_newline(line))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn begin(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Quiet { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that has gone away.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_a_password_without_its_last_newline() {
        let read = |text: &str| from_input(text.as_bytes()).unwrap().into_exposed();
        assert_eq!(read("pass word\n"), "pass word");
        assert_eq!(read("pass word\r\n"), "pass word");
        assert_eq!(read("two\nlines\n\n"), "two\nlines\n");
        assert_eq!(read(""), "");
    }
}
