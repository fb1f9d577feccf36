//! Compiles the descriptors that JSON and canonical encoding need, from the `.proto` files which the
//! `envoy-types` package ships and from the few in `istio/`.

// What the crate itself must not do, its build step must.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorSet;
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// Where imports are looked for, below the package's `proto/`.
const INCLUDES: [&str; 8] = [
    "data-plane-api",
    "xds",
    "googleapis",
    "protoc-gen-validate",
    "opentelemetry-proto",
    "client_model",
    "ratelimit",
    "cel-spec/proto",
];

/// What is compiled: folders with all that is below them, and what they import. Not everything there is, since a
/// program that tells JSON holds all of this in memory.
const ROOTS: [&str; 41] = [
    "envoy/admin/v3",
    "envoy/config/accesslog/v3",
    "envoy/config/bootstrap/v3",
    "envoy/config/cluster/v3",
    "envoy/config/core/v3",
    "envoy/config/endpoint/v3",
    "envoy/config/listener/v3",
    "envoy/config/metrics/v3",
    "envoy/config/rbac/v3",
    "envoy/config/route/v3",
    "envoy/config/trace/v3",
    "envoy/data/accesslog/v3",
    "envoy/extensions/access_loggers",
    "envoy/extensions/bootstrap/internal_listener/v3",
    "envoy/extensions/clusters",
    "envoy/extensions/compression",
    "envoy/extensions/filters/common",
    "envoy/extensions/filters/http",
    "envoy/extensions/filters/listener",
    "envoy/extensions/filters/network",
    "envoy/extensions/formatter",
    "envoy/extensions/health_check",
    "envoy/extensions/http",
    "envoy/extensions/internal_redirect",
    "envoy/extensions/load_balancing_policies",
    "envoy/extensions/matching",
    "envoy/extensions/network",
    "envoy/extensions/path",
    "envoy/extensions/request_id",
    "envoy/extensions/resource_monitors",
    "envoy/extensions/retry",
    "envoy/extensions/tracers",
    "envoy/extensions/transport_sockets",
    "envoy/extensions/upstreams",
    "envoy/extensions/wasm/v3",
    "envoy/service/accesslog/v3",
    "envoy/service/auth/v3",
    "envoy/service/discovery/v3",
    "envoy/service/metrics/v3",
    "envoy/service/status/v3",
    "envoy/type",
];

fn main() {
    let package = envoy_types();
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=istio");
    let manifest = package.join("Cargo.toml");
    println!("cargo::rerun-if-changed={}", manifest.display());
    let manifest = fs::read_to_string(manifest).expect("a package has a manifest");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    println!("cargo::rustc-env=ENVOY_TYPES_VERSION={}", version.unwrap_or_default());

    let set = compile(&package.join("proto"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bytes = set.encode_to_vec();
    let pool = DescriptorPool::decode(bytes.as_slice()).expect("the compiled files fit together");
    fs::write(out.join("descriptors.bin"), bytes).expect("OUT_DIR is writable");
    fs::write(out.join("shapes.rs"), shapes(&pool)).expect("OUT_DIR is writable");
}

/// Compiles every root with all it imports.
fn compile(protos: &Path) -> FileDescriptorSet {
    let mut includes: Vec<PathBuf> = INCLUDES.iter().map(|folder| protos.join(folder)).collect();
    includes.push(PathBuf::from("istio"));
    let mut sources = ChainFileResolver::new();
    sources.add(Absolute { includes });
    sources.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(sources);

    let base = protos.join("data-plane-api");
    let mut paths = Vec::new();
    for root in ROOTS {
        find(&base, &base.join(root), &mut paths);
    }
    find(Path::new("istio"), Path::new("istio"), &mut paths);
    compiler.open_files(&paths).unwrap_or_else(|error| panic!("compiling: {error}"));
    compiler.include_imports(true).file_descriptor_set()
}

/// Opens files with the relative type names in them made absolute.
///
/// `config.core.v3.Metadata` inside `envoy.extensions.filters` means what the file imports; but the compiler
/// looks such a name up among all files it has opened, and `envoy.extensions.config` would then be in its way.
struct Absolute {
    includes: Vec<PathBuf>,
}

impl FileResolver for Absolute {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let mut texts = self.includes.iter().map(|folder| fs::read_to_string(folder.join(name)));
        let text = texts.find_map(Result::ok).ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, &absolute(&text))
    }
}

/// Makes the relative type names of one file absolute, by the packages it imports.
fn absolute(text: &str) -> String {
    let package = text.lines().find_map(|line| line.strip_prefix("package ")?.strip_suffix(';'));
    let scope = format!("{}.", package.unwrap_or_default());
    let imports: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("import \"")?.rsplit_once('/'))
        .map(|(folder, _)| format!("{}.", folder.replace('/', ".")))
        .collect();

    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut rest = text;
    while let Some(start) = rest.find(in_name) {
        let (before, from) = rest.split_at(start);
        let (name, after) = from.split_at(from.find(|c| !in_name(c)).unwrap_or(from.len()));
        out.push_str(before);
        let is_type = before.ends_with([' ', '<']);
        if let Some(outer) = outer_scope(name, &scope, &imports).filter(|_| is_type) {
            out.push('.');
            out.push_str(outer);
        }
        out.push_str(name);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The outer scope, ending in a dot, in which an imported package makes sense of a relative name.
fn outer_scope<'a>(name: &str, scope: &'a str, imports: &[String]) -> Option<&'a str> {
    let ends = scope.match_indices('.').map(|(dot, _)| dot + 1);
    let mut outers = ends.rev().filter_map(|end| scope.get(..end));
    outers.find(|outer| {
        imports.iter().any(|import| {
            import.strip_prefix(outer).is_some_and(|inner| !inner.is_empty() && name.starts_with(inner))
        })
    })
}

/// All `.proto` files at or below a path, relative to `base`, in a fixed order.
fn find(base: &Path, path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries =
            fs::read_dir(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
        let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| find(base, entry, found));
    } else if path.extension().is_some_and(|extension| extension == "proto") {
        found.push(path.strip_prefix(base).expect("found below base").to_owned());
    }
}

/// Writes the table of `any/canonical.rs`: of every message inside which a map can occur, the fields that lead
/// there.
fn shapes(pool: &DescriptorPool) -> String {
    let leading = leading_to_maps(pool);
    let index: BTreeMap<&str, usize> = leading.iter().map(String::as_str).zip(0..).collect();
    let mut text = format!("static SHAPES: [Shape; {}] = [\n", index.len());
    for name in &leading {
        let message = pool.get_message_by_name(name).expect("the name came from this pool");
        write!(text, "    Shape {{ name: {name:?}, fields: &[").expect("writing to memory");
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(prost_reflect::FieldDescriptor::number);
        for field in fields {
            let Kind::Message(inner) = field.kind() else { continue };
            if field.is_map() {
                let value = index.get(value_of(&inner).as_str());
                write!(text, "({}, Field::Map({value:?})), ", field.number()).expect("writing to memory");
            } else if let Some(inner) = index.get(inner.full_name()) {
                write!(text, "({}, Field::Message({inner})), ", field.number()).expect("writing to memory");
            }
        }
        text.push_str("] },\n");
    }
    text.push_str("];\n");
    text
}

/// The names of all messages inside which a map can occur, sorted.
fn leading_to_maps(pool: &DescriptorPool) -> BTreeSet<String> {
    let messages: Vec<MessageDescriptor> = pool.all_messages().filter(|m| !m.is_map_entry()).collect();
    let mut leading = BTreeSet::new();
    loop {
        let before = leading.len();
        for message in &messages {
            let leads = message.fields().any(|field| match field.kind() {
                Kind::Message(inner) => field.is_map() || leading.contains(inner.full_name()),
                _ => false,
            });
            if leads {
                leading.insert(message.full_name().to_owned());
            }
        }
        if leading.len() == before {
            return leading;
        }
    }
}

/// The full name of the message that is a map's value; empty when the value is none.
fn value_of(entry: &MessageDescriptor) -> String {
    match entry.map_entry_value_field().kind() {
        Kind::Message(value) => value.full_name().to_owned(),
        _ => String::new(),
    }
}

/// Finds the folder of the `envoy-types` package that this build uses.
fn envoy_types() -> PathBuf {
    from_metadata().or_else(from_registry).expect(
        "the sources of the package envoy-types are found neither by `cargo metadata --offline` nor in cargo's \
         registry; `cargo fetch` brings them",
    )
}

/// Asks cargo, offline: what is being built has been fetched.
fn from_metadata() -> Option<PathBuf> {
    let output = Command::new(env::var_os("CARGO")?)
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform"])
        .arg(env::var_os("TARGET")?)
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|package| package["name"] == "envoy-types")?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}

/// Looks where cargo unpacks what it fetches: cargo answers only when the whole workspace has been fetched, and
/// somebody may build this crate alone.
fn from_registry() -> Option<PathBuf> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
    let lock = fs::read_to_string(manifest.join("../../Cargo.lock")).ok()?;
    let (_, package) = lock.split_once("name = \"envoy-types\"\nversion = \"")?;
    let folder = format!("envoy-types-{}", package.split_once('"')?.0);
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    let registries = fs::read_dir(home.join("registry/src")).ok()?.flatten();
    registries.map(|registry| registry.path().join(&folder)).find(|path| path.is_dir())
}
