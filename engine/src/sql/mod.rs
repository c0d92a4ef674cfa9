//! Stage six: plans become SQL text with parameters. Knows tables, columns and values, and no GraphQL.
