//! From one type of column to another: the expression, which values it takes, and which of them
//! stay what they are. Works in every version of PostgreSQL that is served, so without its
//! functions that test a cast. Knows no tables.

use super::names::quote_literal;

/// How the values of a column become another type's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conversion {
    /// The value as the new type. Fails where `fits` is false.
    pub cast: String,
    /// A condition for values that the new type has; nothing where it has all.
    pub fits: Option<String>,
    /// A condition for values that stay what they are, of those that fit; nothing where all do.
    pub keeps: Option<String>,
}

impl Conversion {
    /// The value, or null where it does not fit.
    pub(super) fn value(&self) -> String {
        match &self.fits {
            None => self.cast.clone(),
            Some(fits) => format!("CASE WHEN {fits} THEN {} END", self.cast),
        }
    }

    /// That a value becomes null.
    pub(super) fn loses(&self, value: &str) -> Option<String> {
        let fits = self.fits.as_ref()?;
        Some(format!("({value} IS NOT NULL AND NOT ({fits}))"))
    }

    /// That a value becomes null or another one.
    pub(super) fn changes(&self, value: &str) -> Option<String> {
        let stays = match (&self.fits, &self.keeps) {
            (None, None) => return None,
            (Some(condition), None) | (None, Some(condition)) => condition.clone(),
            (Some(fits), Some(keeps)) => format!("CASE WHEN {fits} THEN {keeps} ELSE false END"),
        };
        Some(format!("{value} IS NOT NULL AND NOT ({stays})"))
    }
}

/// The conversion of the expression `value` from a type to one of the datamodel's, as `format_type`
/// writes them.
pub(super) fn conversion(value: &str, from: &str, to: &str) -> Conversion {
    // Through text, because that way leads from every type to every type.
    let text = format!("{value}::text");
    let through_text = format!("{text}::{to}");
    let matches = |number: &str| {
        // The spaces that numbers may have around them; `[[:space:]]` has more.
        let space = r"[ \t\n\r\f\v]*";
        format!(
            "{text} ~ {}",
            quote_literal(&format!("^{space}[+-]?{number}{space}$"))
        )
    };
    match to {
        "text" => Conversion {
            cast: text,
            fits: None,
            keeps: None,
        },
        "integer" if from.starts_with("numeric") => Conversion {
            cast: format!("round({value})::integer"),
            fits: Some(format!("round({value}) BETWEEN -2147483648 AND 2147483647")),
            keeps: Some(format!("{value} = round({value})")),
        },
        "integer" if from == "smallint" => Conversion {
            cast: through_text,
            fits: None,
            keeps: None,
        },
        "integer" => Conversion {
            keeps: Some(format!("{through_text}::text = {text}")),
            cast: through_text,
            fits: Some(format!(
                "CASE WHEN {} THEN {text}::bigint BETWEEN -2147483648 AND 2147483647 ELSE false END",
                matches("[0-9]{1,10}")
            )),
        },
        "numeric(65,30)" if matches!(from, "integer" | "smallint" | "bigint") => Conversion {
            cast: through_text,
            fits: None,
            keeps: None,
        },
        "numeric(65,30)" => Conversion {
            cast: through_text,
            fits: Some(format!(
                "CASE WHEN {} THEN abs({text}::numeric) < 1e34 ELSE false END",
                matches("([0-9]{1,34}([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})?")
            )),
            keeps: Some(format!("{text}::numeric = round({text}::numeric, 30)")),
        },
        "boolean" => Conversion {
            cast: through_text,
            fits: Some(format!(
                "lower(btrim({text})) IN ('t', 'true', 'y', 'yes', 'on', '1', 'f', 'false', 'n', 'no', 'off', '0')"
            )),
            keeps: None,
        },
        "uuid" => Conversion {
            cast: through_text,
            fits: Some(format!(
                "{text} ~ '^[0-9a-fA-F]{{8}}-([0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}$'"
            )),
            keeps: None,
        },
        _ if to.starts_with("timestamp") => to_time(value, from, to, through_text),
        _ => match length(to) {
            // Without a cast: an explicit one would cut silently.
            Some(most) => Conversion {
                fits: Some(format!("length({text}) <= {most}")),
                cast: text,
                keeps: None,
            },
            None => Conversion {
                cast: through_text,
                fits: None,
                keeps: Some("false".into()),
            },
        },
    }
}

fn to_time(value: &str, from: &str, to: &str, cast: String) -> Conversion {
    if from == "date" {
        return Conversion {
            cast,
            fits: None,
            keeps: None,
        };
    }
    if from.starts_with("timestamp") {
        let keeps = Some(format!("date_trunc('milliseconds', {value}) = {value}"));
        // Times are in UTC, whatever the session's time zone is.
        let cast = match from.ends_with("with time zone") {
            true => format!("({value} AT TIME ZONE 'UTC')::{to}"),
            false => cast,
        };
        return Conversion {
            cast,
            fits: None,
            keeps,
        };
    }
    // Days that a month does not have would fail.
    let text = format!("{value}::text");
    let fits = format!(
        "CASE WHEN {text} ~ '^[1-9][0-9]{{3}}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
         ([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{{1,3}})?)?Z?)?$' \
         THEN substr({text}, 9, 2)::int <= extract(day FROM \
         make_date(substr({text}, 1, 4)::int, substr({text}, 6, 2)::int, 1) + interval '1 month - 1 day') \
         ELSE false END"
    );
    Conversion {
        cast,
        fits: Some(fits),
        keeps: None,
    }
}

/// The `25` of `character varying(25)`.
fn length(sql_type: &str) -> Option<u32> {
    sql_type
        .strip_prefix("character varying(")?
        .strip_suffix(')')?
        .parse()
        .ok()
}
