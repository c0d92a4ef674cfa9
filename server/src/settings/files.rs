//! What is served, from which files, and the private database.

use std::path::PathBuf;

use gom_embedded_postgres::EmbeddedOptions;

use super::key::{FLAG, PATH, section};

section! {
    /// The private PostgreSQL.
    pub struct Embedded at "embedded." {
        /// Folder of the private PostgreSQL and of what the server keeps beside it.
        pub data_dir: PathBuf = PATH.default(".gom"),
        /// Folder with PostgreSQL's programs (`initdb`, `postgres`). Unset: they are looked for.
        pub programs: Option<PathBuf> = PATH,
        /// Fill the private database with the application's demo while it has no rows and the built-in datamodel is
        /// served.
        pub demo: bool = FLAG.default("true"),
    }
}

section! {
    /// What is served.
    pub struct DatamodelFiles at "datamodel." {
        /// The Prisma datamodel (1.1) to serve. Unset: the one that is built in.
        pub file: Option<PathBuf> = PATH.flag("--datamodel"),
        /// Renames that travel with the datamodel, a line each as `gom migrate plan --rename` takes them, the
        /// oldest first; `#` begins a comment. Those that a database has seen are passed over.
        pub renames: Option<PathBuf> = PATH,
    }
}

section! {
    /// Who may see and do what.
    pub struct PolicyFile at "policy." {
        /// The permissions that belong to the datamodel. Unset: the built-in one with the built-in
        /// datamodel; with another,
        /// only the service role has access.
        pub file: Option<PathBuf> = PATH.flag("--policy"),
    }
}

impl Embedded {
    /// The options of the private PostgreSQL.
    pub fn options(&self) -> EmbeddedOptions {
        EmbeddedOptions {
            programs: self.programs.clone(),
            ..EmbeddedOptions::new(&self.data_dir)
        }
    }
}
