//! What the checks look at: the files of a workspace and its manifests.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// Something against the house rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the workspace's root.
    pub path: String,
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl Finding {
    /// A finding about a line; 0 for the whole file.
    pub fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// A package of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its folder, from the workspace's root.
    pub folder: String,
    /// What it names.
    pub dependencies: Vec<Dependency>,
}

/// A package another one names.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// Whether only tests need it.
    pub is_dev: bool,
}

/// A workspace's text files by path, and its packages.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Text by path from the root, with forward slashes.
    pub files: BTreeMap<String, String>,
    /// The packages.
    pub manifests: Vec<Manifest>,
}

impl Workspace {
    /// Reads what is or would be committed below a root.
    ///
    /// # Errors
    /// Tells which command could not be run, or what it said.
    pub fn read(root: &Path) -> Result<Self, String> {
        let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = run(root, "git", &list)?;
        let mut files = BTreeMap::new();
        for path in listed.split('\0').filter(|path| !path.is_empty()) {
            // A file deleted but still in the index, and a file that is not text, have nothing to check.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.insert(path.to_owned(), text);
            }
        }
        let metadata = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
        let manifests = manifests(root, &run(root, env!("CARGO"), &metadata)?)?;
        Ok(Self { files, manifests })
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs")).map(|(path, text)| (&**path, &**text))
    }

    /// The packages below `crates/`.
    pub fn crates(&self) -> impl Iterator<Item = &Manifest> {
        self.manifests.iter().filter(|manifest| manifest.folder.starts_with("crates/"))
    }
}

fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{program}: {error}"))
}

fn manifests(root: &Path, metadata: &str) -> Result<Vec<Manifest>, String> {
    let metadata: serde_json::Value =
        serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let dependency = |value: &serde_json::Value| Dependency {
        name: text(&value["name"]),
        is_dev: value["kind"].as_str() == Some("dev"),
    };
    let manifest = |package: &serde_json::Value| {
        let path = text(&package["manifest_path"]);
        let folder = Path::new(&path).parent().and_then(|folder| folder.strip_prefix(root).ok());
        Manifest {
            name: text(&package["name"]),
            folder: folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default(),
            dependencies: package["dependencies"].as_array().into_iter().flatten().map(dependency).collect(),
        }
    };
    Ok(packages.iter().map(manifest).collect())
}
