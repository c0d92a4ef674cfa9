//! The datamodel that the settings name: where it is read from. What it means is the engine's.

use std::io;
use std::path::PathBuf;

use gom_engine::datamodel::{DataModel, DatamodelError, DatamodelErrors, parse_with_warnings};
use gom_engine::migrate::{Rename, RenameError, read_renames};

use crate::settings::Settings;

/// Gom's own, used where no other is named.
const OWN: &str = include_str!("../../config/datamodel.prisma");

/// A datamodel with the text that it was read from.
#[derive(Debug, Clone)]
pub struct LoadedDatamodel {
    /// The file, for messages.
    pub name: String,
    pub text: String,
    pub model: DataModel,
    /// What has no effect.
    pub warnings: Vec<DatamodelError>,
    /// Those that travel with it.
    pub renames: Vec<Rename>,
}

impl LoadedDatamodel {
    /// Says on standard error what has no effect; for commands.
    pub fn say_warnings(&self) {
        for warning in &self.warnings {
            eprintln!("warning: {warning}");
        }
    }
}

/// Why there is no datamodel to work with.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the datamodel {path} cannot be read: {cause}; correct --datamodel (datamodel.file)")]
    File { path: PathBuf, cause: io::Error },
    #[error("the renames {path} cannot be read: {cause}; correct datamodel.renames")]
    RenamesFile { path: PathBuf, cause: io::Error },
    #[error("{path}:{line}: {cause}; correct the file (datamodel.renames)")]
    Rename {
        path: PathBuf,
        line: usize,
        cause: RenameError,
    },
    #[error(transparent)]
    Wrong(#[from] DatamodelErrors),
}

/// What tells datamodels apart: SHA-256 of the text, in hexadecimal.
pub fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads and checks the datamodel that the settings name.
///
/// # Errors
/// If the file cannot be read, or is no datamodel.
pub fn read(settings: &Settings) -> Result<LoadedDatamodel, ReadError> {
    let (name, text) = match &settings.datamodel.file {
        None => ("datamodel.prisma (built in)".to_string(), OWN.to_string()),
        Some(path) => {
            let failed = |cause| ReadError::File {
                path: path.clone(),
                cause,
            };
            (
                path.display().to_string(),
                std::fs::read_to_string(path).map_err(failed)?,
            )
        }
    };
    let (model, warnings) = parse_with_warnings(&name, &text)?;
    let renames = settings
        .datamodel
        .renames
        .as_ref()
        .map(kept_renames)
        .transpose()?
        .unwrap_or_default();
    Ok(LoadedDatamodel {
        name,
        text,
        model,
        warnings,
        renames,
    })
}

fn kept_renames(path: &PathBuf) -> Result<Vec<Rename>, ReadError> {
    let failed = |cause| ReadError::RenamesFile {
        path: path.clone(),
        cause,
    };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    read_renames(&text).map_err(|(line, cause)| ReadError::Rename {
        path: path.clone(),
        line,
        cause,
    })
}
