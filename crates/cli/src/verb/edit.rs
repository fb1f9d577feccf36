//! `weft edit`: objects in force, changed in an editor.

use std::io::Write;
use std::process::Command;

use anyhow::Context;
use clap::Args;

use api::Kind;
use control::client::Client;
use control::wire::{self, Document, Mode, Object};

use super::get::{Names, kind};
use super::target::{Patience, Target};
use crate::exit::{Exit, UsageError};
use crate::report::{self, Sources};
use crate::terminal;

/// The editor of those who have named none.
const EDITOR: &str = "vi";

/// What stands below `weft edit --help`.
const EXAMPLES: &str = "\
Examples:
  weft edit vs reviews                     in $VISUAL, $EDITOR, or vi
  EDITOR='code --wait' weft edit dr/reviews -n shop";

/// Change an object in force in an editor ($VISUAL, $EDITOR, or vi): `weft edit vs reviews`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Edit {
    /// A kind and a name, or KIND/NAME.
    #[arg(value_name = "KIND NAME", required = true)]
    pub(crate) words: Vec<String>,
    /// The object's namespace.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    #[command(flatten)]
    pub(crate) patience: Patience,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Edit {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.target.find().await?;
        let before = self.object(&client).await?;
        let mut draft = Draft::new(&before)?;
        let mut is_refused = false;
        loop {
            let text = draft.edited()?;
            if text == draft.seen {
                terminal::say("nothing was changed");
                return if is_refused { draft.keep(Exit::Wrong) } else { Ok(Exit::Done) };
            }
            draft.seen.clone_from(&text);
            if self.object(&client).await?.text != before.text {
                terminal::say("the object has changed meanwhile; nothing was done");
                return draft.keep(Exit::Wrong);
            }
            let document = Document { file: draft.file.path().display().to_string(), text };
            let sources = Sources::of(std::slice::from_ref(&document));
            let parsed = api::parse(&document.file, document.text.as_bytes());
            if report::has_error(&parsed.issues) || parsed.resources.is_empty() {
                // The editor comes again, for as long as the user changes something there.
                report::say(&parsed.issues, &sources);
                is_refused = true;
                continue;
            }
            let request = wire::Apply {
                documents: vec![document],
                mode: Mode::Replace,
                dry_run: self.patience.dry_run,
                timeout_ms: self.patience.millis(),
            };
            let reply = self.patience.during(client.apply(&request)).await?;
            return match self.patience.conclude(&reply, &sources)? {
                Exit::Wrong => draft.keep(Exit::Wrong),
                exit => Ok(exit),
            };
        }
    }

    async fn object(&self, client: &Client) -> anyhow::Result<Object> {
        let names = Names::of(&self.words)?;
        let [Names { kinds, names }] = names.as_slice() else { return Err(one().into()) };
        let ([word], [name]) = (kinds.as_slice(), names.as_slice()) else { return Err(one().into()) };
        let kind = kind(word)?;
        if kind == Kind::Secret {
            // What is shown of one is not what stands in its file.
            return Err(
                UsageError("a Secret is not shown whole; edit its file, or apply a new one".into()).into()
            );
        }
        let found = client.resources(Some(kind.name()), Some(&self.namespace), Some(name)).await?;
        found
            .objects
            .into_iter()
            .next()
            .with_context(|| format!("there is no {} {name:?} in namespace {}", kind.name(), self.namespace))
    }
}

fn one() -> UsageError {
    UsageError("name one object to edit: weft edit KIND NAME".into())
}

/// The file the user edits.
struct Draft {
    file: tempfile::NamedTempFile,
    /// What the editor was last given or gave back.
    seen: String,
}

impl Draft {
    fn new(object: &Object) -> anyhow::Result<Self> {
        let prefix = format!("weft-edit-{}-", object.name);
        let mut file = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".yaml")
            .tempfile()
            .context("making a file to edit")?;
        let seen = format!("{}\n", object.text.trim_end());
        file.write_all(seen.as_bytes()).context("writing the file to edit")?;
        Ok(Self { file, seen })
    }

    /// Runs the editor; what stands in the file then.
    fn edited(&self) -> anyhow::Result<String> {
        let editor = ["VISUAL", "EDITOR"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|editor| !editor.trim().is_empty())
            .unwrap_or_else(|| EDITOR.to_owned());
        // An editor may have arguments of its own, as in `code --wait`.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("{editor} \"$1\""))
            .arg("sh")
            .arg(self.file.path())
            .status()
            .with_context(|| format!("running {editor}"))?;
        anyhow::ensure!(status.success(), "{editor} ended with {status}; nothing was changed");
        std::fs::read_to_string(self.file.path()).context("reading what was edited")
    }

    /// Leaves the user's text where it is and says so.
    fn keep(self, exit: Exit) -> anyhow::Result<Exit> {
        let (_, path) = self.file.keep().context("keeping your text")?;
        terminal::say(&format!("your text is kept in {}", path.display()));
        Ok(exit)
    }
}
