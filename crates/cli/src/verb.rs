//! The verbs, one module each.

mod apply;
mod bootstrap;
mod completion;
mod control;
mod convert;
mod delete;
mod demo;
mod explain;
mod gateway;
mod get;
mod status;
mod supervise;
mod target;
mod tether;
mod version;

use clap::Subcommand;

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
    /// Take objects out of force.
    Delete(delete::Delete),
    /// Run a mesh of processes with Bookinfo in it.
    Demo(demo::Demo),
    /// Tell what a proxy would do with a request, and which object says so.
    Explain(explain::Explain),
    /// Run an ingress for one machine from YAML.
    Gateway(gateway::Gateway),
    /// Show objects in force.
    Get(get::Get),
    /// Show a control plane and its proxies.
    Status(status::Status),
    /// Run a program that ends with the one that started it.
    #[command(name = local::tether::VERB, hide = true)]
    Tether(tether::Tether),
    /// Show the version.
    Version(version::Version),
}

impl Command {
    /// Does what the arguments say.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Apply(verb) => alone(verb.run()),
            Self::Bootstrap(verb) => verb.run(),
            Self::Completion(verb) => verb.run(),
            Self::Control(verb) => verb.run(),
            Self::Convert(verb) => verb.run(),
            Self::Delete(verb) => alone(verb.run()),
            Self::Demo(verb) => alone(verb.run()),
            Self::Explain(verb) => alone(verb.run()),
            Self::Gateway(verb) => alone(verb.run()),
            Self::Get(verb) => alone(verb.run()),
            Self::Status(verb) => alone(verb.run()),
            Self::Tether(verb) => verb.run(),
            Self::Version(verb) => verb.run(),
        }
    }
}

/// Runs a verb on one thread. The supervisor needs that too: its children are tied to the thread that starts them.
fn alone<T>(verb: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verb)
}
