//! `weft diff`: what putting objects in force would change.

use std::path::PathBuf;

use clap::Args;
use similar::TextDiff;

use api::Resource;
use control::client::Client;

use super::target::Target;
use crate::exit::Exit;
use crate::input;
use crate::report::{self, Sources};
use crate::terminal;

/// How many lines around a change are shown.
const CONTEXT: usize = 3;

/// What stands below `weft diff --help`.
const EXAMPLES: &str = "\
Examples:
  weft diff -f virtual-service.yaml             what `weft apply` of it would change
  weft diff -f config/ || weft apply -f config/  only where that is anything";

/// Show what putting objects in force would change; the exit status is 1 where that is anything.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Diff {
    /// A file, a directory of them, or - for standard input; may be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub(crate) filename: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Diff {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let documents = input::read_for(&self.filename, self.namespace.as_deref())?;
        let sources = Sources::of(&documents);
        let client = self.target.find().await?;
        let (mut text, mut is_wrong) = (String::new(), false);
        for document in &documents {
            let parsed = api::parse(&document.file, document.text.as_bytes());
            report::say(&parsed.issues, &sources);
            is_wrong |= report::has_error(&parsed.issues);
            for resource in &parsed.resources {
                text.push_str(&self::changes(&client, resource).await?);
            }
        }
        terminal::print(&painted(&text, terminal::prints_color()))?;
        Ok(if is_wrong || !text.is_empty() { Exit::Wrong } else { Exit::Done })
    }
}

/// The changes to one object, as a unified diff; nothing where there are none.
async fn changes(client: &Client, resource: &Resource) -> anyhow::Result<String> {
    let key = resource.key();
    let found = client.resources(Some(key.kind.name()), Some(&key.namespace), Some(&key.name)).await?;
    let live = found.objects.first();
    let (name, old) = match live {
        Some(object) => (format!("{}:{}", object.file, object.line), ended(&object.text)),
        None => ("/dev/null".to_owned(), String::new()),
    };
    Ok(unified(&old, &ended(resource.text()), (&name, &key.to_string())))
}

fn unified(old: &str, new: &str, (before, after): (&str, &str)) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(CONTEXT).header(before, after).to_string()
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

/// The same with colours for what is taken out and put in.
fn painted(diff: &str, has_color: bool) -> String {
    if !has_color {
        return diff.to_owned();
    }
    let paint = |line: &str| match line.as_bytes().first() {
        Some(b'-') => format!("\x1b[31m{line}\x1b[0m\n"),
        Some(b'+') => format!("\x1b[32m{line}\x1b[0m\n"),
        Some(b'@') => format!("\x1b[36m{line}\x1b[0m\n"),
        _ => format!("{line}\n"),
    };
    diff.lines().map(paint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        let diff =
            unified("a: 1\nb: 2\n", "a: 1\nb: 3\n", ("reviews.yaml:1", "VirtualService/default/reviews"));

        assert_eq!(
            diff,
            "--- reviews.yaml:1\n+++ VirtualService/default/reviews\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n"
        );
        assert_eq!(unified("a: 1\n", "a: 1\n", ("x", "y")), "");
        assert_eq!(painted("+b\n c\n", true), "\x1b[32m+b\x1b[0m\n c\n");
    }
}
