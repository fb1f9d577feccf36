//! What is generated of peers' models, simulated: requests go as the model says.
#![allow(clippy::unwrap_used)]

use ::generate::{CallKind, Context, DomainModel, Options, Routing, Rule, generate, request_path};
use api::ResourceSet;
use explain::{Call, Compiled, Decision};
use mesh::{Proxy, Settings, Snapshot};
use serde_json::json;

/// Peers' models by name.
fn models() -> Vec<(String, DomainModel)> {
    let Some(suites) = testkit::suites() else { return Vec::new() };
    let mut models = Vec::new();
    for entry in std::fs::read_dir(suites.join("msa-ez/models")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let read = ::generate::read(&name, &std::fs::read(path).unwrap());
        models.push((name, read.model.unwrap()));
    }
    assert_eq!(models.len(), 4);
    models
}

/// The objects of a model in force.
struct World {
    snapshot: Snapshot,
    namespace: String,
}

impl World {
    fn of(model: &DomainModel) -> Self {
        let yaml = generate(model, Options::default()).to_yaml();
        let parsed = api::parse("generated.yaml", yaml.as_bytes());
        let found = parsed.issues.iter().filter(|issue| issue.code != "skipped-kind");
        assert_eq!(found.collect::<Vec<_>>(), Vec::<&base::Issue>::new(), "{yaml}");
        let set: ResourceSet = parsed.resources.into_iter().collect();
        let namespace = model.namespace.clone().unwrap_or_else(|| "default".into());
        Self { snapshot: Snapshot::next(None, &set, &Settings::default()), namespace }
    }

    fn proxy(&self, kind: &str, labels: &serde_json::Value) -> Compiled {
        let namespace = &self.namespace;
        let id = format!("{kind}~127.0.0.1~it.{namespace}~{namespace}.svc.cluster.local");
        let metadata = json!({"NAMESPACE": namespace, "LABELS": labels});
        let compiled = explain::compile(&self.snapshot, &Proxy::new(&id, &metadata, &[]).unwrap());
        assert!(compiled.rejects.is_empty(), "{:?}", compiled.rejects);
        compiled
    }

    /// What a user's request comes to.
    fn outside(&self, path: &str, headers: &[(&str, &str)]) -> Decision {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let call = Call { path: path.to_owned(), headers, ..Call::http(80, "shop.example") };
        explain::decide(&self.proxy("router", &json!({"istio": "ingressgateway"})).plan, &call)
    }

    /// What a call from one context to another comes to.
    fn inside(&self, from: &str, to: &Context, path: &str) -> Decision {
        let call = Call { path: path.to_owned(), ..Call::http(to.service_port, &to.name) };
        explain::decide(&self.proxy("sidecar", &json!({"app": from, "version": "v1"})).plan, &call)
    }

    /// Destination and share of each cluster.
    fn shares(&self, decision: &Decision) -> Vec<(String, f64)> {
        let shares = decision.clusters.iter();
        let domain = format!(".{}.svc.cluster.local", self.namespace);
        shares
            .map(|share| {
                assert!(!share.is_missing, "{share:?}");
                (share.cluster.replace(&domain, ""), share.percent)
            })
            .collect()
    }
}

/// Where everything for a context goes before a canary is tried.
fn stable(context: &Context) -> Vec<(String, f64)> {
    vec![(format!("outbound|{}|stable|{}", context.service_port, context.name), 100.0)]
}

/// The path as a client writes it, and one below it.
fn paths(prefix: &str) -> [String; 2] {
    let path = request_path(prefix);
    [path.clone(), format!("{path}/17?full=yes")]
}

#[test]
fn users_reach_each_context_by_its_paths_which_stay_as_they_are() {
    for (name, model) in models().iter().filter(|(_, model)| model.objects.is_empty()) {
        let world = World::of(model);
        for context in &model.contexts {
            for path in context.prefixes().iter().flat_map(|prefix| paths(prefix)) {
                let decision = world.outside(&path, &[]);

                assert_eq!(world.shares(&decision), stable(context), "{name} {path} {decision:?}");
                assert_eq!(decision.clusters[0].path.as_ref(), Some(&path), "{name}");
            }
        }
        assert_eq!(world.outside("/nothing", &[]).reply, Some(404), "{name}");
    }
}

#[test]
fn calls_between_contexts_follow_the_same_weights() {
    for (name, model) in models().iter().filter(|(_, model)| model.objects.is_empty()) {
        let world = World::of(model);
        for call in model.calls.iter().filter(|call| call.kind == CallKind::Sync) {
            let to = model.context(&call.to).unwrap();
            let path = paths(&call.path.clone().unwrap().replace("{id}", "1"))[0].clone();

            let decision = world.inside(&call.from, to, &path);

            assert_eq!(world.shares(&decision), stable(to), "{name} {call:?} {decision:?}");
            assert_eq!(decision.timeout.is_some(), call.circuit_breaker, "{name} {call:?}");
        }
    }
}

#[test]
fn a_canary_gets_its_share_and_those_it_is_for() {
    for (name, mut model) in models().into_iter().filter(|(_, model)| model.objects.is_empty()) {
        let context = &mut model.contexts[0];
        let rule = Rule {
            name: "testers".into(),
            matches: vec![json!({"headers": {"end-user": {"exact": "jason"}}})],
            canary: 100,
        };
        context.routing = Some(Routing { canary: 20, rules: vec![rule], ..Routing::default() });
        let (context, world) = (model.contexts[0].clone(), World::of(&model));
        let path = &paths(context.prefixes()[0])[1];
        let of = |subset: &str| format!("outbound|{}|{subset}|{}", context.service_port, context.name);

        let shared = vec![(of("stable"), 80.0), (of("canary"), 20.0)];
        assert_eq!(world.shares(&world.outside(path, &[])), shared, "{name}");
        assert_eq!(world.shares(&world.inside("other", &context, path)), shared, "{name}");
        let jason = world.outside(path, &[("end-user", "jason")]);
        assert_eq!(world.shares(&jason), [(of("canary"), 100.0)], "{name}");
    }
}

#[test]
fn what_was_drawn_routes_as_it_was_meant() {
    for (name, model) in models().iter().filter(|(_, model)| !model.objects.is_empty()) {
        let world = World::of(model);
        let order = model.context("order").unwrap();

        for decision in [world.outside("/orders", &[]), world.inside("other", order, "/orders")] {
            let shares: Vec<(String, f64)> = world
                .shares(&decision)
                .into_iter()
                .map(|(cluster, percent)| (cluster, percent.round()))
                .collect();
            let of = |subset: &str| format!("outbound|8080|{subset}|order");
            assert_eq!(shares, [(of("v1"), 78.0), (of("v2"), 22.0)], "{name} {decision:?}");
        }
        let tester = world.outside("/orders", &[("x-user", "tester")]);
        assert_eq!(world.shares(&tester), [("outbound|8080|v2|order".to_owned(), 100.0)], "{name}");
    }
}
