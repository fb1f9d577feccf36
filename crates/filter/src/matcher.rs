//! Conditions on texts, headers and chance, as Envoy's messages state them; routes and filters share them.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, StatusCode};
use proto::envoy::config::route::v3::{HeaderMatcher, header_matcher::HeaderMatchSpecifier};
use proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use proto::envoy::r#type::v3::FractionalPercent;
use regex::bytes::{Regex, RegexBuilder};

/// A program larger than this is refused; a pattern of a configuration has no need of it.
const REGEX_BYTES: usize = 4 << 20;

/// A condition on a text.
#[derive(Clone, Debug)]
pub struct StringMatch {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    Contains(Box<str>),
    Exact(Box<str>),
    Prefix(Box<str>),
    Regex(Box<Regex>),
    Suffix(Box<str>),
}

impl StringMatch {
    /// The text must be this one.
    pub fn exact(text: &str) -> Self {
        Self { pattern: Pattern::Exact(text.into()), ignore_case: false }
    }

    /// Compiles Envoy's message.
    ///
    /// # Errors
    /// The pattern is missing, empty where that is not allowed, of a custom kind, or not a regular expression.
    pub fn compile(message: &StringMatcher) -> Result<Self, String> {
        let ignore_case = message.ignore_case;
        // Folded once here, so that a comparison folds one side only.
        let fold = |text: &str| if ignore_case { text.to_ascii_lowercase().into() } else { text.into() };
        let some = |text: &str, what: &str| {
            if text.is_empty() { Err(format!("an empty {what} matches everything")) } else { Ok(fold(text)) }
        };
        let pattern = match &message.match_pattern {
            Some(MatchPattern::Exact(text)) => Pattern::Exact(fold(text)),
            Some(MatchPattern::Prefix(text)) => Pattern::Prefix(some(text, "prefix")?),
            Some(MatchPattern::Suffix(text)) => Pattern::Suffix(some(text, "suffix")?),
            Some(MatchPattern::Contains(text)) => Pattern::Contains(some(text, "contains")?),
            Some(MatchPattern::SafeRegex(regex)) => {
                return Ok(Self { pattern: Pattern::Regex(Box::new(regex_of(regex)?)), ignore_case: false });
            }
            Some(MatchPattern::Custom(_)) => return Err("custom matchers are not supported".into()),
            None => return Err("no pattern is set".into()),
        };
        Ok(Self { pattern, ignore_case })
    }

    /// Whether the text fulfils it.
    pub fn matches(&self, text: &[u8]) -> bool {
        let text = match (&self.pattern, self.ignore_case) {
            (Pattern::Regex(regex), _) => return regex.is_match(text),
            (_, true) => Cow::Owned(text.to_ascii_lowercase()),
            (_, false) => Cow::Borrowed(text),
        };
        match &self.pattern {
            Pattern::Contains(part) => text.windows(part.len()).any(|window| window == part.as_bytes()),
            Pattern::Exact(whole) => *text == *whole.as_bytes(),
            Pattern::Prefix(start) => text.starts_with(start.as_bytes()),
            Pattern::Regex(_) => false,
            Pattern::Suffix(end) => text.ends_with(end.as_bytes()),
        }
    }
}

/// Compiles a pattern that must match a whole text, with RE2's meaning of `\d`, `\w`, `\s` and `\b` (ASCII).
///
/// # Errors
/// Says why the pattern is none.
pub fn full_regex(pattern: &str) -> Result<Regex, String> {
    // Compiled alone first: `a)|(b` must not become valid through the parentheses put around it.
    regex(pattern)?;
    regex(&format!(r"\A(?:{pattern})\z"))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    let build = |unicode| RegexBuilder::new(pattern).unicode(unicode).size_limit(REGEX_BYTES).build();
    // Classes of characters beyond ASCII exist only in Unicode mode.
    build(false).or_else(|_| build(true)).map_err(|e| format!("regex {pattern:?}: {e}"))
}

fn regex_of(message: &RegexMatcher) -> Result<Regex, String> {
    if message.regex.is_empty() {
        return Err("an empty regex matches only nothing".into());
    }
    full_regex(&message.regex)
}

/// A condition on one header; `:method`, `:path`, `:authority` and `:scheme` of a request and `:status` of a response
/// count as headers.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    name: Name,
    test: Test,
    invert: bool,
    missing_is_empty: bool,
}

#[derive(Clone, Debug)]
enum Name {
    Authority,
    Header(HeaderName),
    Method,
    Path,
    Scheme,
    Status,
}

#[derive(Clone, Debug)]
enum Test {
    Present(bool),
    Range(i64, i64),
    Text(StringMatch),
}

impl HeaderMatch {
    /// Compiles Envoy's message, in its present and its deprecated spellings.
    ///
    /// # Errors
    /// The name is no header's, or the condition cannot be compiled.
    #[allow(deprecated, reason = "old control planes still write the old spellings")]
    pub fn compile(message: &HeaderMatcher) -> Result<Self, String> {
        let name = match message.name.to_ascii_lowercase().as_str() {
            ":authority" | "host" => Name::Authority,
            ":method" => Name::Method,
            ":path" => Name::Path,
            ":scheme" => Name::Scheme,
            ":status" => Name::Status,
            other => Name::Header(
                HeaderName::try_from(other)
                    .map_err(|_| format!("{:?} is not a header name", message.name))?,
            ),
        };
        let text = |pattern| {
            StringMatch::compile(&StringMatcher { ignore_case: false, match_pattern: Some(pattern) })
        };
        let test = match message.header_match_specifier.clone() {
            Some(HeaderMatchSpecifier::ExactMatch(s)) => Test::Text(text(MatchPattern::Exact(s))?),
            Some(HeaderMatchSpecifier::PrefixMatch(s)) => Test::Text(text(MatchPattern::Prefix(s))?),
            Some(HeaderMatchSpecifier::SuffixMatch(s)) => Test::Text(text(MatchPattern::Suffix(s))?),
            Some(HeaderMatchSpecifier::ContainsMatch(s)) => Test::Text(text(MatchPattern::Contains(s))?),
            Some(HeaderMatchSpecifier::SafeRegexMatch(r)) => Test::Text(text(MatchPattern::SafeRegex(r))?),
            Some(HeaderMatchSpecifier::StringMatch(message)) => Test::Text(StringMatch::compile(&message)?),
            Some(HeaderMatchSpecifier::RangeMatch(range)) if range.start < range.end => {
                Test::Range(range.start, range.end)
            }
            Some(HeaderMatchSpecifier::RangeMatch(_)) => return Err("the range is empty".into()),
            Some(HeaderMatchSpecifier::PresentMatch(present)) => Test::Present(present),
            None => Test::Present(true),
        };
        Ok(Self {
            name,
            test,
            invert: message.invert_match,
            missing_is_empty: message.treat_missing_header_as_empty,
        })
    }

    /// Whether a request fulfils it; several headers of one name count as one, joined by commas.
    pub fn matches(&self, request: &http::request::Parts) -> bool {
        self.judge(self.value(request))
    }

    /// The same for a response, which has none of a request line's.
    pub fn matches_response(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        match &self.name {
            Name::Header(name) => self.judge(joined(headers, name)),
            Name::Status => self.judge(Some(Cow::Borrowed(status.as_str().as_bytes()))),
            Name::Authority | Name::Method | Name::Path | Name::Scheme => self.judge(None),
        }
    }

    fn judge(&self, value: Option<Cow<'_, [u8]>>) -> bool {
        let Some(value) = value else {
            if self.missing_is_empty {
                return self.test(b"") != self.invert;
            }
            return match self.test {
                Test::Present(present) => present == self.invert,
                // A header that is missing satisfies only a condition that is turned round.
                Test::Range(..) | Test::Text(_) => self.invert,
            };
        };
        self.test(&value) != self.invert
    }

    fn test(&self, value: &[u8]) -> bool {
        match &self.test {
            Test::Present(present) => *present,
            Test::Range(start, end) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
            Test::Text(text) => text.matches(value),
        }
    }

    fn value<'r>(&self, request: &'r http::request::Parts) -> Option<Cow<'r, [u8]>> {
        let text = match &self.name {
            Name::Authority => match request.uri.authority() {
                Some(authority) => authority.as_str().as_bytes(),
                None => return joined(&request.headers, &http::header::HOST),
            },
            Name::Header(name) => return joined(&request.headers, name),
            Name::Method => request.method.as_str().as_bytes(),
            Name::Path => request.uri.path_and_query().map_or("/", |path| path.as_str()).as_bytes(),
            Name::Scheme => scheme(request).as_bytes(),
            Name::Status => return None,
        };
        Some(Cow::Borrowed(text))
    }
}

/// The scheme of a request: as HTTP/2 says it, else as whoever took it over HTTP/1 has noted it.
pub fn scheme(request: &http::request::Parts) -> &str {
    let noted = request.headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok());
    let noted = noted.filter(|scheme| matches!(*scheme, "http" | "https"));
    request.uri.scheme_str().or(noted).unwrap_or("http")
}

/// All headers of one name as one value, joined by commas.
fn joined<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Cow<'h, [u8]>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.as_bytes();
    let mut all = Cow::Borrowed(first);
    for value in values {
        let all = all.to_mut();
        all.push(b',');
        all.extend_from_slice(value.as_bytes());
    }
    Some(all)
}

/// A share of all cases, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Every case.
    pub const ALL: Self = Self(1_000_000);
    /// No case.
    pub const NONE: Self = Self(0);

    /// Compiles Envoy's message; more than everything is everything.
    ///
    /// # Errors
    /// The denominator is none of Envoy's.
    pub fn compile(message: &FractionalPercent) -> Result<Self, String> {
        let each = match message.denominator {
            0 => 10_000,
            1 => 100,
            2 => 1,
            other => return Err(format!("{other} is not a denominator")),
        };
        Ok(Self(message.numerator.saturating_mul(each).min(1_000_000)))
    }

    /// Whether a random number falls into the share.
    pub fn includes(self, random: u64) -> bool {
        random % 1_000_000 < u64::from(self.0)
    }

    /// The share as a number between 0 and 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1_000_000.0
    }
}
