//! English plurals, as the generated services spell their paths.

use std::sync::LazyLock;

use regex::Regex;

/// Words that are their own plural.
const SAME: &[&str] = &[
    "advice",
    "agenda",
    "aircraft",
    "analytics",
    "audio",
    "bison",
    "butter",
    "cash",
    "chassis",
    "clothing",
    "commerce",
    "cooperation",
    "corps",
    "data",
    "debris",
    "energy",
    "equipment",
    "expertise",
    "firmware",
    "furniture",
    "garbage",
    "hardware",
    "headquarters",
    "health",
    "homework",
    "housework",
    "information",
    "jeans",
    "justice",
    "labour",
    "literature",
    "machinery",
    "mail",
    "media",
    "metadata",
    "money",
    "music",
    "news",
    "only",
    "personnel",
    "police",
    "pollution",
    "premises",
    "rain",
    "research",
    "rice",
    "salmon",
    "scissors",
    "series",
    "sewage",
    "shrimp",
    "software",
    "species",
    "staff",
    "swine",
    "tennis",
    "traffic",
    "transportation",
    "trout",
    "tuna",
    "wealth",
    "welfare",
    "wildlife",
    "you",
    "garlic",
    "graffiti",
];

/// Words whose plural follows no ending.
const IRREGULAR: &[(&str, &str)] = &[
    ("axe", "axes"),
    ("canvas", "canvases"),
    ("die", "dice"),
    ("dingo", "dingoes"),
    ("dogma", "dogmata"),
    ("echo", "echoes"),
    ("eye", "eyes"),
    ("foot", "feet"),
    ("genus", "genera"),
    ("goose", "geese"),
    ("groove", "grooves"),
    ("he", "they"),
    ("human", "humans"),
    ("i", "we"),
    ("is", "are"),
    ("it", "they"),
    ("me", "us"),
    ("ox", "oxen"),
    ("passerby", "passersby"),
    ("proof", "proofs"),
    ("quiz", "quizzes"),
    ("she", "they"),
    ("that", "those"),
    ("this", "these"),
    ("tooth", "teeth"),
    ("torpedo", "torpedoes"),
    ("valve", "valves"),
    ("volcano", "volcanoes"),
    ("yes", "yeses"),
];

/// Endings and what becomes of them; the first that fits decides.
const ENDINGS: &[(&str, &str)] = &[
    ("thou$", "you"),
    ("(pok[eé]mon|[^aeiou]ese|deer|fish|measles|o[iu]s|pox|sheep)$", "$1"),
    ("m[ae]n$", "men"),
    ("eaux$", "eaux"),
    ("(child)(?:ren)?$", "${1}ren"),
    ("(pe)(?:rson|ople)$", "${1}ople"),
    (r"\b((?:tit)?m|l)(?:ice|ouse)$", "${1}ice"),
    ("(matr|cod|mur|sil|vert|ind|append)(?:ix|ex)$", "${1}ices"),
    ("(x|ch|ss|sh|zz)$", "${1}es"),
    ("([^ch][ieo][ln])ey$", "${1}ies"),
    ("([^aeiouy]|qu)y$", "${1}ies"),
    ("(kni|wi|li)fe$", "${1}ves"),
    ("(ar|l|ea|eo|oa|hoo)f$", "${1}ves"),
    ("sis$", "ses"),
    (
        "(apheli|hyperbat|periheli|asyndet|noumen|phenomen|criteri|organ|prolegomen|hedr|automat)(?:a|on)$",
        "${1}a",
    ),
    (
        "(agend|addend|millenni|dat|extrem|bacteri|desiderat|strat|candelabr|errat|ov|symposi|curricul|automat|quor)(?:a|um)$",
        "${1}a",
    ),
    ("(her|at|gr)o$", "${1}oes"),
    ("(seraph|cherub)(?:im)?$", "${1}im"),
    ("(alumn|alg|vertebr)(?:a|ae)$", "${1}ae"),
    ("(alumn|syllab|vir|radi|nucle|fung|cact|stimul|termin|bacill|foc|uter|loc|strat)(?:us|i)$", "${1}i"),
    ("([^l]ias|[aeiou]las|[ejzr]as|[iu]am)$", "$1"),
    ("(e[mn]u)s?$", "${1}s"),
    ("(alias|[^aou]us|t[lm]as|gas|ris)$", "${1}es"),
    ("(ax|test)is$", "${1}es"),
    ("([^aeiou]ese)$", "$1"),
    (r"([^\x00-\x7F])$", "$1"),
    ("s$", "s"),
    ("([^s])$", "${1}s"),
];

/// The plural of a name in camel case, which may end in any word.
pub(crate) fn plural(name: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let compile = |(ending, plural): &(&str, &'static str)| {
            (Regex::new(&format!("(?i){ending}")).expect("invariant: the endings are regular"), *plural)
        };
        ENDINGS.iter().map(compile).collect()
    });
    let lower = name.to_lowercase();
    if SAME.contains(&lower.as_str()) {
        return name.to_owned();
    }
    if let Some((_, plural)) = IRREGULAR.iter().find(|(single, plural)| lower == *single || lower == *plural)
    {
        return (*plural).to_owned();
    }
    match RULES.iter().find(|(ending, _)| ending.is_match(name)) {
        Some((ending, plural)) => ending.replace(name, *plural).into_owned(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_nouns_have_their_usual_plurals() {
        for (single, expected) in [
            ("order", "orders"),
            ("delivery", "deliveries"),
            ("inventory", "inventories"),
            ("feeStatus", "feeStatuses"),
            ("status", "statuses"),
            ("news", "news"),
            ("myPage", "myPages"),
            ("bus", "buses"),
            ("address", "addresses"),
            ("box", "boxes"),
            ("analysis", "analyses"),
            ("person", "people"),
            ("child", "children"),
            ("datum", "data"),
            ("leaf", "leaves"),
            ("key", "keys"),
            ("hero", "heroes"),
            ("photo", "photos"),
            ("woman", "women"),
            ("orders", "orders"),
            ("canvas", "canvases"),
            ("quiz", "quizzes"),
            ("주문관리", "주문관리"),
            ("", ""),
        ] {
            assert_eq!(plural(single), expected);
        }
    }
}
