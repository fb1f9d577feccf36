//! `weft delete`: takes objects out of force.

use std::path::PathBuf;

use clap::Args;

use api::Key;
use control::wire;

use super::target::{Patience, Target};
use crate::exit::{Exit, UsageError};
use crate::input;
use crate::report::Sources;
use crate::verb::get::{Names, kind};

/// What stands below `weft delete --help`.
const EXAMPLES: &str = "\
Examples:
  weft delete vs reviews -n shop         one object
  weft delete vs/reviews dr/reviews      several
  weft delete -f virtual-service.yaml    whatever the file names";

/// Take objects out of force: `weft delete vs reviews`, `weft delete vs/reviews`, `weft delete -f FILE`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Delete {
    /// A kind and names, or KIND/NAME.
    #[arg(value_name = "KIND NAME", required_unless_present = "filename", conflicts_with = "filename")]
    pub(crate) words: Vec<String>,
    /// A file that names the objects, a directory of them, or - for standard input.
    #[arg(short, long = "filename", value_name = "FILE")]
    pub(crate) filename: Vec<PathBuf>,
    /// The objects' namespace; in a file, of those that name none.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Delete {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let keys = self.keys()?;
        let documents = input::read_for(&self.filename, Some(&self.namespace))?;
        let sources = Sources::of(&documents);
        let request = wire::Delete {
            documents,
            keys,
            dry_run: self.patience.dry_run,
            timeout_ms: self.patience.millis(),
        };
        let client = self.target.find().await?;
        let reply = self.patience.during(client.delete(&request)).await?;
        self.patience.conclude(&reply, &sources)
    }

    fn keys(&self) -> anyhow::Result<Vec<String>> {
        let mut keys = Vec::new();
        for Names { kinds, names } in Names::of(&self.words)? {
            if names.is_empty() {
                return Err(UsageError("name the objects to delete: weft delete KIND NAME".into()).into());
            }
            for word in kinds {
                let kind = kind(&word)?;
                keys.extend(
                    names
                        .iter()
                        .map(|name| Key::new(kind, self.namespace.as_str(), name.as_str()).to_string()),
                );
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        delete: Delete,
    }

    fn keys(line: &[&str]) -> Option<Vec<String>> {
        Line::try_parse_from(std::iter::once(&"delete").chain(line)).ok()?.delete.keys().ok()
    }

    #[test]
    fn objects_are_named_as_kubectl_names_them() {
        let reviews = Some(vec!["VirtualService/shop/reviews".to_owned()]);

        assert_eq!(keys(&["vs", "reviews", "-n", "shop"]), reviews);
        assert_eq!(keys(&["virtualservices/reviews", "-n", "shop"]), reviews);
        assert_eq!(keys(&["-f", "x.yaml"]), Some(Vec::new()));
    }

    #[test]
    fn a_kind_alone_deletes_nothing() {
        assert_eq!(keys(&["vs"]), None);
        assert_eq!(keys(&[]), None);
        assert_eq!(keys(&["nonsense", "x"]), None);
    }
}
