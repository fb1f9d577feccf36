//! One proxy's side of discovery: what it holds, what it asks for, what it answers.
//!
//! What is held outlives a stream, so that after a break only what differs is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use proto::google::rpc::Status;

use crate::{Added, Node, Reject, TypeUrl, Update};

/// gRPC's code for a request that does not make sense, as a refusal carries it.
const INVALID_ARGUMENT: i32 = 3;

/// How long the text of a refusal may be.
const MAX_REFUSAL: usize = 16 * 1024;

/// The protocol's state, across all streams to the control plane.
#[derive(Debug)]
pub(crate) struct Client {
    node: Node,
    introduced: bool,
    types: BTreeMap<TypeUrl, Held>,
    heard: Option<Heard>,
}

/// What is held and asked for of one type.
#[derive(Debug, Default)]
struct Held {
    /// Whether the stream has seen a request of this type.
    asked: bool,
    /// The names subscribed to on this stream.
    names: Arc<BTreeSet<String>>,
    /// The version in force of each resource. Empty where a newer one was refused: the server must send that again,
    /// but also say when the resource goes.
    versions: BTreeMap<String, String>,
}

/// A response that waits for its answer.
#[derive(Debug)]
struct Heard {
    type_url: String,
    nonce: String,
    versions: Vec<(String, String)>,
    removed: Vec<String>,
    rejects: Vec<Reject>,
}

impl Client {
    /// Begins with nothing held.
    pub(crate) fn new(node: Node) -> Client {
        let types = TypeUrl::ALL.into_iter().map(|ty| (ty, Held::default())).collect();
        Client { node, introduced: false, types, heard: None }
    }

    /// Begins a stream: the requests that open it.
    pub(crate) fn open<W: Into<Arc<BTreeSet<String>>>>(
        &mut self,
        wanted: impl Fn(TypeUrl) -> W,
    ) -> Vec<DeltaDiscoveryRequest> {
        self.introduced = false;
        self.heard = None;
        for held in self.types.values_mut() {
            held.asked = false;
            held.names = Arc::default();
        }
        self.subscribe(wanted)
    }

    /// Takes in a response; `None` when it carries nothing to put in force. Either way [`Client::answer`] is next.
    pub(crate) fn hear(&mut self, response: DeltaDiscoveryResponse) -> Option<Update> {
        let (type_url, nonce) = (response.type_url, response.nonce);
        let mut heard =
            Heard { type_url, nonce, versions: Vec::new(), removed: Vec::new(), rejects: Vec::new() };
        let held = TypeUrl::of(&heard.type_url).and_then(|ty| self.types.get(&ty).map(|held| (ty, held)));
        let Some((ty, held)) = held.filter(|(_, held)| held.asked) else {
            let message = format!("{:?} was not asked for", heard.type_url);
            heard.rejects.push(Reject { name: String::new(), message });
            self.heard = Some(heard);
            return None;
        };

        // Names given up meanwhile may still arrive.
        let concerns = |name: &String| ty.is_wildcard() || held.names.contains(name);
        let mut added: Vec<Added> = Vec::with_capacity(response.resources.len());
        let mut seen = BTreeSet::new();
        for resource in response.resources {
            match fit(ty, resource) {
                Err(reject) => heard.rejects.push(reject),
                Ok(resource) if !concerns(&resource.name) => {}
                Ok(resource) if !seen.insert(resource.name.clone()) => {
                    let message = "stands twice in one response".to_owned();
                    heard.rejects.push(Reject { name: resource.name, message });
                }
                Ok(resource) => added.push(resource),
            }
        }
        let removed: Vec<String> = response.removed_resources.into_iter().filter(concerns).collect();
        heard.versions = added.iter().map(|added| (added.name.clone(), added.version.clone())).collect();
        heard.removed.clone_from(&removed);
        self.heard = Some(heard);
        Some(Update { ty, added, removed })
    }

    /// Answers the response heard last, with what of it was refused. Subscriptions that follow from it come first,
    /// so that a server which counts what is due never finds nothing in between.
    pub(crate) fn answer<W: Into<Arc<BTreeSet<String>>>>(
        &mut self,
        rejects: Vec<Reject>,
        wanted: impl Fn(TypeUrl) -> W,
    ) -> Vec<DeltaDiscoveryRequest> {
        let Some(mut heard) = self.heard.take() else { return self.subscribe(wanted) };
        heard.rejects.extend(rejects);
        if let Some(held) = TypeUrl::of(&heard.type_url).and_then(|ty| self.types.get_mut(&ty)) {
            held.note(&heard);
        }

        let mut requests = self.subscribe(wanted);
        let error_detail = (!heard.rejects.is_empty()).then(|| refusal(&heard.rejects));
        let (type_url, response_nonce) = (heard.type_url, heard.nonce);
        requests.push(DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..Default::default() });
        requests
    }

    /// Asks for what is wanted and not subscribed to, and gives up what is not wanted any more.
    pub(crate) fn subscribe<W: Into<Arc<BTreeSet<String>>>>(
        &mut self,
        wanted: impl Fn(TypeUrl) -> W,
    ) -> Vec<DeltaDiscoveryRequest> {
        let mut requests = Vec::new();
        for (ty, held) in &mut self.types {
            let wanted = if ty.is_wildcard() { Arc::default() } else { wanted(*ty).into() };
            let Some(mut request) = held.subscribe(*ty, wanted) else { continue };
            if !self.introduced {
                self.introduced = true;
                request.node = Some(self.node.clone());
            }
            requests.push(request);
        }
        requests
    }
}

impl Held {
    fn subscribe(&mut self, ty: TypeUrl, wanted: Arc<BTreeSet<String>>) -> Option<DeltaDiscoveryRequest> {
        if self.asked && Arc::ptr_eq(&self.names, &wanted) {
            return None;
        }
        let subscribe: Vec<String> = wanted.difference(&self.names).cloned().collect();
        let unsubscribe: Vec<String> = self.names.difference(&wanted).cloned().collect();
        let first = !self.asked && (ty.is_wildcard() || !wanted.is_empty());
        if !first && subscribe.is_empty() && unsubscribe.is_empty() {
            return None;
        }
        self.asked = true;
        self.names = wanted;
        if !ty.is_wildcard() {
            self.versions.retain(|name, _| self.names.contains(name));
        }
        let initial_resource_versions = match first {
            true => self.versions.clone().into_iter().collect(),
            false => Default::default(),
        };
        Some(DeltaDiscoveryRequest {
            type_url: ty.as_str().to_owned(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions,
            ..Default::default()
        })
    }

    /// Notes what is in force after a response.
    fn note(&mut self, heard: &Heard) {
        let refused: BTreeSet<&String> = heard.rejects.iter().map(|reject| &reject.name).collect();
        for (name, version) in &heard.versions {
            if !refused.contains(name) {
                self.versions.insert(name.clone(), version.clone());
            } else if let Some(version) = self.versions.get_mut(name) {
                version.clear();
            }
        }
        for name in heard.removed.iter().filter(|name| !refused.contains(name)) {
            self.versions.remove(name);
        }
    }
}

/// Checks what does not depend on the resource's content.
fn fit(ty: TypeUrl, resource: Resource) -> Result<Added, Reject> {
    let Resource { name, version, resource, .. } = resource;
    let message = match resource {
        _ if name.is_empty() => "has no name".to_owned(),
        None => "has no content".to_owned(),
        Some(any) if any.type_url != ty.as_str() => format!("is a {:?} among {ty}", any.type_url),
        Some(any) => return Ok(Added { name, any, version }),
    };
    Err(Reject { name, message })
}

/// One text for all that was refused, each by name.
fn refusal(rejects: &[Reject]) -> Status {
    let mut message = String::new();
    for Reject { name, message: why } in rejects {
        if !message.is_empty() {
            message.push_str("; ");
        }
        if !name.is_empty() {
            message.push_str(name);
            message.push_str(": ");
        }
        message.push_str(why);
    }
    if message.len() > MAX_REFUSAL {
        message.truncate(message.floor_char_boundary(MAX_REFUSAL));
        message.push('…');
    }
    Status { code: INVALID_ARGUMENT, message, ..Default::default() }
}

#[cfg(test)]
mod tests;
