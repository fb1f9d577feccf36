//! The label set of a series: found by digests, written in Istio's order.

use std::fmt::Write;
use std::sync::Arc;

use base::Digest;

use crate::account::{Account, Flags, Reporter, Security, Service, Traffic, Workload};
use crate::names;

/// What tells one series of a family from another, small enough to be hashed for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    source: Digest,
    destination: Digest,
    service: Digest,
    flags: Flags,
    code: u16,
    grpc: Option<u16>,
    reporter: Reporter,
    traffic: Traffic,
    security: Security,
}

impl Key {
    pub(super) fn of(account: &Account<'_>) -> Self {
        let is_tcp = account.traffic == Traffic::Tcp;
        Self {
            source: account.source.map(|source| source.digest()).unwrap_or_default(),
            destination: account.destination.map(|destination| destination.digest()).unwrap_or_default(),
            service: account.service.map(|service| service.digest()).unwrap_or_default(),
            flags: account.flags,
            code: if is_tcp { 0 } else { account.response_code },
            grpc: account.grpc_status.filter(|_| account.traffic == Traffic::Grpc),
            reporter: account.reporter,
            traffic: account.traffic,
            security: account.security,
        }
    }

    /// The same with nothing foreign in it, of which there are few.
    pub(super) fn folded(self) -> Self {
        Self {
            source: Digest::default(),
            destination: Digest::default(),
            service: Digest::default(),
            code: self.code.min(600) / 100 * 100,
            grpc: self.grpc.map(|status| status.min(17)),
            ..self
        }
    }
}

/// The facts behind a key.
#[derive(Debug)]
pub(super) struct Labels {
    key: Key,
    source: Option<Arc<Workload>>,
    destination: Option<Arc<Workload>>,
    service: Option<Arc<Service>>,
}

impl Labels {
    pub(super) fn of(key: Key, account: &Account<'_>) -> Self {
        Self {
            key,
            source: account.source.cloned(),
            destination: account.destination.cloned(),
            service: account.service.cloned(),
        }
    }

    pub(super) fn folded(key: Key) -> Self {
        Self { key, source: None, destination: None, service: None }
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.key.traffic == Traffic::Grpc
    }

    /// The labels as they stand between the braces.
    pub(super) fn text(&self) -> String {
        let mut out = Text(String::with_capacity(1024));
        out.label(names::REPORTER, self.key.reporter.name());
        self.source(&mut out);
        self.destination(&mut out);
        out.label(names::REQUEST_PROTOCOL, self.key.traffic.name());
        if self.key.traffic != Traffic::Tcp {
            out.label(names::RESPONSE_CODE, &self.key.code.to_string());
            out.label(
                names::GRPC_RESPONSE_STATUS,
                &self.key.grpc.map(|status| status.to_string()).unwrap_or_default(),
            );
        }
        let flags = self.key.flags.names().collect::<Vec<_>>().join(",");
        out.label(names::RESPONSE_FLAGS, if flags.is_empty() { "-" } else { &flags });
        out.label(names::CONNECTION_SECURITY_POLICY, self.key.security.name());
        out.0
    }

    fn source(&self, out: &mut Text) {
        let facts = self.source.as_ref().map(|source| source.facts());
        out.fact(names::SOURCE_WORKLOAD, facts.map(|facts| &*facts.name));
        out.fact(names::SOURCE_CANONICAL_SERVICE, facts.map(|facts| &*facts.canonical_service));
        out.fact(names::SOURCE_CANONICAL_REVISION, facts.map(|facts| &*facts.canonical_revision));
        out.fact(names::SOURCE_WORKLOAD_NAMESPACE, facts.map(|facts| &*facts.namespace));
        out.fact(names::SOURCE_PRINCIPAL, facts.map(|facts| &*facts.principal));
        out.fact(names::SOURCE_APP, facts.map(|facts| &*facts.app));
        out.fact(names::SOURCE_VERSION, facts.map(|facts| &*facts.version));
        out.fact(names::SOURCE_CLUSTER, facts.map(|facts| &*facts.cluster));
    }

    fn destination(&self, out: &mut Text) {
        let facts = self.destination.as_ref().map(|destination| destination.facts());
        let service = self.service.as_ref();
        out.fact(names::DESTINATION_WORKLOAD, facts.map(|facts| &*facts.name));
        out.fact(names::DESTINATION_WORKLOAD_NAMESPACE, facts.map(|facts| &*facts.namespace));
        out.fact(names::DESTINATION_PRINCIPAL, facts.map(|facts| &*facts.principal));
        out.fact(names::DESTINATION_APP, facts.map(|facts| &*facts.app));
        out.fact(names::DESTINATION_VERSION, facts.map(|facts| &*facts.version));
        out.fact(names::DESTINATION_SERVICE, service.map(|service| service.host()));
        out.fact(names::DESTINATION_CANONICAL_SERVICE, facts.map(|facts| &*facts.canonical_service));
        out.fact(names::DESTINATION_CANONICAL_REVISION, facts.map(|facts| &*facts.canonical_revision));
        out.fact(names::DESTINATION_SERVICE_NAME, service.map(|service| service.name()));
        out.fact(names::DESTINATION_SERVICE_NAMESPACE, service.map(|service| service.namespace()));
        out.fact(names::DESTINATION_CLUSTER, facts.map(|facts| &*facts.cluster));
    }
}

/// Labels under construction.
struct Text(String);

impl Text {
    fn fact(&mut self, name: &str, value: Option<&str>) {
        self.label(name, value.filter(|value| !value.is_empty()).unwrap_or(names::UNKNOWN));
    }

    fn label(&mut self, name: &str, value: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a string never errs.
        let _ = write!(self.0, "{comma}{name}=\"{}\"", Escaped(value));
    }
}

/// A label's value as Prometheus' text format wants it.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
