//! The layers together: which place wins, and what is reported when something is wrong.

mod checks;
mod former;
mod issuers;
mod layers;

use std::time::Duration;

use super::*;

pub(super) fn inputs(variables: &[(&str, &str)]) -> Inputs {
    Inputs {
        keys: &[],
        purpose: Purpose::Tool,
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        directory: None,
        arguments: Vec::new(),
    }
}

pub(super) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(super) fn source_of<'a>(loaded: &'a Loaded, key: &str) -> &'a str {
    &loaded
        .effective
        .iter()
        .find(|effective| effective.key == key)
        .unwrap()
        .source
}

pub(super) fn problems(inputs: &Inputs) -> Vec<(String, String)> {
    let error = load(inputs).unwrap_err();
    error
        .problems
        .into_iter()
        .map(|problem| {
            (
                problem.key,
                problem
                    .source
                    .map_or(String::new(), |source| source.to_string()),
            )
        })
        .collect()
}
