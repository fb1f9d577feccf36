//! Compiles xDS resources into the immutable tables a proxy decides by.
//!
//! Start at [`Store`] (resources in, [`Plan`] out) and [`Plan::route`] (which route takes a request, and why).
//! The proxy and the simulation ask the same functions, so that what is explained is what happens.
//!
//! Never: opens a socket, resolves a name, or keeps a resource whose meaning it would have to bend.

mod cluster;
mod endpoints;
mod headers;
mod hosts;
mod listener;
mod manager;
mod matcher;
mod path;
mod plan;
mod read;
mod retry;
mod rewrite;
mod route;
mod sieve;
mod store;
mod table;
mod tcp;
#[cfg(test)]
mod tests_support;
mod transport;

pub use cluster::{
    Breakers, Cluster, ClusterKind, ClusterSpec, Degraded, Dns, Family, Service, UpstreamHttp,
};
pub use endpoints::{Assignment, Endpoint, Locality, Target, Workload};
pub use headers::{HeaderOps, HeaderScope};
pub use listener::{AccessLog, Direction, FilterChain, InertFilter, Inspector, Listener, Terminal};
pub use manager::{ClientCertificate, Codec, FilterList, HttpManager, RouteSource, ServerHeader, StripPort};
pub use matcher::{Conditions, Unmet};
pub use path::{EscapedSlashes, Normalised, PathRules, normalise};
pub use plan::{Lookup, Plan, Request, RouteMatch, Routes};
pub use retry::{Failure, Retry, RetryOn};
pub use rewrite::{HostNames, Redirect, Rewrite};
pub use route::{
    Action, DirectReply, Forward, GrpcTimeout, HashPolicy, HashSource, Mirror, Route, Targets,
    WeightedCluster,
};
pub use sieve::{ChainMatch, Connection, Range, Sieve, Transport};
pub use store::{CLUSTER, ENDPOINTS, LISTENER, ROUTES, Reject, Store};
pub use table::{RouteTable, TlsRequirement, VirtualHost};
pub use tcp::TcpProxy;
pub use transport::{Tls, TlsChoice};
