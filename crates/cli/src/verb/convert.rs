//! `weft convert`: the rules of before v1alpha3 as objects of today.

mod diff;
mod folder;
mod format;
mod prove;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use base::{Issue, Severity};
use migrate::{Converted, Mode};

use format::Format;

use crate::exit::{Exit, UsageError};
use crate::report::{self, Sources};
use crate::{input, terminal};

/// What stands below `weft convert --help`.
const AFTER_HELP: &str = "\
What becomes of what:
  RouteRule          a route of its host's VirtualService, in order of
                     precedence; its labels, a subset of the DestinationRule
  DestinationPolicy  a trafficPolicy of its host's DestinationRule
  EgressRule         a ServiceEntry; where TLS is spoken, also a DestinationRule
  Ingress            a Gateway, and a VirtualService bound to it
  anything else      itself

Rules about one host become one object: give all of them at once. What cannot
be kept is told on standard error, with its line and what to write instead.

Try it:
  weft convert rules.yaml --diff        old beside new; writes nothing
  weft convert rules.yaml ingress.yaml  one YAML stream on standard output
  weft convert old/ --output-dir new    new/virtual-service-reviews.yaml, …
  weft convert - -o json                standard input to JSON
  weft convert rules.yaml --prove       compare what both decide about requests
  weft convert rules.yaml --compat      what the official converter wrote
  weft convert ingress.yaml --from nginx-ingress
                                        Ingresses with nginx's annotations;
                                        docs/nginx-ingress.md lists them

Exit status:
  0  everything is converted; warnings say what is different now
     with --prove: old and new decide alike
  1  what an error names is missing from the output, or must be set right in it;
     where a document cannot be read at all, nothing is written, since it may be
     about the same hosts as the others
  2  the command line cannot be understood";

/// Whose rules are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// Istio's of before v1alpha3.
    Istio,
    /// Ingresses written for ingress-nginx.
    NginxIngress,
}

/// Turn the rules of before v1alpha3 (RouteRule, DestinationPolicy, EgressRule, Ingress) into objects of today.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Convert {
    /// A file, a directory of them, or - for standard input; may be given several times.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Whose rules they are.
    #[arg(long, value_enum, default_value_t = From::Istio)]
    pub(crate) from: From,
    /// Convert as the official converter did; what it loses is told.
    #[arg(long)]
    pub(crate) compat: bool,
    /// How objects are written.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    pub(crate) output: Format,
    /// Write one file per object into this directory; a file there that says something else is not touched.
    #[arg(long, value_name = "DIR", conflicts_with = "diff")]
    pub(crate) output_dir: Option<PathBuf>,
    /// Show old beside new: each object below the rules it is made of.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Write nothing: compare what the old rules and the new ones decide about requests that tell them apart.
    #[arg(long, conflicts_with_all = ["compat", "diff", "output_dir"])]
    pub(crate) prove: bool,
}

impl Convert {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let texts = input::read(&self.files)?;
        let files: Vec<(&str, &str)> =
            texts.iter().map(|text| (text.file.as_str(), text.text.as_str())).collect();
        let mode = match (self.from, self.compat, self.prove) {
            (From::Istio, true, _) => Mode::Compat,
            (From::Istio, false, _) => Mode::Modern,
            (From::NginxIngress, false, false) => Mode::NginxIngress,
            (From::NginxIngress, ..) => {
                let message = "--compat and --prove are for Istio's rules: what nginx did is not known here";
                return Err(UsageError(message.into()).into());
            }
        };
        let converted = migrate::convert(&files, mode);
        let is_whole = !converted.issues.iter().any(is_about_unreadable);
        let mut is_alike = true;
        let written = match (is_whole, self.prove) {
            (false, _) => Ok(()),
            (true, false) => self.write(&converted),
            (true, true) => {
                let proof = prove::prove(&files, &converted)?;
                is_alike = proof.first.is_none();
                let text = match self.output {
                    Format::Json => format!("{:#}\n", serde_json::to_value(&proof)?),
                    Format::Yaml => proof.to_string(),
                };
                terminal::print(&text).map_err(Into::into)
            }
        };
        // The findings come last: a terminal shows the end of a long output.
        report::say(&converted.issues, &Sources::of(&texts));
        written?;
        if !is_whole {
            terminal::say("error: nothing is written, since what cannot be read may be about the same hosts");
        } else if converted.documents.is_empty() && converted.issues.is_empty() {
            terminal::say("error: there is no object in what was given");
            return Ok(Exit::Wrong);
        }
        let is_wrong = report::has_error(&converted.issues) || !is_alike;
        Ok(if is_wrong { Exit::Wrong } else { Exit::Done })
    }

    fn write(&self, converted: &Converted) -> anyhow::Result<()> {
        let documents = &converted.documents;
        if documents.is_empty() {
            return Ok(());
        }
        let text = match &self.output_dir {
            Some(dir) => folder::write(dir, documents, self.output)?,
            None if self.diff => diff::render(documents, self.output, terminal::prints_color()),
            None => self.output.all(converted),
        };
        Ok(terminal::print(&text)?)
    }
}

/// Whether a document could not even be read so far as to tell what it is.
fn is_about_unreadable(issue: &Issue) -> bool {
    issue.severity == Severity::Error && issue.object.is_empty() && !issue.place.file.is_empty()
}

#[cfg(test)]
mod tests;
