//! What `-f` names: files, directories, standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use control::wire::Document;

/// The name of standard input, in `-f -` and in messages.
const STDIN: &str = "-";

/// The largest file that is read.
const LIMIT: u64 = 10 << 20;

/// Reads everything that is named, in order; a directory's YAML and JSON files by name, not those below it.
pub(crate) fn read(names: &[PathBuf]) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for name in names {
        if name == Path::new(STDIN) {
            documents.push(
                document("(standard input)", std::io::stdin().lock()).context("reading standard input")?,
            );
        } else if name.is_dir() {
            let found = in_directory(name).with_context(|| format!("reading {}", name.display()))?;
            anyhow::ensure!(!found.is_empty(), "{} holds no YAML or JSON file", name.display());
            for path in found {
                documents.push(file(&path)?);
            }
        } else {
            documents.push(file(name)?);
        }
    }
    Ok(documents)
}

/// The same, with the objects that name no namespace put into this one, where there is one.
pub(crate) fn read_for(names: &[PathBuf], namespace: Option<&str>) -> anyhow::Result<Vec<Document>> {
    let mut documents = read(names)?;
    if let Some(namespace) = namespace {
        for document in &mut documents {
            document.text = api::edit::settle(&document.text, namespace);
        }
    }
    Ok(documents)
}

/// The YAML and JSON files of a directory, by name.
pub(crate) fn in_directory(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_document = path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_document && !is_hidden && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file(path: &Path) -> anyhow::Result<Document> {
    let reading = || format!("reading {}", path.display());
    document(&path.display().to_string(), std::fs::File::open(path).with_context(reading)?)
        .with_context(reading)
}

fn document(file: &str, source: impl Read) -> anyhow::Result<Document> {
    let mut bytes = Vec::new();
    source.take(LIMIT + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(
        u64::try_from(bytes.len()).is_ok_and(|length| length <= LIMIT),
        "it is larger than 10 MiB"
    );
    Ok(Document { file: file.to_owned(), text: String::from_utf8(bytes).context("it is not UTF-8")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_documents_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["b.yaml", "a.yml", "c.json", "readme.md", ".hidden.yaml"] {
            std::fs::write(dir.path().join(name), name).expect("a file");
        }

        let read = read(&[dir.path().to_owned()]).expect("the directory is read");

        assert_eq!(read.iter().map(|d| d.text.as_str()).collect::<Vec<_>>(), ["a.yml", "b.yaml", "c.json"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let bad = dir.path().join("bad.yaml");
        std::fs::write(&bad, b"\xff\xfe").expect("a file");

        for name in [bad, dir.path().join("missing.yaml"), dir.path().to_owned()] {
            std::fs::remove_file(dir.path().join("bad.yaml")).ok().filter(|()| name == dir.path());
            let error = format!("{:#}", read(std::slice::from_ref(&name)).expect_err("it is refused"));
            assert!(error.contains(&name.display().to_string()), "{error}");
        }
    }
}
