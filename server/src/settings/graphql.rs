//! The settings of the API.

use super::key::{FLAG, SIZE, section};

section! {
    /// What the API offers.
    pub struct Graphql at "graphql." {
        /// Answer `__schema` and `__type`. The service role is always answered.
        pub introspection: bool = FLAG.default("true"),
        /// Show GraphiQL to browsers that open the API's address.
        pub console: bool = FLAG.default("true"),
        /// Offer the mutation `executeRaw`, for the service role only.
        pub execute_raw: bool = FLAG.default("false").flag("--execute-raw"),
    }
}

section! {
    /// What is kept in memory to answer faster.
    pub struct Cache at "cache." {
        /// Memory for parsed and checked documents and their plans, in all.
        pub document_bytes: usize = SIZE.default("16777216"),
    }
}
