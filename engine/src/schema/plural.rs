//! English plurals by the rules that Prisma 1's server applied (Conway's algorithm in its
//! anglicized form), as a table: the first matching row wins, and rows match the *end* of a name,
//! so that they also hold for compounds such as `StepChild`. Root fields are named after these
//! plurals: a changed row changes the API of every datamodel that it touches.

/// Names that end in one of these stay as they are.
const UNCHANGED: &[&str] = &[
    "fish",
    "ois",
    "sheep",
    "deer",
    "pox",
    "itis",
    "bison",
    "flounder",
    "pliers",
    "bream",
    "gallows",
    "proceedings",
    "breeches",
    "graffiti",
    "rabies",
    "britches",
    "headquarters",
    "salmon",
    "carp",
    "herpes",
    "scissors",
    "chassis",
    "high-jinks",
    "sea-bass",
    "clippers",
    "homework",
    "series",
    "cod",
    "innings",
    "shears",
    "contretemps",
    "jackanapes",
    "species",
    "corps",
    "mackerel",
    "swine",
    "debris",
    "measles",
    "trout",
    "diabetes",
    "mews",
    "tuna",
    "djinn",
    "mumps",
    "whiting",
    "eland",
    "news",
    "wildebeest",
    "elk",
    "pincers",
    "sugar",
];

/// (ending of the name, what of it is cut off, what takes its place)
type Rule = (&'static str, usize, &'static str);

/// Whole words that go their own way.
const IRREGULAR: &[Rule] = &[
    ("child", 0, "ren"),
    ("ephemeris", 2, "des"),
    ("mongoose", 0, "s"),
    ("mythos", 1, "i"),
    ("soliloquy", 1, "ies"),
    ("trilby", 0, "s"),
    ("genus", 2, "era"),
    ("quiz", 0, "zes"),
    ("beef", 0, "s"),
    ("brother", 0, "s"),
    ("cow", 0, "s"),
    ("genie", 0, "s"),
    ("money", 0, "s"),
    ("octopus", 0, "es"),
    ("opus", 0, "es"),
    ("human", 0, "s"),
    ("german", 0, "s"),
];

const SUFFIXES: &[Rule] = &[
    ("man", 2, "en"),
    ("louse", 4, "ice"),
    ("mouse", 4, "ice"),
    ("tooth", 4, "eeth"),
    ("goose", 4, "eese"),
    ("foot", 3, "eet"),
    ("zoon", 2, "a"),
    ("cis", 2, "es"),
    ("sis", 2, "es"),
    ("xis", 2, "es"),
];

/// Latin and Greek words that keep their own plural.
const CLASSICAL: &[(&[&str], usize, &str)] = &[
    (&["codex", "murex", "silex"], 2, "ices"),
    (&["radix", "helix"], 2, "ices"),
    (
        &[
            "bacterium",
            "agendum",
            "desideratum",
            "erratum",
            "stratum",
            "datum",
            "ovum",
            "extremum",
            "candelabrum",
        ],
        2,
        "a",
    ),
    (
        &[
            "criterion",
            "perihelion",
            "aphelion",
            "phenomenon",
            "prolegomenon",
            "noumenon",
            "organon",
            "asyndeton",
            "hyperbaton",
        ],
        2,
        "a",
    ),
    (&["alumna", "alga", "vertebra", "persona"], 0, "e"),
    (
        &[
            "alumnus",
            "alveolus",
            "bacillus",
            "bronchus",
            "locus",
            "nucleus",
            "stimulus",
            "meniscus",
            "sarcophagus",
        ],
        2,
        "i",
    ),
];

/// Words in -o that take a plain -s.
const O_OS: &[&str] = &[
    "albino",
    "archipelago",
    "armadillo",
    "commando",
    "crescendo",
    "fiasco",
    "ditto",
    "dynamo",
    "embryo",
    "ghetto",
    "guano",
    "inferno",
    "jumbo",
    "lumbago",
    "magneto",
    "manifesto",
    "medico",
    "octavo",
    "photo",
    "pro",
    "quarto",
    "canto",
    "lingo",
    "generalissimo",
    "stylo",
    "rhino",
    "casino",
    "auto",
    "macro",
    "zero",
    "solo",
    "soprano",
    "basso",
    "alto",
    "contralto",
    "tempo",
    "piano",
    "virtuoso",
];

/// The general endings, from the special to the plain.
const ENDINGS: &[Rule] = &[
    ("ch", 0, "es"),
    ("sh", 0, "es"),
    ("ss", 0, "es"),
    ("alf", 1, "ves"),
    ("elf", 1, "ves"),
    ("olf", 1, "ves"),
    ("deaf", 0, "s"),
    ("eaf", 1, "ves"),
    ("arf", 1, "ves"),
    ("nife", 2, "ves"),
    ("life", 2, "ves"),
    ("wife", 2, "ves"),
    ("ay", 0, "s"),
    ("ey", 0, "s"),
    ("iy", 0, "s"),
    ("oy", 0, "s"),
    ("uy", 0, "s"),
    ("y", 1, "ies"),
    ("ao", 0, "s"),
    ("eo", 0, "s"),
    ("io", 0, "s"),
    ("oo", 0, "s"),
    ("uo", 0, "s"),
    ("o", 0, "es"),
    ("ulum", 2, "a"),
    ("s", 0, "es"),
    ("x", 0, "es"),
    ("z", 0, "es"),
];

/// The plural of `word`, which may be `word` itself. The case of what is kept stays.
pub(super) fn english_plural(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let ends_in = |list: &[&str]| list.iter().any(|ending| lower.ends_with(ending));
    let first_of = |rules: &[Rule]| {
        rules
            .iter()
            .find(|(ending, ..)| lower.ends_with(ending))
            .copied()
    };

    if ends_in(UNCHANGED) {
        return word.to_owned();
    }
    let (cut, ending) = first_of(IRREGULAR)
        .or_else(|| first_of(SUFFIXES))
        .map(|(_, cut, ending)| (cut, ending))
        .or_else(|| {
            CLASSICAL
                .iter()
                .find(|(list, ..)| ends_in(list))
                .map(|(_, cut, ending)| (*cut, *ending))
        })
        .or_else(|| ends_in(O_OS).then_some((0, "s")))
        .or_else(|| first_of(ENDINGS).map(|(_, cut, ending)| (cut, ending)))
        .unwrap_or((0, "s"));
    format!("{}{ending}", &word[..word.len() - cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_plural() {
        for (one, many) in [
            ("A", "As"),
            ("Bp", "Bps"),
            ("AUser", "AUsers"),
            ("Todo", "Todoes"),
            ("Photo", "Photos"),
            ("Video", "Videos"),
            ("Category", "Categories"),
            ("Company", "Companies"),
            ("Key", "Keys"),
            ("Child", "Children"),
            ("StepChild", "StepChildren"),
            ("Woman", "Women"),
            ("Human", "Humans"),
            ("Mouse", "Mice"),
            ("House", "Houses"),
            ("Foot", "Feet"),
            ("Analysis", "Analyses"),
            ("Status", "Statuses"),
            ("Address", "Addresses"),
            ("Campus", "Campuses"),
            ("Bus", "Buses"),
            ("Box", "Boxes"),
            ("Index", "Indexes"),
            ("Codex", "Codices"),
            ("Quiz", "Quizzes"),
            ("Batch", "Batches"),
            ("Dish", "Dishes"),
            ("Knife", "Knives"),
            ("NightWolf", "NightWolves"),
            ("Leaf", "Leaves"),
            ("Roof", "Roofs"),
            ("Datum", "Data"),
            ("Medium", "Mediums"),
            ("Criterion", "Criteria"),
            ("Schema", "Schemas"),
            ("Settings", "Settingses"),
            ("WorldAtlas", "WorldAtlases"),
            ("Genus", "Genera"),
            ("Price", "Prices"),
            ("Publication", "Publications"),
        ] {
            assert_eq!(english_plural(one), many);
        }
    }

    #[test]
    fn names_without_a_plural_of_their_own_stay() {
        for name in [
            "News",
            "Homework",
            "Scissors",
            "Fish",
            "Sheep",
            "TimeSeries",
        ] {
            assert_eq!(english_plural(name), name);
        }
    }

    #[test]
    fn every_rule_cuts_within_its_own_ending() {
        for (ending, cut, _) in IRREGULAR.iter().chain(SUFFIXES).chain(ENDINGS) {
            assert!(*cut <= ending.len(), "{ending}");
        }
        for (list, cut, _) in CLASSICAL {
            assert!(list.iter().all(|word| *cut <= word.len()));
        }
    }
}
