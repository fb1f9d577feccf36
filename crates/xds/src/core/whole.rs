//! State-of-the-world discovery on top of a [`Session`]: lists of names become subscriptions, and of what differs
//! the whole is made again.
//!
//! Of clusters and listeners a response tells all there is, and what it leaves out is gone; a cluster that routes
//! may still name is therefore told for as long as the session keeps its absence back. Of other types it tells what
//! appeared or changed; that nothing exists under a name cannot be said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};

use super::message::Response;
use super::server::{Session, WILDCARD};
use crate::{Feed, Served, TypeUrl};

#[cfg(test)]
mod tests;

/// What is remembered of a stream beside its session.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    types: BTreeMap<TypeUrl, Told>,
}

/// What is remembered of one type.
#[derive(Debug, Default)]
struct Told {
    /// The names the last request held, the wildcard among them.
    names: BTreeSet<String>,
    /// Whether a name was ever asked for: no names then mean none, instead of everything.
    has_named: bool,
    /// What the proxy has, of a type that is told as a whole.
    has: BTreeMap<Arc<str>, Arc<Served>>,
}

impl Whole {
    /// What a request says that the ones before it did not; `None` where it is about a type that is not served.
    ///
    /// Its names hold even if it answers a response long superseded: requests come in the order they were made.
    pub(crate) fn differs(
        &mut self,
        request: &DiscoveryRequest,
        session: &Session,
    ) -> Option<DeltaDiscoveryRequest> {
        let ty = TypeUrl::of(&request.type_url)?;
        let is_first = !self.types.contains_key(&ty);
        let told = self.types.entry(ty).or_default();
        let names = told.names_of(ty, &request.resource_names);
        let mut subscribe: Vec<String> = names.difference(&told.names).cloned().collect();
        let unsubscribe: Vec<String> = told.names.difference(&names).cloned().collect();
        if subscribe.is_empty() && unsubscribe.is_empty() && !session.is_under_way(ty) && !is_first {
            // It asks once more for what it has been told: it has begun anew with it.
            subscribe = names.iter().cloned().collect();
        }
        if !names.contains(WILDCARD) {
            told.has.retain(|name, _| names.contains(&**name));
        }
        told.names = names;
        Some(DeltaDiscoveryRequest {
            type_url: request.type_url.clone(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            response_nonce: request.response_nonce.clone(),
            error_detail: request.error_detail.clone(),
            ..Default::default()
        })
    }

    /// Everything that may be sent now, in order.
    pub(crate) fn responses(&mut self, session: &mut Session, feed: &mut dyn Feed) -> Vec<Response> {
        let mut sent = Vec::new();
        loop {
            let made = session.responses(feed);
            let mut has_withdrawn = false;
            for response in made {
                let Some(ty) = response.ty() else { continue };
                match self.types.entry(ty).or_default().whole(ty, response) {
                    Some(response) => sent.push(response),
                    None => {
                        session.withdraw(ty);
                        has_withdrawn = true;
                    }
                }
            }
            // What waited for an answer to something never sent does not wait any more.
            if !has_withdrawn {
                return sent;
            }
        }
    }
}

impl Told {
    /// The names a request means.
    fn names_of(&mut self, ty: TypeUrl, names: &[String]) -> BTreeSet<String> {
        self.has_named |= !names.is_empty();
        match ty.is_wildcard() && !self.has_named {
            true => BTreeSet::from([WILDCARD.to_owned()]),
            false => names.iter().cloned().collect(),
        }
    }

    /// The response as a state of the world; `None` where there is nothing to say in it.
    fn whole(&mut self, ty: TypeUrl, response: Response) -> Option<Response> {
        if !ty.is_wildcard() {
            return (!response.added.is_empty()).then(|| Response { removed: Vec::new(), ..response });
        }
        for name in &response.removed {
            self.has.remove(name);
        }
        for served in &response.added {
            self.has.insert(served.name.clone(), served.clone());
        }
        Some(Response { added: self.has.values().cloned().collect(), removed: Vec::new(), ..response })
    }
}
