//! What the annotations of one Ingress say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::annotation::{self, Handling, PREFIX};
use super::pattern;
use crate::legacy::{Ingress, Old};
use crate::read::Log;

/// An Ingress with what its annotations say.
pub(super) struct Read<'i> {
    pub(super) old: &'i Old<Ingress>,
    pub(super) settings: Settings,
}

/// What annotations say.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) uses_regex: bool,
    pub(super) rewrite: Option<String>,
    pub(super) app_root: Option<String>,
    pub(super) redirect: Option<Redirect>,
    /// Whether port 80 only sends to https; none where a certificate decides.
    pub(super) ssl_redirect: Option<bool>,
    pub(super) is_passed_through: bool,
    pub(super) aliases: Vec<String>,
    pub(super) redirects_www: bool,
    pub(super) authority: Option<String>,
    pub(super) forwarded_prefix: Option<String>,
    pub(super) cors: Option<Value>,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<Value>,
    pub(super) canary: Option<Canary>,
    /// The parts of a trafficPolicy.
    pub(super) policy: BTreeMap<&'static str, Value>,
}

/// Where a client is sent instead.
#[derive(Clone, Debug)]
pub(super) struct Redirect {
    pub(super) url: String,
    pub(super) code: u16,
}

/// Which requests a canary gets.
#[derive(Clone, Debug, Default)]
pub(super) struct Canary {
    pub(super) header: Option<String>,
    /// A condition on the header's value, in the place of `always` and `never`.
    pub(super) value: Option<Value>,
    pub(super) cookie: Option<String>,
    pub(super) weight: u32,
    pub(super) total: u32,
}

/// Reads an Ingress; none where it is refused, which is said.
pub(super) fn read<'i>(old: &'i Old<Ingress>, log: &Log) -> Option<Read<'i>> {
    let before = log.errors();
    let reader = Reader { old, log };
    reader.report();
    let settings = reader.settings();
    (log.errors() == before).then_some(Read { old, settings })
}

struct Reader<'a> {
    old: &'a Old<Ingress>,
    log: &'a Log,
}

impl Reader<'_> {
    /// Says what becomes of annotations that are not simply done.
    fn report(&self) {
        for key in self.old.meta.annotations.keys() {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            match annotation::find(name).map(|known| (known.handling, known.text)) {
                // Those that only say "no" ask for nothing.
                Some((Handling::Left | Handling::Refused, _)) if self.is_off(name) => {}
                Some((Handling::Kept, _)) => {}
                Some((Handling::Changed, text)) => self.warn("changed", name, text),
                Some((Handling::Left, text)) => self.warn("not-kept", name, text),
                Some((Handling::Refused, text)) => self.error(name, text),
                None => self.warn("not-kept", name, "this annotation is not known: nothing becomes of it"),
            }
        }
    }

    fn is_off(&self, name: &str) -> bool {
        matches!(self.text(name).as_deref(), Some("" | "false" | "off" | "0"))
    }

    fn warn(&self, code: &str, name: &str, message: &str) {
        let key = format!("{PREFIX}{name}");
        self.old.source.warn_at(
            self.log,
            code,
            &["metadata", "annotations", &key],
            &format!("{name}: {message}"),
        );
    }

    fn error(&self, name: &str, message: &str) {
        let key = format!("{PREFIX}{name}");
        let message = format!("{name}: {message}");
        self.old.source.error_at(
            self.log,
            "refused-annotation",
            &["metadata", "annotations", &key],
            &message,
        );
    }

    /// An annotation's text, without the blanks around it.
    fn text(&self, name: &str) -> Option<String> {
        let text = self.old.meta.annotations.get(&format!("{PREFIX}{name}"))?;
        Some(text.trim().to_owned())
    }

    /// An annotation's text that is not empty.
    fn word(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    fn flag(&self, name: &str) -> Option<bool> {
        match self.word(name)?.as_str() {
            "true" | "on" => Some(true),
            "false" | "off" => Some(false),
            other => {
                self.error(name, &format!("{other:?} is neither true nor false"));
                None
            }
        }
    }

    fn number(&self, name: &str) -> Option<u32> {
        let text = self.word(name)?;
        let number = text.strip_suffix('s').unwrap_or(&text).parse().ok();
        if number.is_none() {
            self.error(name, &format!("{text:?} is no whole number"));
        }
        number
    }

    fn seconds(&self, name: &str) -> Option<Duration> {
        self.number(name).filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.word(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn settings(&self) -> Settings {
        let ssl = match (self.flag("force-ssl-redirect"), self.flag("ssl-redirect")) {
            (Some(true), _) => Some(true),
            (_, Some(false)) => Some(false),
            _ => None,
        };
        let read_timeout = self.seconds("proxy-read-timeout");
        Settings {
            uses_regex: self.flag("use-regex").unwrap_or_default(),
            rewrite: self.word("rewrite-target"),
            app_root: self.word("app-root").filter(|root| self.is_path("app-root", root)),
            redirect: self.redirect(),
            ssl_redirect: ssl,
            is_passed_through: self.flag("ssl-passthrough").unwrap_or_default(),
            aliases: self.aliases(),
            redirects_www: self.flag("from-to-www-redirect").unwrap_or_default(),
            authority: self.word("upstream-vhost").filter(|name| self.is_plain("upstream-vhost", name)),
            forwarded_prefix: self.word("x-forwarded-prefix"),
            cors: self.flag("enable-cors").filter(|is_on| *is_on).map(|_| self.cors()),
            timeout: read_timeout.into_iter().chain(self.seconds("proxy-next-upstream-timeout")).min(),
            retries: self.retries(),
            canary: self.flag("canary").filter(|is_on| *is_on).map(|_| self.canary()),
            policy: self.policy(),
        }
    }

    fn is_path(&self, name: &str, path: &str) -> bool {
        if !path.starts_with('/') {
            self.error(name, "it must be a path that begins with a slash");
        }
        path.starts_with('/') && self.is_plain(name, path)
    }

    /// Whether a text names no variable of nginx.
    fn is_plain(&self, name: &str, text: &str) -> bool {
        if text.contains('$') {
            self.error(name, "variables of nginx are not known here: write the text itself");
        }
        !text.contains('$')
    }

    fn redirect(&self) -> Option<Redirect> {
        let both = [("permanent-redirect", 301), ("temporal-redirect", 302)];
        // Of both, nginx takes the temporal one.
        let (name, usual) = both.into_iter().rev().find(|(name, _)| self.word(name).is_some())?;
        let url = self.word(name)?;
        let code_name = format!("{name}-code");
        let code = self.number(&code_name).unwrap_or(usual);
        let known = u16::try_from(code).ok().filter(|code| matches!(code, 301..=303 | 307 | 308));
        let Some(code) = known else {
            self.error(&code_name, &format!("{code} is none of 301, 302, 303, 307 and 308"));
            return None;
        };
        let bare = url.strip_suffix("$request_uri").unwrap_or(&url);
        self.is_plain(name, bare).then_some(Redirect { url, code })
    }

    fn aliases(&self) -> Vec<String> {
        let all = self.list("server-alias");
        if all.iter().any(|alias| alias.starts_with('~')) {
            self.error("server-alias", "a host cannot be a regular expression: write the hosts, or *.SUFFIX");
        }
        all
    }

    fn cors(&self) -> Value {
        let origins = self.list("cors-allow-origin");
        let origins = if origins.is_empty() { vec!["*".to_owned()] } else { origins };
        let is_open = origins.iter().any(|origin| origin == "*");
        let origin = |origin: &String| match origin.as_str() {
            "*" => json!({"exact": "*"}),
            text if text.contains('*') => json!({"regex": pattern::origin(text)}),
            text => json!({"exact": text}),
        };
        let or = |name: &str, usual: &str| {
            let list = self.list(name);
            let usual = usual.split(',').map(str::to_owned);
            if list.is_empty() { usual.collect() } else { list }
        };
        let mut cors = json!({
            "allowOrigins": origins.iter().map(origin).collect::<Vec<_>>(),
            "allowMethods": or("cors-allow-methods", "GET,PUT,POST,DELETE,PATCH,OPTIONS"),
            "allowHeaders": or(
                "cors-allow-headers",
                "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
            ),
            "maxAge": base::duration::render(self.seconds("cors-max-age").unwrap_or(Duration::from_secs(1_728_000))),
        });
        let exposed = self.list("cors-expose-headers");
        if !exposed.is_empty() {
            cors["exposeHeaders"] = json!(exposed);
        }
        if self.flag("cors-allow-credentials").unwrap_or(true) && !is_open {
            cors["allowCredentials"] = true.into();
        }
        cors
    }

    fn retries(&self) -> Option<Value> {
        let on = self.word("proxy-next-upstream");
        let tries = self.number("proxy-next-upstream-tries");
        if on.is_none() && tries.is_none() {
            return None;
        }
        let on = on.unwrap_or_else(|| "error timeout".to_owned());
        if on.split_whitespace().any(|word| word == "off") {
            return Some(json!({"attempts": 0}));
        }
        let mut reasons: Vec<String> = Vec::new();
        for word in on.split_whitespace() {
            let own = match word {
                "error" | "timeout" => {
                    vec!["connect-failure".to_owned(), "refused-stream".to_owned(), "reset".to_owned()]
                }
                "invalid_header" => vec!["reset".to_owned()],
                "non_idempotent" => Vec::new(),
                other => match other.strip_prefix("http_").and_then(|code| code.parse::<u16>().ok()) {
                    Some(code) => vec![code.to_string()],
                    None => {
                        self.error("proxy-next-upstream", &format!("{other:?} is not known"));
                        Vec::new()
                    }
                },
            };
            reasons.extend(own);
        }
        let mut seen = std::collections::BTreeSet::new();
        reasons.retain(|reason| seen.insert(reason.clone()));
        // None is as many as there are workloads; so many are enough.
        let attempts = tries.filter(|tries| *tries > 0).map_or(2, |tries| tries.saturating_sub(1));
        Some(json!({"attempts": attempts, "retryOn": reasons.join(",")}))
    }

    fn canary(&self) -> Canary {
        let pattern = self.word("canary-by-header-pattern").and_then(|text| match pattern::anywhere(&text) {
            Ok(pattern) => Some(json!({"regex": pattern})),
            Err(why) => {
                self.error("canary-by-header-pattern", &why);
                None
            }
        });
        let value = self.word("canary-by-header-value").map(|value| json!({"exact": value}));
        let total = self.number("canary-weight-total").filter(|total| *total > 0).unwrap_or(100);
        Canary {
            header: self.word("canary-by-header").map(|name| name.to_ascii_lowercase()),
            value: value.or(pattern),
            cookie: self.word("canary-by-cookie"),
            weight: self.number("canary-weight").unwrap_or_default().min(total),
            total,
        }
    }

    fn policy(&self) -> BTreeMap<&'static str, Value> {
        let mut policy = BTreeMap::new();
        if let Some(timeout) = self.seconds("proxy-connect-timeout") {
            policy.insert(
                "connectionPool",
                json!({"tcp": {"connectTimeout": base::duration::render(timeout)}}),
            );
        }
        policy.extend(self.balancer().map(|balancer| ("loadBalancer", balancer)));
        policy.extend(self.upstream_tls().map(|tls| ("tls", tls)));
        policy
    }

    fn balancer(&self) -> Option<Value> {
        if let Some(affinity) = self.word("affinity") {
            if affinity != "cookie" {
                self.error("affinity", &format!("{affinity:?} is not known; there is `cookie`"));
                return None;
            }
            let age =
                self.seconds("session-cookie-max-age").or_else(|| self.seconds("session-cookie-expires"));
            let mut cookie = json!({
                "name": self.word("session-cookie-name").unwrap_or_else(|| "INGRESSCOOKIE".to_owned()),
                "ttl": base::duration::render(age.unwrap_or_default()),
            });
            if let Some(path) = self.word("session-cookie-path") {
                cookie["path"] = path.into();
            }
            return Some(json!({"consistentHash": {"httpCookie": cookie}}));
        }
        if let Some(by) = self.word("upstream-hash-by") {
            return self.hash(&by);
        }
        match self.word("load-balance")?.as_str() {
            "ewma" => Some(json!({"simple": "LEAST_REQUEST"})),
            "round_robin" => Some(json!({"simple": "ROUND_ROBIN"})),
            other => {
                self.error(
                    "load-balance",
                    &format!("{other:?} is not known; there are `round_robin` and `ewma`"),
                );
                None
            }
        }
    }

    fn hash(&self, by: &str) -> Option<Value> {
        let name = by.trim_start_matches('$').trim_matches(['{', '}']);
        let is_variable = by.starts_with('$') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let hash = match name {
            _ if !is_variable => None,
            "binary_remote_addr" | "remote_addr" => Some(json!({"useSourceIp": true})),
            _ => match (name.strip_prefix("http_"), name.strip_prefix("arg_")) {
                (Some(header), _) => Some(json!({"httpHeaderName": header.replace('_', "-")})),
                (_, Some(parameter)) => Some(json!({"httpQueryParameterName": parameter})),
                _ => None,
            },
        };
        if hash.is_none() {
            self.error(
                "upstream-hash-by",
                &format!("{by:?} cannot be hashed by; there are $remote_addr, $http_NAME and $arg_NAME"),
            );
        }
        hash.map(|hash| json!({"consistentHash": hash}))
    }

    fn upstream_tls(&self) -> Option<Value> {
        let protocol =
            self.word("backend-protocol").unwrap_or_else(|| "HTTP".to_owned()).to_ascii_uppercase();
        match protocol.as_str() {
            "HTTPS" | "GRPCS" => {}
            "GRPC" | "HTTP" | "AUTO_HTTP" => return None,
            other => {
                self.error(
                    "backend-protocol",
                    &format!("{other} is not spoken; there are HTTP, HTTPS, GRPC and GRPCS"),
                );
                return None;
            }
        }
        let mut tls = json!({"mode": "SIMPLE", "insecureSkipVerify": !self.flag("proxy-ssl-verify").unwrap_or_default()});
        if let Some(name) = self.word("proxy-ssl-name").filter(|name| self.is_plain("proxy-ssl-name", name)) {
            tls["sni"] = name.into();
        }
        Some(tls)
    }
}
