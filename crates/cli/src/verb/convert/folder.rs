//! One file per object: all of them whole, or none.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use migrate::Document;

use super::format::Format;
use crate::table::Table;

/// The longest name of a file, its ending and number apart; file systems take 255 bytes.
const LONGEST: usize = 200;

/// Writes each object into a file of its own and says which. Everything is written under other names first, so that
/// whoever reads the directory finds whole files only; what stands there already is kept.
pub(super) fn write(dir: &Path, documents: &[Document], format: Format) -> anyhow::Result<String> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let paths: Vec<PathBuf> = names(documents, format).iter().map(|name| dir.join(name)).collect();
    let mut drafts = Vec::new();
    let mut taken = Vec::new();
    for (path, document) in paths.iter().zip(documents) {
        let text = format.one(document);
        match fs::read(path) {
            Ok(bytes) if bytes == text.as_bytes() => {}
            Ok(_) => taken.push(path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let draft = draft(dir, &text).with_context(|| format!("writing {}", path.display()))?;
                drafts.push((draft, path));
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
    anyhow::ensure!(
        taken.is_empty(),
        "nothing is written: {} would be replaced; remove what is there, or name another directory",
        taken.join(", ")
    );
    for (draft, path) in drafts {
        draft
            .persist_noclobber(path)
            .map_err(|refused| refused.error)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(table(&paths, documents))
}

/// A file that is gone with this process unless it gets its name.
fn draft(dir: &Path, text: &str) -> std::io::Result<NamedTempFile> {
    // Opened here, for the permissions any new file has: a temporary one is its owner's alone.
    let mut draft: NamedTempFile = tempfile::Builder::new()
        .prefix(".weft-")
        .suffix(".tmp")
        .make_in(dir, |path| OpenOptions::new().write(true).create_new(true).open(path))?;
    draft.write_all(text.as_bytes())?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

fn table(paths: &[PathBuf], documents: &[Document]) -> String {
    let mut table = Table::new(["FILE", "OBJECT", "MADE OF"]);
    for (path, document) in paths.iter().zip(documents) {
        let parts: Vec<&str> = document.parts.iter().map(|part| part.object.as_str()).collect();
        let made_of = if document.is_passed_through() { "itself".to_owned() } else { parts.join(", ") };
        table.row(vec![path.display().to_string(), document.object(), made_of]);
    }
    table.render()
}

/// A name for each object's file: `virtual-service-reviews.yaml`, `virtual-service-reviews.shop.yaml` where a
/// namespace is written.
fn names(documents: &[Document], format: Format) -> Vec<String> {
    let ending = match format {
        Format::Json => "json",
        Format::Yaml => "yaml",
    };
    let mut taken = BTreeSet::new();
    let mut name = |document: &Document| {
        let stem = stem(document);
        let numbered = (2..).map(|number| format!("{stem}-{number}.{ending}"));
        let mut names = std::iter::once(format!("{stem}.{ending}")).chain(numbered);
        names.find(|name| taken.insert(name.clone())).expect("invariant: numbers do not run out")
    };
    documents.iter().map(&mut name).collect()
}

/// The name without its ending. What an object is called is its author's choice, and must not lead out of the
/// directory; in lower case throughout, since some file systems see no difference.
fn stem(document: &Document) -> String {
    let mut stem = String::new();
    let mut is_within_word = false;
    for char in document.kind.chars() {
        if char.is_ascii_uppercase() && is_within_word {
            stem.push('-');
        }
        is_within_word = !char.is_ascii_uppercase();
        stem.push(char);
    }
    let parts = [("-", Some(&document.name)), (".", document.namespace.as_ref())];
    for (mark, part) in parts {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            stem.push_str(mark);
            stem.push_str(part);
        }
    }
    let plain = |char: char| match char {
        'a'..='z' | '0'..='9' | '-' | '.' => char,
        'A'..='Z' => char.to_ascii_lowercase(),
        _ => '-',
    };
    let stem: String = stem.chars().map(plain).collect();
    match stem.trim_start_matches(['-', '.']) {
        "" => "object".to_owned(),
        stem => stem.chars().take(LONGEST).collect(),
    }
}

#[cfg(test)]
mod tests {
    use migrate::{Mode, convert};

    use super::*;

    fn documents(text: &str) -> Vec<Document> {
        convert(&[("a.yaml", text)], Mode::Modern).documents
    }

    fn object(kind: &str, namespace: &str, name: &str) -> String {
        format!("kind: {kind}\nmetadata: {{namespace: {namespace:?}, name: {name:?}}}\n---\n")
    }

    fn files(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("the directory is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_called_as_their_objects() {
        let text = object("VirtualService", "", "reviews")
            + &object("VirtualService", "shop", "reviews")
            + &object("ConfigMap", "", "Settings")
            + &object("ConfigMap", "", "settings")
            + &object("x", "", "../../etc/passwd")
            + &object("../y", "..", "..")
            + &object("//", "", "")
            + &object("Secret", "", &"long".repeat(100));

        let names = names(&documents(&text), Format::Yaml);

        let (long, short) = names.split_last().expect("names");
        let expected = [
            "virtual-service-reviews.yaml",
            "virtual-service-reviews.shop.yaml",
            "config-map-settings.yaml",
            "config-map-settings-2.yaml",
            "x-..-..-etc-passwd.yaml",
            "y-......yaml",
            "object.yaml",
        ];
        assert_eq!(short, expected);
        assert_eq!(long.len(), LONGEST + ".yaml".len());
    }

    #[test]
    fn what_stands_there_already_is_kept_and_nothing_is_written_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = object("Service", "", "a") + &object("Service", "", "b");
        fs::write(dir.path().join("service-b.yaml"), "mine\n").expect("a user writes");

        let error = write(dir.path(), &documents(&text), Format::Yaml).expect_err("it is refused");

        assert!(error.to_string().contains("service-b.yaml would be replaced"), "{error}");
        assert_eq!(files(dir.path()), ["service-b.yaml"]);
        assert_eq!(fs::read(dir.path().join("service-b.yaml")).expect("it is there"), b"mine\n");
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = dir.path().join("made/for/it");
        let documents = documents(&object("Service", "", "a"));

        let first = write(&own, &documents, Format::Json).expect("it is written");
        let second = write(&own, &documents, Format::Json).expect("it is there");

        assert_eq!(first, second);
        assert_eq!(files(&own), ["service-a.json"]);
    }
}
