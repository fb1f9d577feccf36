//! The verbs, one module each.

mod apply;
mod bootstrap;
mod completion;
mod control;
mod convert;
mod delete;
mod demo;
mod diff;
mod edit;
mod explain;
mod gateway;
mod get;
mod ingress;
mod model;
mod status;
mod supervise;
mod target;
mod tether;
mod up;
mod validate;
mod version;

use clap::Subcommand;

use ::control::wire::Mode;

use crate::Exit;

/// A verb and its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put objects in force, and wait until every proxy concerned has acknowledged them.
    Apply(apply::Apply),
    /// Write what a proxy is started with.
    Bootstrap(bootstrap::Bootstrap),
    /// Write a shell's completions.
    Completion(completion::Completion),
    /// Run a control plane from a directory of YAML.
    Control(control::Control),
    /// Turn the rules of before v1alpha3 into objects of today.
    Convert(convert::Convert),
    /// Put new objects in force; one that is there already is an error.
    Create(apply::Apply),
    /// Take objects out of force.
    Delete(delete::Delete),
    /// Run a mesh of processes with Bookinfo in it.
    Demo(demo::Demo),
    /// Show what putting objects in force would change.
    Diff(diff::Diff),
    /// Change objects in force in an editor.
    Edit(edit::Edit),
    /// Tell what a proxy would do with a request, and which object says so.
    Explain(explain::Explain),
    /// Run an ingress for one machine from YAML.
    Gateway(gateway::Gateway),
    /// Show objects in force.
    Get(get::Get),
    /// Put new versions of objects in force; one that is not there is an error.
    Replace(apply::Apply),
    /// Turn a domain model into services and routing.
    Model(model::Model),
    /// Show a control plane and its proxies.
    Status(status::Status),
    /// Run a program that ends with the one that started it.
    #[command(name = local::tether::VERB, hide = true)]
    Tether(tether::Tether),
    /// Run programs of your own as a mesh.
    Up(up::Up),
    /// Say what is wrong with objects, without putting them in force.
    Validate(validate::Validate),
    /// Show the version.
    Version(version::Version),
}

impl Command {
    /// Does what the arguments say.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Apply(verb) => alone(verb.run(Mode::Apply)),
            Self::Bootstrap(verb) => alone(verb.run()),
            Self::Completion(verb) => verb.run(),
            Self::Control(verb) => verb.run(),
            Self::Convert(verb) => verb.run(),
            Self::Create(verb) => alone(verb.run(Mode::Create)),
            Self::Delete(verb) => alone(verb.run()),
            Self::Demo(verb) => alone(verb.run()),
            Self::Diff(verb) => alone(verb.run()),
            Self::Edit(verb) => alone(verb.run()),
            Self::Explain(verb) => alone(verb.run()),
            Self::Gateway(verb) => alone(verb.run()),
            Self::Get(verb) => alone(verb.run()),
            Self::Replace(verb) => alone(verb.run(Mode::Replace)),
            Self::Model(verb) => alone(verb.run()),
            Self::Status(verb) => alone(verb.run()),
            Self::Tether(verb) => verb.run(),
            Self::Up(verb) => alone(verb.run()),
            Self::Validate(verb) => alone(verb.run()),
            Self::Version(verb) => verb.run(),
        }
    }
}

/// Runs a verb on one thread. The supervisor needs that too: its children are tied to the thread that starts them.
fn alone<T>(verb: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verb)
}
