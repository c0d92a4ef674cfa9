//! Every key there is: the one table that reading, checking, `gom config` and `docs/CONFIGURATION.md` follow.

use super::kind::Kind;

/// A setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its place in the tree, snake_case, parts joined by dots. In the environment: `GOM__` and the parts in
    /// upper case, joined by two underscores.
    pub path: &'static str,
    pub kind: Kind,
    /// As text; `None` where the key may stay unset.
    pub default: Option<&'static str>,
    /// Environment variables that mean this key, beside the one made from the path.
    pub variables: &'static [&'static str],
    /// The original's path, where it differs by more than its spelling.
    pub alias: Option<&'static str>,
    pub description: &'static str,
}

impl Key {
    const fn new(
        path: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        description: &'static str,
    ) -> Key {
        Key { path, kind, default, variables: &[], alias: None, description }
    }

    const fn variables(mut self, names: &'static [&'static str]) -> Key {
        self.variables = names;
        self
    }

    const fn alias(mut self, path: &'static str) -> Key {
        self.alias = Some(path);
        self
    }

    /// The variable made from the path: `GOM__SERVER__PORT`.
    pub fn variable(&self) -> String {
        format!("GOM__{}", self.path.replace('.', "__").to_uppercase())
    }

    /// Every variable that sets this key, the one that wins last.
    pub fn all_variables(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.variable()).chain(self.variables.iter().map(|name| (*name).to_owned()))
    }
}

/// The key at a path, or at the original's path for it. Parts may be written in snake_case, camelCase or
/// kebab-case.
pub fn find(path: &str) -> Option<&'static Key> {
    let path = snake_case(path);
    KEYS.iter().find(|key| key.path == path || key.alias == Some(&path))
}

/// The path that is most like the one written, if any is near.
pub fn nearest(path: &str) -> Option<&'static str> {
    let path = snake_case(path);
    KEYS.iter()
        .map(|key| (distance(&path, key.path), key.path))
        .min()
        .filter(|(distance, found)| *distance <= found.len() / 3)
        .map(|(_, found)| found)
}

/// `session.options.maxAge` and `login-limiter` as `session.options.max_age` and `login_limiter`.
fn snake_case(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 4);
    let mut previous = '.';
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            if previous.is_ascii_lowercase() || previous.is_ascii_digit() {
                out.push('_');
            }
            out.push(c.to_ascii_lowercase());
        } else {
            out.push(if c == '-' { '_' } else { c });
        }
        previous = c;
    }
    out
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

const COUNT: Kind = Kind::Integer { min: 1, max: 1_000_000_000 };
const DEPTH: Kind = Kind::Integer { min: 1, max: 64 };
const SIZE: Kind = Kind::Bytes { min: 1_024, max: 1_073_741_824 };
const TIME: Kind = Kind::Milliseconds { min: 1, max: 3_600_000 };

/// Every key, in the order in which they are shown.
pub static KEYS: &[Key] = &[
    Key::new("server.host", Kind::Text, Some("127.0.0.1"), "Address or host name that the server listens on."),
    Key::new(
        "server.port",
        Kind::Integer { min: 0, max: 65_535 },
        Some("3000"),
        "Port that the server listens on; 0 takes any free one, which is printed.",
    ),
    Key::new(
        "server.workers",
        Kind::Integer { min: 0, max: 1_024 },
        Some("0"),
        "Worker threads; 0 means one for each core.",
    ),
    Key::new(
        "server.shutdown_timeout",
        TIME,
        Some("10000"),
        "How long requests in hand may take to finish once the server is told to stop.",
    ),
    Key::new(
        "database.url",
        Kind::DatabaseUrl,
        None,
        "The PostgreSQL database. Unset: the server runs a private one (see `embedded`).",
    )
    .variables(&["DATABASE_URL"]),
    Key::new(
        "database.schema",
        Kind::Text,
        Some("default$default"),
        "PostgreSQL schema of the models' tables; the default is what Prisma 1 named it.",
    ),
    Key::new(
        "database.max_connections",
        Kind::Integer { min: 2, max: 10_000 },
        Some("64"),
        "Connections for requests, of the whole process; the workers share them equally.",
    ),
    Key::new(
        "database.read_connections",
        Kind::Integer { min: 1, max: 64 },
        Some("2"),
        "Pipelined connections for reads, for each worker thread.",
    ),
    Key::new(
        "database.write_connections",
        Kind::Integer { min: 1, max: 1_000 },
        Some("8"),
        "Connections for transactions and for long reads, for each worker thread.",
    ),
    Key::new(
        "database.max_in_hand",
        COUNT,
        Some("4096"),
        "Requests of one worker thread that may be in hand at once; the next is refused as overload.",
    ),
    Key::new(
        "database.max_waiting",
        COUNT,
        Some("1024"),
        "Requests of one worker thread that may wait for a connection; the next is refused as overload.",
    ),
    Key::new(
        "database.statement_cache",
        Kind::Integer { min: 1, max: 10_000 },
        Some("256"),
        "Prepared statements kept on each connection.",
    ),
    Key::new(
        "database.retries",
        Kind::Integer { min: 0, max: 100 },
        Some("5"),
        "How often a write is repeated after a deadlock or a serialization failure.",
    ),
    Key::new(
        "database.statement_timeout",
        TIME,
        Some("5000"),
        "PostgreSQL stops a statement that runs longer.",
    ),
    Key::new(
        "database.connect_timeout",
        TIME,
        Some("1000"),
        "An attempt to connect that takes longer has failed.",
    ),
    Key::new(
        "database.deploy",
        Kind::Flag,
        None,
        "Bring the database to the datamodel before serving. Unset: only a private database.",
    ),
    Key::new(
        "embedded.data_dir",
        Kind::Path,
        Some(".gom"),
        "Folder of the private PostgreSQL and of what the server keeps beside it.",
    ),
    Key::new(
        "embedded.programs",
        Kind::Path,
        None,
        "Folder with PostgreSQL's programs (`initdb`, `postgres`). Unset: they are looked for.",
    ),
    Key::new(
        "embedded.demo",
        Kind::Flag,
        Some("true"),
        "Fill the private database with the demo shop while it has no rows and Gom's own datamodel is served.",
    ),
    Key::new(
        "service.secret",
        Kind::Secret,
        None,
        "Signs and checks service tokens (HS256). Needed with `database.url`; the private database's is made at first start and kept beside it.",
    )
    .variables(&["PRISMA_SECRET"])
    .alias("prisma.secret"),
    Key::new(
        "datamodel.file",
        Kind::Path,
        None,
        "The Prisma datamodel (1.1) to serve. Unset: Gom's own, which is built in.",
    ),
    Key::new(
        "policy.file",
        Kind::Path,
        None,
        "The permissions that belong to the datamodel. Has no effect until sessions exist: only the service role has access.",
    ),
    Key::new(
        "graphql.introspection",
        Kind::Flag,
        Some("true"),
        "Answer `__schema` and `__type`. The service role is always answered.",
    ),
    Key::new(
        "graphql.execute_raw",
        Kind::Flag,
        Some("false"),
        "Offer the mutation `executeRaw`, for the service role only.",
    ),
    Key::new("limits.body_bytes", SIZE, Some("1048576"), "Size of a request's body."),
    Key::new("limits.query_bytes", SIZE, Some("65536"), "Size of a GraphQL document."),
    Key::new("limits.tokens", COUNT, Some("4000"), "Lexical tokens of a document."),
    Key::new("limits.depth", DEPTH, Some("15"), "Levels of nested fields."),
    Key::new("limits.aliases", COUNT, Some("50"), "Aliases in a document, fragments expanded."),
    Key::new("limits.fields", COUNT, Some("1000"), "Selected fields of a document, fragments expanded."),
    Key::new("limits.root_fields", COUNT, Some("20"), "Top-level fields of an operation."),
    Key::new("limits.complexity", COUNT, Some("200000"), "Fields that an answer may hold: each list counts as many times as rows were asked for."),
    Key::new("limits.page_size", COUNT, Some("1000"), "Rows of one list in an answer."),
    Key::new("limits.batch", COUNT, Some("10"), "Operations in one batched request."),
    Key::new("limits.deadline", TIME, Some("5000"), "A request that takes longer is answered with an error."),
    Key::new("limits.service.body_bytes", SIZE, Some("16777216"), "For the service role: size of a request's body."),
    Key::new("limits.service.query_bytes", SIZE, Some("4194304"), "For the service role: size of a GraphQL document."),
    Key::new("limits.service.tokens", COUNT, Some("200000"), "For the service role: lexical tokens of a document."),
    Key::new("limits.service.depth", DEPTH, Some("40"), "For the service role: levels of nested fields."),
    Key::new("limits.service.aliases", COUNT, Some("10000"), "For the service role: aliases in a document, fragments expanded."),
    Key::new("limits.service.fields", COUNT, Some("100000"), "For the service role: selected fields of a document, fragments expanded."),
    Key::new("limits.service.root_fields", COUNT, Some("1000"), "For the service role: top-level fields of an operation."),
    Key::new("limits.service.complexity", COUNT, Some("1000000000"), "For the service role: fields that an answer may hold: each list counts as many times as rows were asked for."),
    Key::new("limits.service.page_size", COUNT, Some("1000000"), "For the service role: rows of one list in an answer."),
    Key::new("limits.service.batch", COUNT, Some("100"), "For the service role: operations in one batched request."),
    Key::new("limits.service.deadline", TIME, Some("5000"), "For the service role: a request that takes longer is answered with an error."),
    Key::new(
        "cache.document_bytes",
        SIZE,
        Some("16777216"),
        "Memory for parsed and checked documents and their plans, in all.",
    ),
    Key::new("log.level", Kind::LogFilter, Some("info,actix_server=warn,tokio_postgres=warn,refinery_core=warn"), "Which lines are logged."),
    Key::new(
        "log.format",
        Kind::Choice(&["pretty", "json"]),
        Some("pretty"),
        "How lines are written to standard error.",
    ),
    Key::new(
        "app_key",
        Kind::Secret,
        None,
        "From it the keys for cookies and customers' tokens are derived. Has no effect until sessions exist.",
    )
    .variables(&["APP_KEY"]),
    Key::new("redis.host", Kind::Text, None, "Host of Redis. Has no effect until sessions exist.")
        .variables(&["REDIS_HOST"]),
    Key::new(
        "redis.port",
        Kind::Integer { min: 1, max: 65_535 },
        Some("6379"),
        "Port of Redis. Has no effect until sessions exist.",
    )
    .variables(&["REDIS_PORT"]),
    Key::new(
        "auth.auth0.client_id",
        Kind::Text,
        None,
        "Client of the password grant. Has no effect until sessions exist.",
    )
    .variables(&["AUTH0_CLIENT_ID"]),
    Key::new(
        "auth.auth0.client_secret",
        Kind::Secret,
        None,
        "Its secret. Has no effect until sessions exist.",
    )
    .variables(&["AUTH0_CLIENT_SECRET"]),
    Key::new(
        "push.vapid.public_key",
        Kind::Text,
        None,
        "Public key of Web Push. Has no effect until push exists.",
    )
    .variables(&["VAPID_PUBLIC_KEY"]),
    Key::new(
        "push.vapid.private_key",
        Kind::Secret,
        None,
        "Private key of Web Push. Has no effect until push exists.",
    )
    .variables(&["VAPID_PRIVATE_KEY"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_that_its_key_accepts() {
        for key in KEYS {
            if let Some(default) = key.default {
                key.kind.read_text(default).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", key.path));
            }
            assert!(!key.kind.is_secret() || key.default.is_none(), "{} has a default secret", key.path);
        }
    }

    #[test]
    fn no_name_means_two_keys() {
        let mut names: Vec<String> = KEYS
            .iter()
            .flat_map(Key::all_variables)
            .flat_map(|name| [format!("{name}_FILE"), name])
            .collect();
        names.extend(KEYS.iter().flat_map(|key| [Some(key.path), key.alias]).flatten().map(String::from));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_originals_spellings_are_found() {
        assert_eq!(find("database.statementTimeout").unwrap().path, "database.statement_timeout");
        assert_eq!(find("database.statement-timeout").unwrap().path, "database.statement_timeout");
        assert_eq!(find("auth.auth0.clientId").unwrap().path, "auth.auth0.client_id");
        assert_eq!(find("appKey").unwrap().path, "app_key");
        assert_eq!(find("prisma.secret").unwrap().path, "service.secret");
        assert!(find("server.hostess").is_none());
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        assert_eq!(nearest("server.prot"), Some("server.port"));
        assert_eq!(nearest("entirely.different.thing"), None);
    }
}
