//! The deployment layer: what the user drew or wrote of Kubernetes objects, and what is amiss with it.

use serde_json::{Map, Value};

use crate::file::File;
use crate::finding::{About, Findings};
use crate::loose::Loose;
use crate::model::{Context, DomainModel, Drawn};

/// Takes the manifests over, and what they say of the contexts.
pub(super) fn fill(file: &File, model: &mut DomainModel, findings: &mut Findings) {
    for element in &file.deployment.all {
        let Some(manifest) = element.value.at("object").filter(|manifest| manifest.is_object()) else {
            continue;
        };
        if manifest.word("kind").is_empty()
            || manifest.at("metadata").is_none_or(|meta| meta.word("name").is_empty())
        {
            let path = format!("k8sValue.elements[{}].object", element.id);
            let object = format!("{}/{}", element.value.word("_type"), element.name);
            let message = "the manifest has no kind or no name: it is left out";
            findings.warn("not-an-object", About { object: &object, path: &path }, message);
            continue;
        }
        model.objects.push(Drawn { id: Some(element.id.clone()), manifest: manifest.clone() });
    }
    model.namespace = common_namespace(&model.objects);
    let gateway =
        model.objects.iter().find(|object| object.kind() == "Gateway").map(|object| object.name().to_owned());
    model.gateway = gateway;
    let objects = std::mem::take(&mut model.objects);
    for context in &mut model.contexts {
        describe(context, &objects);
    }
    model.objects = objects;
    for object in &model.objects {
        report(object, model, findings);
    }
}

/// The namespace all objects name.
fn common_namespace(objects: &[Drawn]) -> Option<String> {
    let of = |object: &Drawn| object.manifest.at("metadata").map(|meta| meta.word("namespace").to_owned());
    let first = objects.first().and_then(of).filter(|namespace| !namespace.is_empty())?;
    objects.iter().all(|object| of(object).as_deref() == Some(first.as_str())).then_some(first)
}

/// Puts into a context what its Service and its Deployments say.
fn describe(context: &mut Context, objects: &[Drawn]) {
    let service = objects.iter().find(|object| object.kind() == "Service" && object.name() == context.name);
    let port = service.and_then(|service| service.manifest.at("spec")?.list("ports").first());
    context.service_port = port.and_then(|port| port.port("port")).unwrap_or(context.service_port);
    let mut is_first = true;
    for deployment in deployments(&context.name, objects) {
        let spec = deployment.manifest.at("spec");
        let pod = spec.and_then(|spec| spec.at("template"));
        let version =
            pod.and_then(|pod| Some(pod.at("metadata")?.at("labels")?.word("version"))).unwrap_or_default();
        if !version.is_empty() && !context.versions.iter().any(|known| known == version) {
            context.versions.push(version.to_owned());
        }
        if !std::mem::take(&mut is_first) {
            continue;
        }
        let replicas =
            spec.and_then(|spec| spec.at("replicas")?.as_u64()).and_then(|n| u32::try_from(n).ok());
        context.replicas = replicas.unwrap_or(context.replicas);
        let container = pod.and_then(|pod| pod.at("spec")?.list("containers").first());
        let image = container.map(|container| container.word("image")).unwrap_or_default();
        context.image = Some(without_tag(image).to_owned()).filter(|image| !image.is_empty());
        let port = container.and_then(|container| container.list("ports").first()?.port("containerPort"));
        context.container_port = port.unwrap_or(context.container_port);
    }
}

/// The Deployments of a context: those whose pods its Service selects.
pub(crate) fn deployments<'o>(context: &'o str, objects: &'o [Drawn]) -> impl Iterator<Item = &'o Drawn> {
    let service = objects.iter().find(|object| object.kind() == "Service" && object.name() == context);
    let selector = service.and_then(|service| service.manifest.at("spec")?.at("selector")?.as_object());
    objects.iter().filter(move |object| {
        let labels =
            object.manifest.at("spec").and_then(|spec| spec.at("template")?.at("metadata")?.at("labels"));
        let is_selected = match selector {
            Some(selector) if !selector.is_empty() => selects(selector, labels),
            _ => labels.is_some_and(|labels| labels.word("app") == context),
        };
        object.kind() == "Deployment" && is_selected
    })
}

fn selects(selector: &Map<String, Value>, labels: Option<&Value>) -> bool {
    labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// An image's name without what stands behind its last colon, a registry's port apart.
fn without_tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or_default();
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

fn report(object: &Drawn, model: &DomainModel, findings: &mut Findings) {
    let namespace = object.manifest.at("metadata").map(|meta| meta.word("namespace")).unwrap_or_default();
    let namespace = if namespace.is_empty() { "default" } else { namespace };
    let name = format!("{}/{namespace}/{}", object.kind(), object.name());
    let Some(spec) = object.manifest.at("spec") else { return };
    let path = format!("k8sValue.elements[{}].object.spec", object.id.as_deref().unwrap_or_default());
    let mut report = Report { object: &name, path: &path, findings };
    match object.kind() {
        "DestinationRule" => report.destination_rule(spec),
        "VirtualService" => report.virtual_service(spec, model),
        _ => {}
    }
}

/// What is amiss with one object.
struct Report<'a> {
    object: &'a str,
    path: &'a str,
    findings: &'a mut Findings,
}

impl Report<'_> {
    fn warn(&mut self, code: &str, field: &str, message: impl Into<String>) {
        let path = format!("{}.{field}", self.path);
        self.findings.warn(code, About { object: self.object, path: &path }, message);
    }

    fn virtual_service(&mut self, spec: &Value, model: &DomainModel) {
        let gateways = spec.list("gateways");
        if !gateways.is_empty() && gateways.iter().all(|gateway| gateway != "mesh") {
            let message = "it holds only for what comes through the gateway: calls between services pass it by; clean \
                           output binds the same rules to `mesh` too";
            self.warn("gateway-only-binding", "gateways", message);
        }
        for (place, route) in spec.list("http").iter().enumerate() {
            let at = format!("http[{place}]");
            let targets = route.list("route");
            let weights: f64 = targets.iter().filter_map(|target| target.number("weight")).sum();
            let is_whole = (weights - 100.0).abs() < f64::EPSILON;
            if targets.len() > 1 && !is_whole {
                let message = format!(
                    "the weights add up to {weights}, not to 100: they are taken as shares of {weights}"
                );
                self.warn("weights-not-100", &format!("{at}.route"), message);
            }
            let rewritten = route.at("rewrite").map(|rewrite| rewrite.word("uri")).unwrap_or_default();
            let is_exact = |condition: &Value| {
                condition.at("uri").is_some_and(|uri| !matches!(uri.word("exact"), "" | "/"))
            };
            if rewritten == "/" && route.list("match").iter().any(is_exact) {
                let message = "every path it takes becomes /: the destination cannot tell what was asked for, and no path \
                               below is taken";
                self.warn("rewrite-loses-path", &format!("{at}.rewrite"), message);
            }
            for (index, target) in targets.iter().enumerate() {
                self.target(target, &format!("{at}.route[{index}].destination"), model);
            }
        }
    }

    /// A destination that nothing drawn stands behind.
    fn target(&mut self, target: &Value, at: &str, model: &DomainModel) {
        let Some(destination) = target.at("destination") else { return };
        let host = destination.word("host");
        let short = host.split('.').next().unwrap_or_default();
        let drawn = |kind: &'static str| model.objects.iter().filter(move |object| object.kind() == kind);
        let is_known =
            model.context(short).is_some() || drawn("Service").any(|service| service.name() == short);
        if !is_known && !host.is_empty() {
            let message = format!("there is no service {host:?} in the model");
            self.warn("unknown-host", &format!("{at}.host"), message);
        }
        let subset = destination.word("subset");
        let mut rules = drawn("DestinationRule")
            .filter_map(|rule| rule.manifest.at("spec"))
            .filter(|spec| spec.word("host") == host);
        if subset.is_empty() {
            return;
        }
        let subsets: Vec<&Value> = rules.by_ref().flat_map(|spec| spec.list("subsets")).collect();
        if subsets.iter().all(|known| known.word("name") != subset) {
            let message = format!(
                "no DestinationRule of {host:?} has a subset {subset:?}: such requests are answered with 503"
            );
            self.warn("unknown-subset", &format!("{at}.subset"), message);
        }
    }

    fn destination_rule(&mut self, spec: &Value) {
        let subsets = spec.list("subsets");
        let of_subsets = subsets.iter().enumerate();
        let policies = of_subsets.filter_map(|(place, subset)| {
            Some((format!("subsets[{place}].trafficPolicy"), subset.at("trafficPolicy")?))
        });
        let own = spec.at("trafficPolicy").map(|policy| ("trafficPolicy".to_owned(), policy));
        for (at, policy) in own.into_iter().chain(policies) {
            let is_old = |policy: &Value| {
                policy.at("outlierDetection").is_some_and(|outlier| outlier.at("consecutiveErrors").is_some())
            };
            let ports = policy.list("portLevelSettings").iter().enumerate();
            let of_ports = ports.map(|(place, port)| (format!("{at}.portLevelSettings[{place}]"), port));
            for (at, policy) in std::iter::once((at.clone(), policy)).chain(of_ports) {
                if is_old(policy) {
                    let message =
                        "consecutiveErrors is not looked at any more; clean output says consecutive5xxErrors";
                    self.warn(
                        "deprecated-field",
                        &format!("{at}.outlierDetection.consecutiveErrors"),
                        message,
                    );
                }
            }
        }
        for (place, subset) in subsets.iter().enumerate() {
            let before = subsets.iter().take(place).find(|other| other.at("labels") == subset.at("labels"));
            if let Some(before) = before {
                let message = format!(
                    "it has the same labels as {:?}: whatever the weights are, both are the same workloads",
                    before.word("name")
                );
                self.warn("identical-subsets", &format!("subsets[{place}].labels"), message);
            }
        }
    }
}
