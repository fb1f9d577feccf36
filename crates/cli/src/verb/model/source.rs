//! The model a verb is about, and how documents are written.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use ::generate::DomainModel;

use crate::report::{self, Sources};
use crate::terminal;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// The file a model stands in.
#[derive(Args, Debug)]
pub(crate) struct Source {
    /// A model file, or the document of one; - for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

impl Source {
    /// Reads the model and says what there is to say about it; none where it is none.
    pub(super) fn model(&self) -> anyhow::Result<Option<DomainModel>> {
        let reading = || format!("reading {}", self.file.display());
        let mut bytes = Vec::new();
        let name = if self.file == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut bytes).context("reading standard input")?;
            "(standard input)".to_owned()
        } else {
            bytes = std::fs::read(&self.file).with_context(reading)?;
            self.file.display().to_string()
        };
        let read = ::generate::read(&name, &bytes);
        drop(bytes);
        report::say(&read.issues, &Sources::default());
        for note in &read.notes {
            let about =
                [note.object.as_str(), note.path.as_str()].into_iter().filter(|part| !part.is_empty());
            let about: Vec<&str> = about.collect();
            let glue = if about.is_empty() { "" } else { ": " };
            terminal::say(&format!("note: {}{glue}{}", about.join(" "), note.message));
        }
        Ok(read.model)
    }
}
