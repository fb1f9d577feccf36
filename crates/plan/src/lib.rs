//! Compiles xDS resources into the immutable tables a proxy decides by.
//!
//! Start at [`Store`] (resources in, [`Plan`] out) and [`Plan::route`] (which route takes a request, and why).
//! The proxy and the simulation ask the same functions, so that what is explained is what happens.
//!
//! Never: opens a socket, resolves a name, or keeps a resource whose meaning it would have to bend.

mod access_log;
mod balancer;
mod breaker;
mod cluster;
mod cluster_spec;
mod cors;
mod discovery;
mod endpoints;
mod filter_list;
mod hash;
mod headers;
mod hosts;
mod http1;
mod http2;
mod inert;
mod listener;
mod listener_filter;
mod manager;
mod matcher;
mod outlier;
mod path;
mod plan;
mod read;
mod request;
mod resource;
mod retry;
mod rewrite;
mod route;
mod routes;
mod secret;
mod sieve;
mod store;
mod table;
mod tcp;
#[cfg(test)]
mod tests_support;
mod transport;
mod upstream_http;

pub use access_log::AccessLog;
pub use balancer::Balancer;
pub use cluster::Cluster;
pub use cluster_spec::{ClusterSpec, Degraded, Keepalive, Service};
pub use discovery::{ClusterKind, Dns, Family, OriginalDst};
pub use endpoints::{Assignment, Endpoint, Locality, Target, Workload};
pub use filter_list::FilterList;
pub use hash::{Attribute, HashPolicy, HashSource, Hashed};
pub use headers::{HeaderOps, HeaderScope};
pub use http1::HeaderCase;
pub use http2::Ping;
pub use inert::InertFilter;
pub use listener::{Direction, FilterChain, Listener, Terminal};
pub use listener_filter::{AcceptsProxy, Inspector};
pub use manager::{
    CertificateDetails, ClientCertificate, Codec, HttpManager, RouteSource, ServerHeader, StripPort,
    Underscores,
};
pub use matcher::{Conditions, Unmet};
pub use outlier::Errors;
pub use path::{EscapedSlashes, Normalised, PathRules, normalise};
pub use plan::Plan;
pub use request::Request;
pub use resource::{CLUSTER, ENDPOINTS, LISTENER, ROUTES, Reject, SECRET};
pub use retry::{Failure, Retry, RetryOn};
pub use rewrite::{HostNames, Redirect, Rewrite};
pub use route::{
    Action, DirectReply, Forward, GrpcTimeout, Mirror, Route, Targets, Upgrade, WeightedCluster,
};
pub use routes::{Lookup, RouteMatch, Routes};
pub use secret::{Certificate, Pem, SanKind, SanMatch, Secret, Validation};
pub use sieve::{ChainMatch, Connection, Range, Sieve, SourceOrigin, Transport, matched};
pub use store::Store;
pub use table::{RouteTable, TlsRequirement, VirtualHost};
pub use tcp::{TcpProxy, Tunnel};
pub use transport::{
    CertificateSource, Cipher, ClientTls, Curve, ProxyHeader, ServerTls, SocketChoice, Tls, UpstreamSocket,
    ValidationSource, Versions,
};
pub use upstream_http::{AutoSni, UpstreamHttp};
