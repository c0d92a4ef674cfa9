//! What was found, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    /// It could be better, or may become a problem.
    Warning,
    /// Something does not work.
    Problem,
    /// It was not looked at; why.
    Skipped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Problem => "problem",
            Outcome::Skipped => "skipped",
        }
    }
}

#[derive(Debug, Serialize)]
struct Check {
    subject: &'static str,
    check: &'static str,
    outcome: Outcome,
    found: String,
    /// What to do about it.
    remedy: Option<String>,
}

/// All that was found, in the order in which it was looked for.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

/// The part of a report that is about one thing. Texts never hold a secret.
pub(super) struct Subject<'a> {
    name: &'static str,
    report: &'a mut Report,
}

impl Report {
    pub fn of(&mut self, subject: &'static str) -> Subject<'_> {
        Subject {
            name: subject,
            report: self,
        }
    }

    pub fn count(&self, outcome: Outcome) -> usize {
        self.checks
            .iter()
            .filter(|check| check.outcome == outcome)
            .count()
    }

    pub fn as_json(&self) -> String {
        let report = json!({
            "problems": self.count(Outcome::Problem),
            "warnings": self.count(Outcome::Warning),
            "checks": self.checks,
        });
        format!("{report:#}")
    }

    pub fn in_words(&self) -> String {
        let mut text = String::new();
        let mut subject = "";
        for check in &self.checks {
            if check.subject != subject {
                subject = check.subject;
                let _ = writeln!(text, "{subject}");
            }
            let _ = writeln!(
                text,
                "  {:8} {}: {}",
                check.outcome.name(),
                check.check,
                check.found
            );
            if let Some(remedy) = &check.remedy {
                let _ = writeln!(text, "           → {remedy}");
            }
        }
        let (problems, warnings) = (self.count(Outcome::Problem), self.count(Outcome::Warning));
        let of = |count: usize, word: &str| {
            format!("{count} {word}{}", if count == 1 { "" } else { "s" })
        };
        let _ = writeln!(
            text,
            "\n{}, {}",
            of(problems, "problem"),
            of(warnings, "warning")
        );
        text
    }
}

impl Subject<'_> {
    pub fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(check, Outcome::Ok, found.into(), None);
    }

    pub fn warning(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::Warning, found.into(), Some(remedy.into()));
    }

    pub fn problem(
        &mut self,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(check, Outcome::Problem, found.into(), Some(remedy.into()));
    }

    pub fn skipped(&mut self, check: &'static str, why: impl Into<String>) {
        self.add(check, Outcome::Skipped, why.into(), None);
    }

    fn add(
        &mut self,
        check: &'static str,
        outcome: Outcome,
        found: String,
        remedy: Option<String>,
    ) {
        self.report.checks.push(Check {
            subject: self.name,
            check,
            outcome,
            found,
            remedy,
        });
    }
}
