//! nginx's regular expressions and variables in today's words.

use regex::RegexBuilder;

/// A path as nginx matches it once any path of its host is a regular expression: from the beginning, whatever the case,
/// with anything behind it.
///
/// # Errors
/// Says why it cannot be one here: look-around and references are not known.
pub(super) fn location(path: &str) -> Result<String, String> {
    let whole = format!("(?i){path}.*");
    checked(&whole)?;
    Ok(whole)
}

/// What of a path is put in another's place, and by what: nginx replaces the whole of it.
///
/// # Errors
/// Says what cannot be said here.
pub(super) fn rewrite(path: &str, target: &str) -> Result<(String, String), String> {
    let whole = format!("(?i)^{path}.*$");
    let groups = checked(&whole)?;
    let mut replacement = String::new();
    let mut characters = target.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => replacement.push_str("\\\\"),
            '$' => match characters.next_if(char::is_ascii_digit) {
                Some(digit)
                    if digit
                        .to_digit(10)
                        .is_some_and(|group| usize::try_from(group).is_ok_and(|g| g < groups)) =>
                {
                    replacement.push('\\');
                    replacement.push(digit);
                }
                Some(digit) => {
                    return Err(format!("${digit} is no group of the path {path:?}"));
                }
                None => return Err("variables of nginx are not known here: write the path itself".into()),
            },
            c => replacement.push(c),
        }
    }
    Ok((whole, replacement))
}

/// A header's value as nginx looks for a pattern in it: anywhere.
///
/// # Errors
/// Says why it cannot be one here.
pub(super) fn anywhere(pattern: &str) -> Result<String, String> {
    let whole = format!(".*(?:{pattern}).*");
    checked(&whole)?;
    Ok(whole)
}

/// A `cookie` header in which a cookie has this value.
pub(super) fn cookie(name: &str, value: &str) -> String {
    format!("(.*; *)?{}={}(;.*)?", regex::escape(name), regex::escape(value))
}

/// A host with `*` in its first place as an origin may be written.
pub(super) fn origin(text: &str) -> String {
    let parts: Vec<String> = text.split('*').map(regex::escape).collect();
    parts.join("[^/:]+")
}

/// How many groups a regular expression has, itself included.
fn checked(pattern: &str) -> Result<usize, String> {
    let compiled = RegexBuilder::new(pattern).size_limit(1 << 20).build();
    let compiled = compiled.map_err(|error| {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim().to_owned();
        format!("{pattern:?} is no regular expression here: {why}")
    })?;
    Ok(compiled.captures_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_written_with_a_backslash() {
        assert_eq!(
            rewrite("/old(/|$)(.*)", "/$2"),
            Ok(("(?i)^/old(/|$)(.*).*$".to_owned(), "/\\2".to_owned()))
        );
        assert!(rewrite("/old", "/$1").is_err_and(|why| why.contains("no group")));
        assert!(rewrite("/old", "/$host").is_err());
        assert!(location("/a(?=b)").is_err());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let pattern =
            regex::Regex::new(&format!("^(?:{})$", cookie("can.ary", "always"))).expect("it is regular");

        for (header, is_found) in [
            ("can.ary=always", true),
            ("a=b; can.ary=always; c=d", true),
            ("canaary=always", false),
            ("can.ary=always2", false),
            ("xcan.ary=always", false),
        ] {
            assert_eq!(pattern.is_match(header), is_found, "{header}");
        }
    }
}
