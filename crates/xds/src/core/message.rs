//! What passes between a stream and its state machine, whichever dialect is spoken.

use std::sync::Arc;

use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use proto::google::rpc::Status;

use crate::{Node, Served, TypeUrl};

/// A request, in its dialect.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Request {
    /// Names added and taken away.
    Delta(DeltaDiscoveryRequest),
    /// All names, each time.
    Whole(DiscoveryRequest),
}

impl Request {
    /// Who asks; said by the first request of a stream.
    pub(crate) fn node(&self) -> Option<&Node> {
        match self {
            Request::Delta(request) => request.node.as_ref(),
            Request::Whole(request) => request.node.as_ref(),
        }
    }

    /// Why the response it answers was refused.
    pub(crate) fn refusal(&self) -> Option<&Status> {
        match self {
            Request::Delta(request) => request.error_detail.as_ref(),
            Request::Whole(request) => request.error_detail.as_ref(),
        }
    }

    /// The type it is about.
    pub(crate) fn type_url(&self) -> &str {
        match self {
            Request::Delta(request) => &request.type_url,
            Request::Whole(request) => &request.type_url,
        }
    }
}

/// A response, its resources shared with all others that carry them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Response {
    /// The type of all its resources.
    pub(crate) type_url: String,
    /// By which it is answered.
    pub(crate) nonce: String,
    /// What it was made of.
    pub(crate) generation: u64,
    /// What appeared or changed; of a state of the world, all there is.
    pub(crate) added: Vec<Arc<Served>>,
    /// What went; a state of the world has no words for it.
    pub(crate) removed: Vec<Arc<str>>,
}

impl Response {
    /// The type of its resources, where it is one that is served here.
    pub(crate) fn ty(&self) -> Option<TypeUrl> {
        TypeUrl::of(&self.type_url)
    }
}
