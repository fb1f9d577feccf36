//! Names: what a drawing calls things, and what Kubernetes and URLs can call them.

mod plural;
mod romanise;

use std::collections::BTreeSet;

pub(crate) use plural::plural;

use romanise::romanise;

/// The most characters of a name, so that `-canary` or a number still fits into Kubernetes' 63.
const LONGEST: usize = 50;

/// The words of a name: parted by anything that is neither letter nor digit, and where lower case turns to upper.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let characters: Vec<char> = name.chars().collect();
    let mut is_within = false;
    for (at, c) in characters.iter().enumerate() {
        if !c.is_alphanumeric() {
            is_within = false;
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| characters.get(at));
        let after = characters.get(at + 1);
        let turns =
            before.is_some_and(|before| before.is_lowercase() || before.is_numeric()) && c.is_uppercase();
        // The last capital of several begins the next word: HTTPServer is HTTP and Server.
        let ends_capitals = before.is_some_and(|before| before.is_uppercase())
            && c.is_uppercase()
            && after.is_some_and(|after| after.is_lowercase());
        if !is_within || turns || ends_capitals {
            words.push(String::new());
        }
        is_within = true;
        if let Some(word) = words.last_mut() {
            word.push(*c);
        }
    }
    words
}

/// The name in camel case: `Fee Status` is `feeStatus`.
pub(crate) fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in words(name) {
        let lower = word.to_lowercase();
        let mut characters = lower.chars();
        match characters.next() {
            // A digit after a digit would make another number of the two.
            Some(first)
                if !out.is_empty()
                    && first.is_ascii_digit()
                    && out.ends_with(|c: char| c.is_ascii_digit()) =>
            {
                out.push('_');
                out.push(first);
            }
            Some(first) if out.is_empty() => out.push(first),
            Some(first) => out.extend(first.to_uppercase()),
            None => {}
        }
        out.push_str(characters.as_str());
    }
    out
}

/// Whether a name can be that of a Service as it is.
pub(crate) fn is_legal(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(is_plain)
        && name.chars().all(|c| is_plain(c) || c == '-')
}

/// A name for Kubernetes: Hangul in Latin letters, words parted by dashes. What has no letter or digit left is named
/// by `otherwise` and a digest, so that it stays the same whatever is drawn beside it.
pub(crate) fn slug(name: &str, otherwise: &str) -> String {
    if is_legal(name) && name.len() <= LONGEST {
        return name.to_owned();
    }
    let latin = romanise(name);
    let words: Vec<String> = words(&latin).iter().map(|word| word.to_lowercase()).collect();
    let joined: String = words
        .join("-")
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
        .collect();
    let parts: Vec<&str> = joined.split('-').filter(|part| !part.is_empty()).collect();
    let mut slug = parts.join("-");
    if slug.is_empty() {
        let digest = base::Digest::of(name.as_bytes()).to_string();
        slug = format!("{otherwise}-{}", digest.get(..6).unwrap_or_default());
    }
    if slug.starts_with(|c: char| c.is_ascii_digit()) {
        slug = format!("{otherwise}-{slug}");
    }
    slug.truncate(LONGEST);
    slug.trim_end_matches('-').to_owned()
}

/// The name, or with the first number that makes it one of its own.
pub(crate) fn free(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let mut number = 1_usize;
    loop {
        let name = if number == 1 { wanted.to_owned() } else { format!("{wanted}-{number}") };
        if taken.insert(name.clone()) {
            return name;
        }
        number = number.saturating_add(1);
    }
}

/// A path as it stands in a request: what is not ASCII is percent-encoded.
pub fn encoded(path: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const KEPT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'#').add(b'?');
    utf8_percent_encode(path, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_camel_case_are_those_of_the_drawing_tool() {
        for (name, expected) in [
            ("order", "order"),
            ("taxi-booking", "taxiBooking"),
            ("BookManagement", "bookManagement"),
            ("Order Management", "orderManagement"),
            ("Point Mgmt Service", "pointMgmtService"),
            ("주문 관리", "주문관리"),
            ("HTTPServer 2 3", "httpServer2_3"),
            ("", ""),
        ] {
            assert_eq!(camel(name), expected);
        }
    }

    #[test]
    fn any_name_becomes_one_that_kubernetes_takes() {
        for (name, expected) in [
            ("bike-fleet", "bike-fleet"),
            ("Billing Desk", "billing-desk"),
            ("BookManagement", "book-management"),
            ("주문", "jumun"),
            ("주문 Service", "jumun-service"),
            ("12st-mall", "context-12st-mall"),
            ("--x--", "x"),
        ] {
            assert_eq!(slug(name, "context"), expected);
        }
        for name in ["", "!?", "商品", "é", &"long ".repeat(50), "ß1", "İ"] {
            assert!(is_legal(&slug(name, "context")), "{name}: {}", slug(name, "context"));
        }
        assert_ne!(slug("商品", "context"), slug("注文", "context"));
    }

    #[test]
    fn paths_are_written_as_requests_carry_them() {
        assert_eq!(encoded("/주문"), "/%EC%A3%BC%EB%AC%B8");
        assert_eq!(encoded("/orders/{id}"), "/orders/{id}");
    }
}
