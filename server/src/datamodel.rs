//! The datamodel that the settings name: where it is read from. What it means is the engine's.

use std::io;
use std::path::PathBuf;

use gom_engine::datamodel::{DataModel, DatamodelError, DatamodelErrors, parse_with_warnings};
use gom_engine::migrate::{Rename, RenameError, read_renames};

use crate::settings::Settings;

/// The datamodel and the policy that are built in with an application, used where the settings name no datamodel.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// The text of a Prisma datamodel.
    pub datamodel: &'static str,
    /// The text of its policy, TOML.
    pub policy: &'static str,
}

/// A datamodel with the text that it was read from.
#[derive(Debug, Clone)]
pub struct LoadedDatamodel {
    /// The file, for messages.
    pub name: String,
    /// The text of the file, as it was read.
    pub text: String,
    /// What the text declares.
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
    /// The settings name no datamodel, and the application has none built in.
    #[error(
        "there is no datamodel: this server has none built in; name one with --datamodel (datamodel.file)"
    )]
    None,
    /// The file of the datamodel cannot be read.
    #[error("the datamodel {path} cannot be read: {cause}; correct --datamodel (datamodel.file)")]
    File {
        /// As the settings name it.
        path: PathBuf,
        /// What the system reported.
        cause: io::Error,
    },
    /// The file of the renames cannot be read.
    #[error("the renames {path} cannot be read: {cause}; correct datamodel.renames")]
    RenamesFile {
        /// As the settings name it.
        path: PathBuf,
        /// What the system reported.
        cause: io::Error,
    },
    /// A line of the renames is no rename.
    #[error("{path}:{line}: {cause}; correct the file (datamodel.renames)")]
    Rename {
        /// As the settings name it.
        path: PathBuf,
        /// Counts from 1.
        line: usize,
        /// What is wrong with the line.
        cause: RenameError,
    },
    /// The text is no datamodel, or an inconsistent one.
    #[error(transparent)]
    Wrong(#[from] DatamodelErrors),
}

/// By which datamodels are distinguished: SHA-256 of the text, in hexadecimal.
pub fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads and checks the datamodel that the settings name, or the one that is built in.
///
/// # Errors
/// If the file cannot be read, or is no datamodel.
pub fn read(settings: &Settings, built_in: Option<&BuiltIn>) -> Result<LoadedDatamodel, ReadError> {
    let (name, text) = match (&settings.datamodel.file, built_in) {
        (None, None) => return Err(ReadError::None),
        (None, Some(built_in)) => (
            "datamodel.prisma (built in)".to_string(),
            built_in.datamodel.to_string(),
        ),
        (Some(path), _) => {
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
