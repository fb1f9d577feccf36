//! What the old rules call a service, and what the new ones must call it.

use crate::legacy::Service;

/// A host by its full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// `reviews.default.svc.cluster.local`, `ratings.service.consul`, `*.example.com`.
    pub(crate) full: String,
    /// The namespace of a service of the cluster.
    pub(crate) namespace: Option<String>,
    /// Whether the rule named it by a short name.
    is_short: bool,
}

impl Host {
    /// The host a service named in a rule of this namespace is.
    pub(crate) fn of(service: &Service, namespace: &str) -> Self {
        let name = service.short();
        if !service.service.is_empty() && (name.contains(['.', '*', '/']) || name.is_empty()) {
            let full = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            let mut labels = full.split('.').skip(1);
            let namespace = match (labels.next(), labels.next()) {
                (Some(namespace), Some("svc")) => Some(namespace.to_owned()),
                _ => None,
            };
            return Self { full, namespace, is_short: false };
        }
        let own = if service.namespace.is_empty() { namespace } else { &service.namespace };
        let domain = if service.domain.is_empty() { "svc.cluster.local" } else { &service.domain };
        let full = format!("{name}.{own}.{domain}").to_ascii_lowercase();
        let is_cluster = domain.starts_with("svc.") || domain == "svc";
        Self { full, namespace: is_cluster.then(|| own.to_owned()), is_short: true }
    }

    /// How an object of a namespace names it.
    pub(crate) fn text_in(&self, namespace: &str) -> String {
        let is_near = self.is_short && self.namespace.as_deref() == Some(namespace);
        match self.full.strip_suffix(".svc.cluster.local").and_then(|rest| rest.split_once('.')) {
            Some((name, _)) if is_near => name.to_owned(),
            _ => self.full.clone(),
        }
    }

    /// Where its objects live: in the namespace of the service, so that they hold for every caller, else with the rule.
    /// None is the default namespace of a rule that names none.
    pub(crate) fn home(&self, of_rule: Option<&str>) -> Option<String> {
        let own = self.namespace.as_deref().or(of_rule);
        own.filter(|own| of_rule.is_some() || *own != "default").map(str::to_owned)
    }

    /// A name for its objects.
    pub(crate) fn object_name(&self) -> String {
        let name = match &self.namespace {
            Some(_) => self.full.split('.').next().unwrap_or_default(),
            None => self.full.as_str(),
        };
        legal_name(name)
    }
}

/// The text as a Kubernetes name: lower-case letters, digits, dashes and dots, beginning and ending with the former.
pub(crate) fn legal_name(text: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c.to_ascii_lowercase() } else { '-' }
    };
    let name: String = text.chars().take(200).map(keep).collect();
    let mut name = name
        .split('.')
        .map(|label| label.trim_matches('-'))
        .filter(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join(".");
    if name.is_empty() {
        name = "host".into();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, namespace: &str, service: &str) -> Service {
        let own = str::to_owned;
        Service { name: own(name), namespace: own(namespace), service: own(service), ..Service::default() }
    }

    #[test]
    fn one_service_is_one_host_however_it_is_named() {
        let full = "reviews.demo.svc.cluster.local";
        for (service, short) in [
            (named("reviews", "", ""), "reviews"),
            (named("reviews", "demo", ""), "reviews"),
            (named("", "", "reviews"), "reviews"),
            (named("", "", full), full),
        ] {
            let host = Host::of(&service, "demo");
            assert_eq!((host.full.as_str(), host.text_in("demo").as_str()), (full, short));
            assert_eq!(host.text_in("other"), full);
        }
    }

    #[test]
    fn names_of_other_registries_stay() {
        let host = Host::of(&named("", "", "Ratings.service.consul"), "demo");

        assert_eq!(host.text_in("demo"), "ratings.service.consul");
        assert_eq!(host.object_name(), "ratings.service.consul");
        assert_eq!(legal_name("*.googleapis.com"), "googleapis.com");
        assert_eq!(legal_name("*"), "host");
    }
}
