//! One stream of the server: who asked for what, what was sent, and what is due.
//!
//! One response per type is under way at a time; what changes meanwhile is merged into the next. What is new goes
//! out in the order of [`TypeUrl`], listeners and routes waiting until the clusters they may name are in force;
//! clusters and endpoints leave last, when no route names them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use super::ledger::{Entry, Ledger, Library, Name, Told};
use super::message::Response;
use crate::{Feed, Served, TypeStatus, TypeUrl};

/// The subscription that means everything of its type.
pub(super) const WILDCARD: &str = "*";

/// How many names one stream may subscribe to, per type.
const MAX_NAMES: usize = 100_000;

/// How long a resource name may be.
const MAX_NAME: usize = 4096;

/// A request that ends the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// A name longer than any resource's.
    #[error("a resource name of {0} bytes")]
    LongName(usize),
    /// More names than one proxy can need.
    #[error("{0}: more than {MAX_NAMES} names")]
    ManyNames(TypeUrl),
}

/// The protocol's state for one stream.
#[derive(Debug)]
pub(crate) struct Session {
    subscriptions: BTreeMap<TypeUrl, Subscription>,
    /// Answers about types that are not served.
    strange: Vec<Response>,
    nonces: u64,
    generation: u64,
    settled: Option<u64>,
    /// Whether what waits for others has waited long enough.
    released: bool,
    library: Library,
}

/// The state of one type.
#[derive(Debug, Default)]
struct Subscription {
    /// Whether everything is subscribed to.
    wildcard: bool,
    /// The names subscribed to one by one, and what the proxy was last told.
    ledger: Ledger,
    /// Names to answer whether or not anything changed.
    due: BTreeSet<Arc<str>>,
    /// Names to compare with what was told.
    doubtful: BTreeSet<Arc<str>>,
    /// Whether everything must be compared with what was told.
    stale: bool,
    /// Whether a response must be sent even if it is empty.
    unanswered: bool,
    /// Whether resources that went have not been told of.
    leaving: bool,
    under_way: Option<UnderWay>,
    status: TypeStatus,
}

/// A response neither accepted nor refused.
#[derive(Debug)]
struct UnderWay {
    nonce: String,
    /// The nonce of the response before it.
    before: String,
    generation: u64,
    /// Whether listeners and routes may name what is in it for the first time.
    leads: bool,
}

/// What a response will say.
#[derive(Default)]
struct Difference {
    added: Vec<Arc<Served>>,
    removed: Vec<Arc<str>>,
}

impl Session {
    /// Begins a stream at a generation; what it has in common with others of a library it shares with them.
    pub(crate) fn new(generation: u64, library: Library) -> Session {
        Session {
            subscriptions: BTreeMap::new(),
            strange: Vec::new(),
            nonces: 0,
            generation,
            settled: None,
            released: false,
            library,
        }
    }

    /// Takes in a request.
    ///
    /// # Errors
    /// The stream must end.
    pub(crate) fn request(
        &mut self,
        request: &DeltaDiscoveryRequest,
        feed: &mut dyn Feed,
    ) -> Result<(), Unfit> {
        let (subscribe, unsubscribe) =
            (&request.resource_names_subscribe, &request.resource_names_unsubscribe);
        if let Some(long) = subscribe.iter().find(|name| name.len() > MAX_NAME) {
            return Err(Unfit::LongName(long.len()));
        }
        let Some(ty) = TypeUrl::of(&request.type_url) else {
            self.answer_stranger(request);
            return Ok(());
        };
        let library = &self.library;
        let opened = || Subscription::open(ty, request, library);
        let subscription = self.subscriptions.entry(ty).or_insert_with(opened);
        if let Some(answered) = subscription.take_answered(&request.response_nonce) {
            match &request.error_detail {
                None => {
                    subscription.status.accepted(&answered);
                    feed.acked(ty);
                }
                Some(error) => {
                    subscription.status.refused = Some(error.message.clone());
                    feed.nacked(ty, answered.generation, &error.message);
                }
            }
        }
        if subscribe.len() > MAX_NAMES {
            return Err(Unfit::ManyNames(ty));
        }
        subscription.subscribe(subscribe, library);
        if !subscribe.is_empty() && subscription.ledger.asked().count() > MAX_NAMES {
            return Err(Unfit::ManyNames(ty));
        }
        subscription.unsubscribe(unsubscribe, library);
        Ok(())
    }

    /// Takes notice that the feed has moved to another generation.
    pub(crate) fn refreshed(&mut self, generation: u64, feed: &dyn Feed) {
        self.generation = generation;
        self.released = false;
        for (ty, subscription) in &mut self.subscriptions {
            subscription.doubt(feed.differing(*ty));
        }
    }

    /// Whether a response of a type has not been answered.
    pub(super) fn is_under_way(&self, ty: TypeUrl) -> bool {
        self.subscriptions.get(&ty).is_some_and(|subscription| subscription.under_way.is_some())
    }

    /// Takes a response for answered that was not sent, because its dialect has no words for it.
    pub(super) fn withdraw(&mut self, ty: TypeUrl) {
        let Some(subscription) = self.subscriptions.get_mut(&ty) else { return };
        if let Some(under_way) = subscription.under_way.take() {
            subscription.status.withdrawn(&under_way);
        }
    }

    /// Everything that may be sent now, in order.
    pub(crate) fn responses(&mut self, feed: &mut dyn Feed) -> Vec<Response> {
        let mut responses = std::mem::take(&mut self.strange);
        for ty in TypeUrl::ALL {
            if !self.waits(ty) {
                responses.extend(self.response(ty, false, feed));
            }
        }
        if self.may_remove() {
            for ty in [TypeUrl::Cluster, TypeUrl::Endpoint] {
                responses.extend(self.response(ty, true, feed));
            }
        }
        responses
    }

    /// Whether something is due that waits for other types; the shell then lets a bounded time pass.
    pub(crate) fn is_held(&self) -> bool {
        let waits =
            |ty: TypeUrl| self.waits(ty) && self.subscriptions.get(&ty).is_some_and(Subscription::is_due);
        !self.released && (TypeUrl::ALL.into_iter().any(waits) || self.is_leaving())
    }

    /// Lets pass what waits, until the next generation.
    pub(crate) fn release(&mut self) {
        self.released = true;
    }

    /// The generation that has just been settled, told once.
    pub(crate) fn settle(&mut self) -> Option<u64> {
        let asked = |ty| self.subscriptions.contains_key(&ty);
        let settled = asked(TypeUrl::Cluster)
            && asked(TypeUrl::Listener)
            && self.subscriptions.values().all(|subscription| !subscription.is_busy());
        if !settled || self.settled == Some(self.generation) {
            return None;
        }
        self.settled = Some(self.generation);
        self.settled
    }

    /// What was sent and answered, per type.
    pub(crate) fn status(&self) -> BTreeMap<TypeUrl, TypeStatus> {
        let status = |subscription: &Subscription| TypeStatus {
            is_wildcard: subscription.wildcard,
            watched: subscription.ledger.clone(),
            ..subscription.status.clone()
        };
        self.subscriptions.iter().map(|(ty, subscription)| (*ty, status(subscription))).collect()
    }

    /// Answers names of a type that is not served here with their absence: no name stays unanswered.
    fn answer_stranger(&mut self, request: &DeltaDiscoveryRequest) {
        let names = request.resource_names_subscribe.iter();
        let removed: Vec<Arc<str>> =
            names.filter(|name| *name != WILDCARD).map(|name| name.as_str().into()).collect();
        if !removed.is_empty() {
            let (type_url, generation) = (request.type_url.clone(), self.generation);
            let nonce = self.next_nonce();
            self.strange.push(Response { type_url, nonce, generation, added: Vec::new(), removed });
        }
    }

    /// Whether a type must not be sent yet: a listener or route may name a cluster that is not in force.
    fn waits(&self, ty: TypeUrl) -> bool {
        let leads = |ty| self.subscriptions.get(&ty).is_some_and(|subscription| subscription.leads(ty));
        matches!(ty, TypeUrl::Listener | TypeUrl::Route)
            && !self.released
            && (leads(TypeUrl::Cluster) || leads(TypeUrl::Endpoint))
    }

    fn is_leaving(&self) -> bool {
        self.subscriptions.values().any(|subscription| subscription.leaving)
    }

    /// Whether no listener or route the proxy has can name a cluster that went. A proxy that has not asked for
    /// listeners may still hold some from an earlier stream.
    fn may_remove(&self) -> bool {
        let idle = |ty| self.subscriptions.get(&ty).is_none_or(|subscription| !subscription.is_busy());
        let quiet = self.subscriptions.contains_key(&TypeUrl::Listener)
            && idle(TypeUrl::Listener)
            && idle(TypeUrl::Route);
        self.is_leaving() && (quiet || self.released)
    }

    /// Makes the next response of a type, if one is due and none under way.
    fn response(&mut self, ty: TypeUrl, leaving: bool, feed: &mut dyn Feed) -> Option<Response> {
        let subscription = self.subscriptions.get_mut(&ty)?;
        let wanted = if leaving { subscription.leaving } else { subscription.is_due() };
        if subscription.under_way.is_some() || !wanted {
            return None;
        }
        let mut difference = subscription.difference(ty, leaving, feed);
        let leads = subscription.leads_with(ty, &difference);
        if leaving {
            subscription.leaving = false;
        } else if matches!(ty, TypeUrl::Cluster | TypeUrl::Endpoint) {
            subscription.defer(&mut difference);
        }
        let unanswered = std::mem::take(&mut subscription.unanswered);
        subscription.tell(&difference, &self.library);
        if difference.added.is_empty() && difference.removed.is_empty() && !unanswered {
            return None;
        }
        if ty == TypeUrl::Cluster {
            self.warm(&difference);
        }

        let nonce = self.next_nonce();
        let generation = self.generation;
        let subscription = self.subscriptions.get_mut(&ty)?;
        let before = std::mem::replace(&mut subscription.status.nonce_sent, nonce.clone());
        subscription.status.version_sent = generation.to_string();
        subscription.under_way = Some(UnderWay { nonce: nonce.clone(), before, generation, leads });
        let type_url = ty.as_str().to_owned();
        Some(Response { type_url, nonce, generation, added: difference.added, removed: difference.removed })
    }

    /// Makes the endpoints of clusters being sent due: Envoy warms a changed cluster anew and waits for them,
    /// without asking again.
    fn warm(&mut self, clusters: &Difference) {
        let Some(endpoints) = self.subscriptions.get_mut(&TypeUrl::Endpoint) else { return };
        let Subscription { ledger, due, .. } = endpoints;
        let lines = clusters.added.iter().filter_map(|served| ledger.line(&served.name));
        due.extend(lines.filter(|line| line.is_asked).map(|line| line.name.clone()));
    }

    fn next_nonce(&mut self) -> String {
        self.nonces += 1;
        format!("{:x}", self.nonces)
    }
}

impl Subscription {
    /// Begins with the first request of a type: without names it means everything, and what the proxy brings from
    /// an earlier stream counts as told.
    fn open(ty: TypeUrl, request: &DeltaDiscoveryRequest, library: &Library) -> Subscription {
        let names: BTreeSet<&String> = request.resource_names_subscribe.iter().collect();
        let wildcard = ty.is_wildcard() && names.is_empty();
        let held = request.initial_resource_versions.iter();
        let held = held.filter(|(name, _)| ty.is_wildcard() || names.contains(name));
        let told = held.map(|(name, version)| Entry {
            name: Name::Own(name),
            is_asked: false,
            told: Told::version(version),
        });
        let ledger = library.blank().write(told.collect(), library);
        Subscription { wildcard, ledger, stale: true, unanswered: wildcard, ..Default::default() }
    }

    fn subscribe(&mut self, names: &[String], library: &Library) {
        if names.iter().any(|name| name == WILDCARD) {
            self.wildcard = true;
            self.stale = true;
            self.unanswered = true;
        }
        let names = || names.iter().filter(|name| *name != WILDCARD);
        let entries =
            names().map(|name| Entry { name: Name::Own(name), is_asked: true, told: self.ledger.told(name) });
        self.ledger = self.ledger.write(entries.collect(), library);
        // Even those subscribed to already: the proxy may have dropped one and changed its mind.
        let lines = names().filter_map(|name| self.ledger.line(name));
        self.due.extend(lines.map(|line| line.name.clone()));
    }

    fn unsubscribe(&mut self, names: &[String], library: &Library) {
        if names.iter().any(|name| name == WILDCARD) {
            self.wildcard = false;
            self.unanswered = false;
            let lines = self.ledger.lines().iter().filter(|line| !line.is_asked);
            let blank = |name| Entry { name: Name::Shared(name), is_asked: false, told: Told::Nothing };
            self.ledger = self.ledger.write(lines.map(|line| blank(&line.name)).collect(), library);
            self.due.retain(|name| self.ledger.has_asked(name));
        }
        let lines = names.iter().filter_map(|name| self.ledger.line(name)).filter(|line| line.is_asked);
        let mut entries = Vec::new();
        for line in lines {
            if self.wildcard {
                // Everything still includes it, or must be seen not to.
                self.due.insert(line.name.clone());
            } else {
                self.due.remove(&line.name);
            }
            let told = if self.wildcard { line.told } else { Told::Nothing };
            entries.push(Entry { name: Name::Shared(&line.name), is_asked: false, told });
        }
        self.ledger = self.ledger.write(entries, library);
    }

    /// Takes the response under way when the nonce is its own; another nonce answers one long superseded.
    fn take_answered(&mut self, nonce: &str) -> Option<UnderWay> {
        self.under_way.take_if(|under_way| under_way.nonce == nonce)
    }

    /// Takes notice that names may stand for something else than was told; all of them where it is not known which.
    fn doubt(&mut self, differing: Option<Arc<[Arc<str>]>>) {
        match differing {
            None => self.stale = true,
            Some(_) if self.stale => {}
            Some(names) => {
                let concerned: Vec<Arc<str>> =
                    names.iter().filter(|name| self.concerns(name)).cloned().collect();
                self.doubtful.extend(concerned);
            }
        }
    }

    fn concerns(&self, name: &str) -> bool {
        self.wildcard || self.ledger.has_asked(name)
    }

    fn is_due(&self) -> bool {
        self.stale || self.unanswered || !self.due.is_empty() || !self.doubtful.is_empty()
    }

    fn is_busy(&self) -> bool {
        self.is_due() || self.leaving || self.under_way.is_some()
    }

    /// Whether something that listeners and routes may name for the first time is not in force yet. What is due
    /// behind a response under way may be such: it is not known before it is made.
    fn leads(&self, ty: TypeUrl) -> bool {
        let is_doubted = self.stale || !self.doubtful.is_empty();
        let behind = !self.due.is_empty() || is_doubted && ty == TypeUrl::Cluster;
        self.under_way.as_ref().is_some_and(|under_way| under_way.leads || behind)
    }

    /// Whether a response gives listeners and routes something new to name: clusters, and the first endpoints of
    /// clusters; later endpoints change nothing for them.
    fn leads_with(&self, ty: TypeUrl, difference: &Difference) -> bool {
        match ty {
            TypeUrl::Cluster => !difference.added.is_empty(),
            TypeUrl::Endpoint => !self.due.is_empty(),
            _ => false,
        }
    }

    /// Compares what there is with what was told.
    fn difference(&self, ty: TypeUrl, leaving: bool, feed: &mut dyn Feed) -> Difference {
        let mut difference = Difference::default();
        let mut present = BTreeMap::new();
        if self.stale || leaving {
            if self.wildcard {
                present.extend(feed.all(ty).into_iter().map(|served| (served.name.clone(), served)));
            }
            for name in self.ledger.asked().chain(&self.due) {
                if !present.contains_key(name)
                    && let Some(served) = feed.named(ty, name)
                {
                    present.insert(name.clone(), served);
                }
            }
            let told = self.ledger.lines().iter().filter(|line| line.told.is_present());
            let gone = told.map(|line| &line.name).filter(|name| !present.contains_key(*name));
            difference.removed.extend(gone.filter(|name| !self.due.contains(*name)).cloned());
        } else {
            let doubtful = self.doubtful.iter().filter(|name| self.concerns(name));
            for name in doubtful.clone().chain(&self.due) {
                present.extend(feed.named(ty, name).map(|served| (name.clone(), served)));
            }
            let gone = doubtful.filter(|name| {
                self.ledger.told(name).is_present()
                    && !present.contains_key(*name)
                    && !self.due.contains(*name)
            });
            difference.removed.extend(gone.cloned());
        }
        difference.removed.extend(self.due.iter().filter(|name| !present.contains_key(*name)).cloned());
        let news = present
            .into_iter()
            .filter(|(name, served)| self.due.contains(name) || self.ledger.told(name) != served.told());
        difference.added.extend(news.map(|(_, served)| served));
        difference
    }

    /// Keeps back the absence of what the proxy has, and remembers that there is such.
    fn defer(&mut self, difference: &mut Difference) {
        let all = difference.removed.len();
        difference.removed.retain(|name| !self.ledger.told(name).is_present());
        let kept_back = difference.removed.len() < all;
        self.leaving = kept_back || self.leaving && !self.stale;
    }

    /// Notes what a response tells.
    fn tell(&mut self, difference: &Difference, library: &Library) {
        let added = difference.added.iter().map(|served| (&served.name, served.told()));
        let removed = difference.removed.iter().map(|name| (name, Told::Absence));
        let entries = added.chain(removed).map(|(name, told)| {
            let is_asked = self.ledger.has_asked(name);
            let told = if is_asked || told.is_present() { told } else { Told::Nothing };
            Entry { name: Name::Shared(name), is_asked, told }
        });
        self.ledger = self.ledger.write(entries.collect(), library);
        self.stale = false;
        self.doubtful.clear();
        self.due.clear();
    }
}

impl TypeStatus {
    fn accepted(&mut self, answered: &UnderWay) {
        self.nonce_acked.clone_from(&answered.nonce);
        self.version_acked = answered.generation.to_string();
        self.refused = None;
    }

    /// Nobody saw the response, so nothing is said of what is refused.
    fn withdrawn(&mut self, answered: &UnderWay) {
        self.nonce_sent.clone_from(&answered.before);
    }
}

#[cfg(test)]
mod tests;
