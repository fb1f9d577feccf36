//! What lines between stickers say: who calls whom, who listens to whom, and what follows from what.

use std::collections::{BTreeMap, BTreeSet};

use super::member::Members;
use crate::file::{Element, File, Kind, Relation};
use crate::finding::{About, Findings};
use crate::loose::Loose;
use crate::model::{Call, CallKind, Context, DomainModel, External};
use crate::name;

/// Reads every line.
pub(super) fn fill(file: &File, members: &Members, model: &mut DomainModel, findings: &mut Findings) {
    model.externals = externals(file);
    for relation in &file.relations {
        let ends = [&relation.from, &relation.to].map(|id| file.elements.get(id));
        let [Some(from), Some(to)] = ends else {
            let path = format!("relations[{}]", relation.id);
            let missing = if ends[0].is_none() { &relation.from } else { &relation.to };
            let message =
                format!("the line leads to nothing: there is no element {missing:?}; it is left out");
            findings.warn("dangling-relation", About { object: "", path: &path }, message);
            continue;
        };
        let line = Line { relation, from, to, places: [from, to].map(|end| members.context(end)) };
        line.read(model);
    }
    model.broker = model.calls.iter().any(|call| call.kind == CallKind::Async);
    report_cycle(model, findings);
}

/// Systems outside and packages.
fn externals(file: &File) -> Vec<External> {
    let mut all = Vec::new();
    for element in file.elements.all.iter().filter(|element| !element.name.is_empty()) {
        if !matches!(element.kind, Kind::External | Kind::Package) {
            continue;
        }
        let info = element.value.at("controllerInfo");
        let word = |field: &str| {
            let word = info.map(|info| info.word(field)).filter(|word| !word.is_empty());
            word.map(str::to_owned)
        };
        all.push(External {
            name: element.name.clone(),
            id: Some(element.id.clone()),
            url: word("apiPath"),
            method: word("method").map(|method| method.to_ascii_uppercase()),
            callers: Vec::new(),
        });
    }
    all
}

/// A line with both its ends.
struct Line<'f> {
    relation: &'f Relation,
    from: &'f Element,
    to: &'f Element,
    /// The places of the contexts of its ends.
    places: [Option<usize>; 2],
}

impl Line<'_> {
    fn read(&self, model: &mut DomainModel) {
        let is_external =
            |end: &Element| matches!(end.kind, Kind::External | Kind::Package) || !end.package().is_empty();
        if is_external(self.to) {
            return self.leaves(model);
        }
        if self.from.kind == Kind::Actor {
            let context = self.places[1].and_then(|place| model.contexts.get_mut(place));
            context.into_iter().for_each(|context| context.user_facing = true);
            return;
        }
        // What has no name says nothing, as for the drawing tool.
        let is_named = !self.from.name.is_empty() && !self.to.name.is_empty();
        let [Some(from), Some(to)] = self.places else { return };
        if !is_named {
            return;
        }
        self.follow((from, to), model);
        if from != to {
            self.cross((from, to), model);
        }
    }

    /// A call that leaves the model.
    fn leaves(&self, model: &mut DomainModel) {
        let ids = [self.to.id.as_str(), self.to.package()];
        let caller =
            self.places[0].and_then(|place| model.contexts.get(place)).map(|context| context.name.clone());
        let is_meant = |external: &&mut External| external.id.as_deref().is_some_and(|id| ids.contains(&id));
        if let (Some(caller), Some(external)) = (caller, model.externals.iter_mut().find(is_meant))
            && !external.callers.contains(&caller)
        {
            external.callers.push(caller);
        }
    }

    /// What follows from what, within a context or across.
    fn follow(&self, (from, to): (usize, usize), model: &mut DomainModel) {
        let put = |list: &mut Vec<String>, name: &str| {
            if !list.iter().any(|known| known == name) {
                list.push(name.to_owned());
            }
        };
        let is = |id: &Option<String>, element: &Element| id.as_deref() == Some(&element.id);
        match (&self.from.kind, &self.to.kind) {
            (Kind::Command, Kind::Event) => {
                let commands = model.contexts.get_mut(from).map(|context| &mut context.commands);
                let command = commands.into_iter().flatten().find(|command| is(&command.id, self.from));
                command.into_iter().for_each(|command| put(&mut command.emits, &self.to.name));
            }
            (Kind::Policy, Kind::Command | Kind::Event) => {
                let policies = model.contexts.get_mut(from).map(|context| &mut context.policies);
                for policy in policies.into_iter().flatten().filter(|policy| is(&policy.id, self.from)) {
                    let list =
                        if self.to.kind == Kind::Event { &mut policy.emits } else { &mut policy.commands };
                    put(list, &self.to.name);
                }
            }
            (Kind::Event, Kind::Policy) => {
                let policies = model.contexts.get_mut(to).map(|context| &mut context.policies);
                for policy in policies.into_iter().flatten().filter(|policy| is(&policy.id, self.to)) {
                    put(&mut policy.listens_to, &self.from.name);
                }
            }
            _ => {}
        }
    }

    /// A call from one context to another.
    fn cross(&self, (from, to): (usize, usize), model: &mut DomainModel) {
        let kind = match (&self.from.kind, &self.to.kind) {
            (Kind::Event, Kind::Policy) => CallKind::Async,
            (Kind::Command | Kind::Event | Kind::Policy, Kind::Command)
            | (Kind::Command | Kind::Policy, Kind::Aggregate | Kind::View) => CallKind::Sync,
            _ => return,
        };
        let (Some(caller), Some(called)) = (model.contexts.get(from), model.contexts.get(to)) else { return };
        let (method, path) = match kind {
            CallKind::Async => (None, None),
            CallKind::Sync => self.request(called),
        };
        model.calls.push(Call {
            from: caller.name.clone(),
            to: called.name.clone(),
            kind,
            method,
            path,
            via: vec![self.from.name.clone(), self.to.name.clone()],
            circuit_breaker: self.relation.circuit_breaker,
            fallback: self.relation.fallback,
        });
    }

    /// How the called element is asked.
    fn request(&self, called: &Context) -> (Option<String>, Option<String>) {
        let is_it = |id: &Option<String>| id.as_deref() == Some(&self.to.id);
        let get = || Some("GET".to_owned());
        match self.to.kind {
            Kind::Command => match called.commands.iter().find(|command| is_it(&command.id)) {
                Some(command) => (command.method.clone(), command.path.clone()),
                None => (None, None),
            },
            Kind::View => {
                let view = called.read_models.iter().find(|view| is_it(&view.id));
                (get(), view.and_then(|view| view.path.clone()))
            }
            _ => (get(), Some(format!("/{}/{{id}}", name::plural(&name::camel(&self.to.name))))),
        }
    }
}

/// Contexts that wait for each other in a ring, which one slow one of them brings to a stop.
fn report_cycle(model: &DomainModel, findings: &mut Findings) {
    let waits = model.calls.iter().filter(|call| call.kind == CallKind::Sync);
    let forth: BTreeSet<(&str, &str)> = waits.map(|call| (call.from.as_str(), call.to.as_str())).collect();
    let back: BTreeSet<(&str, &str)> = forth.iter().map(|(from, to)| (*to, *from)).collect();
    // Whoever waits for nobody is in no ring, nor is whoever nobody waits for.
    let rings = without_ends(&back, &without_ends(&forth, &forth.iter().map(|(from, _)| *from).collect()));
    if !rings.is_empty() {
        let names: Vec<&str> = rings.into_iter().collect();
        let message = format!(
            "these contexts wait for each other in a ring, and one that is slow stops them all: {}; let an event break it",
            names.join(", ")
        );
        findings.warn("sync-cycle", About { object: "", path: "relations" }, message);
    }
}

/// The names from which a walk along the lines need never end, among these.
fn without_ends<'m>(lines: &BTreeSet<(&'m str, &'m str)>, among: &BTreeSet<&'m str>) -> BTreeSet<&'m str> {
    let inner = lines.iter().filter(|(from, to)| among.contains(from) && among.contains(to));
    let mut ways: BTreeMap<&str, usize> = among.iter().map(|name| (*name, 0)).collect();
    let mut comes_from: BTreeMap<&str, Vec<&'m str>> = BTreeMap::new();
    for (from, to) in inner {
        *ways.entry(from).or_default() += 1;
        comes_from.entry(to).or_default().push(from);
    }
    let mut ends: Vec<&str> = ways.iter().filter(|(_, ways)| **ways == 0).map(|(name, _)| *name).collect();
    let mut left = among.clone();
    while let Some(end) = ends.pop() {
        left.remove(end);
        for from in comes_from.remove(end).unwrap_or_default() {
            if let Some(ways) = ways.get_mut(from) {
                *ways = ways.saturating_sub(1);
                if *ways == 0 {
                    ends.push(from);
                }
            }
        }
    }
    left
}
