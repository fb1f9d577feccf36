//! `weft model run`: a model as a mesh on one machine, every context twice.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use ::generate::{Context, DomainModel, Object, Options, generate, request_path};
use base::Labels;
use local::{Layout, Program, Readiness, Role, Tools, Workload};

use super::generate::again;
use super::source::Source;
use crate::exit::Exit;
use crate::table::Table;
use crate::terminal;
use crate::verb::{ingress, supervise};

/// What stands below `weft model run --help`.
const AFTER_HELP: &str = "\
Every context runs twice, as `version: v1` (stable) and `v2` (canary): a small
program that answers on the model's paths with the fields the model gives, asks
whom it must through the mesh, and tells events through DIR/.weft/events. The
page at / lists contexts and links. DIR/mesh.yaml holds the objects: edit a
weight in it and it is in force; it stays when the model is run again.

Try it:
  weft model run model.json --dir mall --port 8080";

/// How long every process may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most programs a mesh has room for.
const MOST: usize = 250;

/// The program that serves the page, and its service.
const PAGE: &str = "model-page";
const PAGE_PORT: u16 = 8080;

/// Run a model as a mesh on this machine: no root, no container, no cluster.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Run {
    #[command(flatten)]
    source: Source,
    /// The mesh's directory; otherwise one that is gone at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The port of the gateway on 127.0.0.1.
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Run a stock Envoy in place of Weft's proxy: for a workload, a context (both of its workloads) or `gateway`;
    /// may be given several times.
    #[arg(long, value_name = "NAME")]
    envoy: Vec<String>,
}

impl Run {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let began = Instant::now();
        let Some(model) = self.source.model()? else { return Ok(Exit::Wrong) };
        let programs = model.contexts.len().saturating_mul(2).saturating_add(2);
        anyhow::ensure!(!model.contexts.is_empty(), "the model has no context: there is nothing to run");
        anyhow::ensure!(programs <= MOST, "{programs} programs are more than the {MOST} a mesh has room for");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpListener::bind(address)
            .with_context(|| format!("listening on {address}; choose another --port"))?;
        let program = local::tools::executable("model-service")?;
        let passing = match self.dir {
            Some(_) => None,
            None => {
                Some(tempfile::Builder::new().prefix("weft-model-").tempdir().context("making a directory")?)
            }
        };
        let dir =
            self.dir.as_deref().or(passing.as_ref().map(tempfile::TempDir::path)).context("a directory")?;
        std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("looking at {}", dir.display()))?;
        let layout = Layout::new(&dir);
        write(&layout, &model, self.port)?;
        let mut workloads = workloads(&model, &program, &layout);
        supervise::dress(&mut workloads, &self.envoy)?;
        let tools = Tools::find(&workloads)?;
        let options = local::Options { layout, mesh: None, tools, workloads, patience: PATIENCE };
        supervise::run(options, async move |mesh| {
            supervise::settled(&dir, programs, programs).await?;
            terminal::print(&greeting(&model, address, (&dir, mesh), began.elapsed()))?;
            Ok(())
        })
        .await
    }
}

/// Where services find the model.
fn model_file(layout: &Layout) -> PathBuf {
    layout.own().join("model.yaml")
}

/// Writes what is in force: the model's objects, of which those a person changed stay, and what this run adds.
fn write(layout: &Layout, model: &DomainModel, port: u16) -> anyhow::Result<()> {
    let put = |path: &Path, text: &str| {
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
    };
    std::fs::create_dir_all(layout.own()).with_context(|| format!("making {}", layout.own().display()))?;
    put(&model_file(layout), &model.to_yaml())?;
    let generated = generate(model, Options::default());
    // The programs are run by this one, not by Kubernetes.
    let is_run_elsewhere =
        |object: &&Object| !object.value["apiVersion"].as_str().unwrap_or_default().starts_with("apps/");
    let texts: Vec<String> = generated.objects.iter().filter(is_run_elsewhere).map(Object::to_yaml).collect();
    again(&layout.dir().join("mesh.yaml"), &texts.join("---\n"))?;
    put(&layout.dir().join("run.yaml"), &additions(model, port))
}

/// The gateway's Service and what leads to the page.
fn additions(model: &DomainModel, port: u16) -> String {
    let namespace = namespace(model);
    let labels = json!({"app": ingress::NAME, "istio": "ingressgateway"});
    let gateway = model.gateway.clone().unwrap_or_else(|| model.slug());
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": ingress::NAME, "namespace": ingress::NAMESPACE, "labels": labels},
            "spec": {"type": "LoadBalancer", "selector": labels, "ports": [{"name": "http2", "port": 80, "targetPort": port}]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": PAGE, "namespace": namespace},
            "spec": {"selector": {"app": PAGE}, "ports": [{"name": "http", "port": PAGE_PORT}]},
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": PAGE, "namespace": namespace},
            "spec": {
                "hosts": ["*"], "gateways": [gateway],
                "http": [{"match": [{"uri": {"exact": "/"}}], "route": [{"destination": {"host": PAGE}}]}],
            },
        }),
    ];
    let texts = objects.iter().map(|object| api::yaml::emit_commented(object, &BTreeMap::new()));
    format!("# Of `weft model run`; written at every start.\n{}", texts.collect::<Vec<_>>().join("---\n"))
}

fn namespace(model: &DomainModel) -> &str {
    model.namespace.as_deref().unwrap_or("default")
}

/// The gateway, the page, and every context twice.
fn workloads(model: &DomainModel, program: &Path, layout: &Layout) -> Vec<Workload> {
    let seed = layout.dir().display().to_string();
    let run = |(name, app, version): (&str, &str, &str), args: &[&str], port: u16| {
        let path = model_file(layout).display().to_string();
        let events = layout.own().join("events").display().to_string();
        let env = [("EVENTS", events), ("SERVICE_VERSION", version.to_owned())];
        Workload {
            name: name.to_owned(),
            pod: Workload::pod_name(name, &seed),
            namespace: namespace(model).to_owned(),
            labels: Labels::from([("app", app), ("version", version)]),
            service_account: "default".to_owned(),
            ports: vec![port],
            readiness: Some(if args.is_empty() {
                Readiness::Tcp(port)
            } else {
                Readiness::Http(port, "/actuator/health".to_owned())
            }),
            role: Role::Sidecar(Program {
                command: program.to_owned(),
                args: std::iter::once(path).chain(args.iter().map(|arg| (*arg).to_owned())).collect(),
                env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                dir: None,
            }),
            concurrency: Some(1),
            ..Workload::default()
        }
    };
    let mut all = vec![ingress::workload(&seed), run((PAGE, PAGE, "v1"), &[], PAGE_PORT)];
    for context in &model.contexts {
        for version in [context.stable(), context.canary()] {
            let name = format!("{}-{version}", context.name);
            all.push(run((&name, &context.name, version), &[&context.name], context.container_port));
        }
    }
    all
}

fn greeting(model: &DomainModel, address: SocketAddr, (dir, mesh): (&Path, u8), took: Duration) -> String {
    let mut table = Table::new(["CONTEXT", "NAME", "TRY"]);
    for context in &model.contexts {
        table.row(vec![context.name.clone(), context.title().to_owned(), example(context, address)]);
    }
    let weft = std::env::args().next().unwrap_or_else(|| "weft".to_owned());
    format!(
        "\n{}\nPage:      http://{address}/\nMesh {mesh}:   {} (ready in {:.1} s)\n\n\
         Edit a weight in {}/mesh.yaml and it is in force; {weft} status --mesh {} shows how it stands.\n\
         Ctrl-C ends it.\n",
        table.render(),
        dir.display(),
        took.as_secs_f64(),
        dir.display(),
        dir.display(),
    )
}

/// A command line that says something to a context.
fn example(context: &Context, address: SocketAddr) -> String {
    let command = context.commands.iter().find(|command| command.method.as_deref() == Some("POST"));
    let post = command.and_then(|command| command.path.as_deref());
    let get = context.prefixes().first().copied();
    match (post, get) {
        (Some(path), _) => format!("curl -X POST http://{address}{} -d '{{}}'", request_path(path)),
        (None, Some(path)) => format!("curl http://{address}{}", request_path(path)),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MODEL: &str = "\
apiVersion: weft/v1alpha1
kind: DomainModel
project: shop
contexts:
- {name: order, aggregates: [{name: Order, path: /orders}]}
- {name: stock, versions: [v3]}
";

    fn model() -> DomainModel {
        ::generate::read("model.yaml", MODEL.as_bytes()).model.unwrap()
    }

    #[test]
    fn every_context_runs_twice_beside_the_gateway_and_the_page() {
        let dir = tempfile::tempdir().unwrap();

        let workloads = workloads(&model(), Path::new("/bin/model-service"), &Layout::new(dir.path()));

        let names: Vec<&str> = workloads.iter().map(|workload| workload.name.as_str()).collect();
        assert_eq!(names, [ingress::NAME, PAGE, "order-v1", "order-v2", "stock-v3", "stock-v2"]);
        let Role::Sidecar(program) = &workloads[3].role else { panic!() };
        assert_eq!(program.args.last().map(String::as_str), Some("order"));
        assert_eq!(program.env.get("SERVICE_VERSION").map(String::as_str), Some("v2"));
    }

    #[test]
    fn what_is_in_force_is_accepted_and_what_a_person_changed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        write(&layout, &model(), 9999).unwrap();
        let mesh = dir.path().join("mesh.yaml");
        let text = std::fs::read_to_string(&mesh).unwrap();
        std::fs::write(&mesh, text.replacen("weight: 100", "weight: 80", 1)).unwrap();

        write(&layout, &model(), 8080).unwrap();

        let files =
            ["mesh.yaml", "run.yaml"].map(|name| std::fs::read_to_string(dir.path().join(name)).unwrap());
        assert!(files[0].contains("weight: 80") && !files[0].contains("Deployment"), "{}", files[0]);
        assert!(files[1].contains("targetPort: 8080"), "{}", files[1]);
        for text in &files {
            assert_eq!(api::parse("x.yaml", text.as_bytes()).issues, [], "{text}");
        }
    }
}
