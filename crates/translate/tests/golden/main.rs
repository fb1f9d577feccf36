//! Golden pairs: `golden/NOUN/CASE.in.yaml` (a proxy, what to show, resources) and `CASE.out.json` (the xDS); and
//! what each field does to the xDS, see [`fields`].
//!
//! `UPDATE=1` rewrites what has changed.

#![allow(clippy::unwrap_used)]
// Cases are files.
#![allow(clippy::disallowed_methods)]

mod fields;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::sidecar::OutboundMode;
use api::{MeshConfig, ResourceSet};
use mesh::{Proxy, Settings, Snapshot};
use serde::Deserialize;
use serde_json::{Map, Value};
use translate::Output;

/// The first document of a case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    id: String,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    registry_only: bool,
    /// The mesh's settings, where they are not the usual ones.
    #[serde(default)]
    mesh: Value,
    /// By kind (`clusters`, `endpoints`, `listeners`, `routes`, `secrets`) the names to show; `*` for all, of what
    /// has a list.
    show: BTreeMap<String, Vec<String>>,
}

#[test]
fn golden_pairs_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut failed = Vec::new();
    let mut cases = 0;
    for noun in entries(&folder).into_iter().filter(|entry| entry.is_dir()) {
        for case in entries(&noun) {
            let Some(stem) = case.to_str().unwrap().strip_suffix(".in.yaml") else { continue };
            cases += 1;
            if let Err(why) = check(stem) {
                failed.push(format!("{stem}: {why}"));
            }
        }
    }

    assert!(cases > 0);
    assert!(failed.is_empty(), "{failed:#?}");
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn check(case: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(format!("{case}.in.yaml")).unwrap();
    let (header, resources) = text.split_once("\n---\n").ok_or("there is no document after the first")?;
    let header: Header = serde_saphyr::from_str(header).map_err(|e| e.to_string())?;
    let parsed = api::parse(case, resources.as_bytes());
    if !parsed.refused.is_empty() || parsed.resources.is_empty() {
        return Err(format!("{:#?}", parsed.issues));
    }
    let set: ResourceSet = parsed.resources.into_iter().collect();
    let out = Value::Object(render(&header, &set)?);
    let mut out = serde_json::to_string_pretty(&out).unwrap();
    out.push('\n');
    let path = format!("{case}.out.json");
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known == out {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, out).unwrap();
        return Ok(());
    }
    let line = known.lines().zip(out.lines()).position(|(a, b)| a != b).unwrap_or_default();
    Err(format!("differs from line {}: found {:?}", line + 1, out.lines().nth(line)))
}

fn render(header: &Header, set: &ResourceSet) -> Result<Map<String, Value>, String> {
    let mut settings = Settings::default();
    if !header.mesh.is_null() {
        let (config, issues) = MeshConfig::parse("mesh", header.mesh.to_string().as_bytes());
        settings = Settings::new(&config.ok_or_else(|| format!("{issues:#?}"))?);
    }
    if header.registry_only {
        settings.outbound = OutboundMode::RegistryOnly;
    }
    let snapshot = Snapshot::next(None, set, &settings);
    let proxy = Proxy::new(&header.id, &header.metadata, &[])?;
    let view = mesh::view(&snapshot, &proxy);
    let mut out = Map::new();
    if !snapshot.issues().is_empty() {
        let issues = snapshot.issues().iter().map(|issue| {
            Value::from(format!("{} {} {}: {}", issue.code, issue.object, issue.path, issue.message))
        });
        out.insert("issues".into(), issues.collect());
    }
    for (kind, names) in &header.show {
        let outputs: Vec<Output> = match kind.as_str() {
            "clusters" => translate::clusters(&view.clusters),
            "endpoints" => {
                let slices = view.endpoint_names().filter_map(|name| view.endpoints(name));
                slices.map(|slice| translate::endpoints(&slice)).collect()
            }
            "listeners" => translate::listeners(&view.listeners),
            "secrets" => names
                .iter()
                .filter_map(|name| view.secret(name))
                .map(|slice| translate::secret(&slice))
                .collect(),
            "routes" => view.routes().map(|slice| translate::route(slice)).collect(),
            other => return Err(format!("{other:?} is nothing to show")),
        };
        let all = names.iter().any(|name| name == "*");
        for name in names.iter().filter(|name| *name != "*") {
            if !outputs.iter().any(|output| output.name == *name) {
                let found: Vec<_> = outputs.iter().map(|output| &output.name).collect();
                return Err(format!("{kind}: no {name} among {found:?}"));
            }
        }
        let shown = outputs.iter().filter(|output| all || names.contains(&output.name));
        out.insert(kind.clone(), shown.map(|output| proto::json::to_json(&output.any)).collect());
    }
    Ok(out)
}
