//! What travels over the control socket, in JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::Issue;
use serde::{Deserialize, Serialize};

/// How long a request waits for proxies where it does not say.
pub const TIMEOUT_MS: u64 = 10_000;

/// A file a user hands over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What the user calls it; issues name it so.
    pub file: String,
    /// What it holds: one YAML or JSON document or several.
    pub text: String,
}

/// What may be there before an object is put in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An older version or none.
    #[default]
    Apply,
    /// None.
    Create,
    /// An older version.
    Replace,
}

/// `POST /apply`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Apply {
    /// The objects to put in force.
    pub documents: Vec<Document>,
    /// What may be there before.
    pub mode: Mode,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// How long to wait for proxies to acknowledge.
    pub timeout_ms: u64,
}

/// `POST /delete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Files that name the objects to delete.
    pub documents: Vec<Document>,
    /// More objects to delete, as `Kind/namespace/name`.
    pub keys: Vec<String>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// How long to wait for proxies to acknowledge.
    pub timeout_ms: u64,
}

/// `POST /validate`: whether objects could be put in force, and what would then be wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Validate {
    /// The objects.
    pub documents: Vec<Document>,
}

/// `POST /wait`: until proxies have acknowledged what is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wait {
    /// The node ids to wait for, connected or not; those that are connected where there are none.
    pub nodes: Vec<String>,
    /// How long to wait.
    pub timeout_ms: u64,
}

impl Default for Apply {
    fn default() -> Self {
        Self { documents: Vec::new(), mode: Mode::Apply, dry_run: false, timeout_ms: TIMEOUT_MS }
    }
}

impl Default for Delete {
    fn default() -> Self {
        Self { documents: Vec::new(), keys: Vec::new(), dry_run: false, timeout_ms: TIMEOUT_MS }
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self { nodes: Vec::new(), timeout_ms: TIMEOUT_MS }
    }
}

/// What was done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It replaced an older version.
    Configured,
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// There was no such object to delete or replace.
    Missing,
    /// Nothing: it could not be written, and an issue says why.
    Refused,
    /// It said the same before.
    Unchanged,
    /// It was only looked at, and could be put in force.
    Valid,
}

/// One object of a request and what was done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `Kind/namespace/name`.
    pub object: String,
    /// What was done.
    pub action: Action,
}

/// The answer to [`Apply`], [`Delete`], [`Validate`] and [`Wait`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    /// Per object what was done, in the order of the request.
    pub results: Vec<Outcome>,
    /// What is wrong with what was handed over, or with what it does.
    pub issues: Vec<Issue>,
    /// The generation in which it is in force.
    pub generation: u64,
    /// The nodes that have not acknowledged that generation.
    pub pending: Vec<String>,
    /// The nodes that were here a minute ago or less and are not connected: they are told when they come back.
    pub disconnected: Vec<String>,
}

/// One object in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// The line it begins at, from 1.
    pub line: u32,
    /// When it was made, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When its file was last written, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// The document as its author wrote it.
    pub text: String,
    /// The same as JSON, with its namespace.
    pub json: serde_json::Value,
    /// The JSON as YAML.
    pub yaml: String,
}

/// The answer to `GET /resources`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objects {
    /// The objects asked for, by kind, namespace and name.
    pub objects: Vec<Object>,
}

/// The answer to `GET /status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The mesh's directory.
    pub dir: PathBuf,
    /// The process that answers.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Where discovery is served.
    pub discovery: String,
    /// Where readiness, metrics and debug pages are served.
    pub http: String,
    /// The newest generation.
    pub generation: u64,
    /// How many objects are in force, by kind.
    pub objects: BTreeMap<String, usize>,
    /// The connected proxies, by node id.
    pub proxies: Vec<ProxyStatus>,
    /// What is wrong now.
    pub issues: Vec<Issue>,
}

/// One connected proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Its node id.
    pub node: String,
    /// The address it connects from.
    pub peer: String,
    /// Seconds since the Unix epoch when it connected.
    pub since: u64,
    /// The newest generation it has acknowledged wholly.
    pub settled: u64,
    /// Per type (`CDS`, `EDS` …), how it stands.
    pub types: BTreeMap<String, TypeSync>,
}

/// How one proxy stands with one type of resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum TypeSync {
    /// It refused what it was last sent.
    Refused {
        /// What it said.
        error: String,
    },
    /// It has not answered what it was last sent.
    Stale,
    /// It has accepted what it was last sent.
    Synced,
}

/// The answer where a request could not be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong with it.
    pub error: String,
}
