//! Which answers count as errors of the endpoint that gave them.

#[cfg(test)]
mod tests;

use filter::HeaderMatch;
use http::{HeaderMap, StatusCode};
use proto::envoy::config::common::matcher::v3::MatchPredicate;
use proto::envoy::config::common::matcher::v3::match_predicate::{MatchSet, Rule};
use proto::envoy::extensions::upstreams::http::v3::http_protocol_options as wire;

use crate::read::{At, Within, Wrong, each, required};

/// Which answers count as errors, in place of 5xx.
#[derive(Clone, Debug)]
pub struct Errors(Test);

/// A condition on an answer's head.
#[derive(Clone, Debug)]
enum Test {
    All(Vec<Test>),
    Always,
    Any(Vec<Test>),
    Headers(Vec<HeaderMatch>),
    Not(Box<Test>),
}

impl Errors {
    pub(crate) fn compile(message: &wire::OutlierDetection) -> Result<Self, Wrong> {
        let matcher = required(&message.error_matcher, "error_matcher")?;
        Test::compile(matcher).within("error_matcher").map(Self)
    }

    /// The status an endpoint is judged by for an answer: of an error one of 5xx, whatever it says, else none of them.
    pub fn judged(&self, status: StatusCode, headers: &HeaderMap) -> u16 {
        match self.0.holds(status, headers) {
            true => status.as_u16().max(500),
            false => 200,
        }
    }
}

impl Test {
    fn compile(message: &MatchPredicate) -> Result<Self, Wrong> {
        match required(&message.rule, "rule")? {
            Rule::AndMatch(set) => several(set).within("and_match").map(Self::All),
            Rule::AnyMatch(true) => Ok(Self::Always),
            Rule::AnyMatch(false) => Err(Wrong::new("any_match", "must be true")),
            Rule::HttpResponseHeadersMatch(matcher) => {
                let path = "http_response_headers_match";
                each(&matcher.headers, "headers", |m| HeaderMatch::compile(m).at(&m.name))
                    .within(path)
                    .map(Self::Headers)
            }
            Rule::NotMatch(inner) => Ok(Self::Not(Box::new(Self::compile(inner).within("not_match")?))),
            Rule::OrMatch(set) => several(set).within("or_match").map(Self::Any),
            // An endpoint is judged by the head of its answer, when nothing else is known.
            Rule::HttpRequestGenericBodyMatch(_)
            | Rule::HttpRequestHeadersMatch(_)
            | Rule::HttpRequestTrailersMatch(_)
            | Rule::HttpResponseGenericBodyMatch(_)
            | Rule::HttpResponseTrailersMatch(_) => {
                Err(Wrong::new("rule", "must be about the head of the answer"))
            }
        }
    }

    fn holds(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(status, headers)),
            Self::Always => true,
            Self::Any(tests) => tests.iter().any(|test| test.holds(status, headers)),
            Self::Headers(tests) => tests.iter().all(|test| test.matches_response(status, headers)),
            Self::Not(test) => !test.holds(status, headers),
        }
    }
}

fn several(set: &MatchSet) -> Result<Vec<Test>, Wrong> {
    if set.rules.len() < 2 {
        return Err(Wrong::new("rules", "needs two at least"));
    }
    each(&set.rules, "rules", Test::compile)
}
