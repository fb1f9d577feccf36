//! A task as its file tells it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One task.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) needs: Vec<String>,
    #[serde(default)]
    pub(super) gateways: Vec<Gateway>,
    pub(super) workloads: Vec<Workload>,
    #[serde(deserialize_with = "steps")]
    pub(super) steps: Vec<Step>,
}

/// A proxy without a program.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Gateway {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) ports: Vec<GatewayPort>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct GatewayPort {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) target_port: u16,
}

/// A program.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) ports: Vec<WorkloadPort>,
    pub(super) program: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) locality: String,
    pub(super) sidecar: bool,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) listen: Option<u16>,
    pub(super) host: Option<String>,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    #[serde(default)]
    pub(super) also_hosts: Vec<String>,
    pub(super) behaves_as: Option<String>,
    pub(super) tls: Option<Tls>,
    #[serde(default)]
    pub(super) serves: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct WorkloadPort {
    pub(super) port: u16,
    pub(super) target_port: Option<u16>,
}

/// How a program speaks TLS.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tls {
    pub(super) port: u16,
    pub(super) cert: Option<String>,
    #[serde(default)]
    pub(super) verify_client: bool,
    pub(super) client_ca: Option<String>,
}

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Apply { file: String, namespace: Option<String> },
    Call { call: Box<Call>, expect: Box<Expect>, envoy: bool },
    Delete { file: String, namespace: Option<String> },
    Note(String),
    Secret(Secret),
}

impl Step {
    /// Whether something must come of it that is not of Envoy's own wording.
    pub(super) fn is_check(&self) -> bool {
        matches!(self, Self::Call { expect, envoy: false, .. } if !expect.is_empty())
    }
}

/// Key pairs to make, secrets to delete and to create, in that order.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Secret {
    #[serde(default)]
    pub(super) keypairs: Vec<KeyPair>,
    #[serde(default)]
    pub(super) delete: Vec<Name>,
    #[serde(default)]
    pub(super) create: Vec<Created>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct KeyPair {
    pub(super) id: String,
    pub(super) subject: String,
    #[serde(default)]
    pub(super) sans: Vec<String>,
    pub(super) issuer: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) namespace: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Created {
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) data: BTreeMap<String, String>,
}

/// A call, or several alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) from: String,
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) method: Option<String>,
    pub(super) url: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    pub(super) sni: Option<String>,
    pub(super) client_cert: Option<String>,
    #[serde(default = "one")]
    pub(super) count: usize,
    #[serde(default = "one")]
    pub(super) concurrency: usize,
    pub(super) ca: Option<String>,
    pub(super) cookies: Option<String>,
    pub(super) proxy: Option<String>,
}

fn one() -> usize {
    1
}

/// What must come of a call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) status: Option<u16>,
    pub(super) body_contains: Option<String>,
    #[serde(default)]
    pub(super) header: BTreeMap<String, String>,
    pub(super) distribution: Option<BTreeMap<String, [f64; 2]>>,
    pub(super) by: Option<String>,
    pub(super) min_s: Option<f64>,
    pub(super) max_s: Option<f64>,
    pub(super) connection: Option<String>,
    pub(super) log: Option<Log>,
    pub(super) overflow: Option<BTreeMap<String, [f64; 2]>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Log {
    pub(super) workload: String,
    pub(super) contains: String,
}

impl Expect {
    /// Whether the call is made for its effect alone.
    pub(super) fn is_empty(&self) -> bool {
        self.status.is_none()
            && self.body_contains.is_none()
            && self.header.is_empty()
            && self.distribution.is_none()
            && self.min_s.is_none()
            && self.max_s.is_none()
            && self.connection.is_none()
            && self.log.is_none()
            && self.overflow.is_none()
    }
}

/// A step is told by which of its keys is there.
fn steps<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Step>, D::Error> {
    use serde::de::Error;

    #[derive(Deserialize)]
    struct Written {
        apply: Option<String>,
        delete: Option<String>,
        namespace: Option<String>,
        secret: Option<Secret>,
        note: Option<String>,
        call: Option<Call>,
        expect: Option<Expect>,
        #[serde(default)]
        envoy: bool,
    }
    let written: Vec<Written> = Vec::deserialize(from)?;
    let step = |written: Written| {
        Ok(match written {
            Written { apply: Some(file), namespace, .. } => Step::Apply { file, namespace },
            Written { delete: Some(file), namespace, .. } => Step::Delete { file, namespace },
            Written { secret: Some(secret), .. } => Step::Secret(secret),
            Written { note: Some(note), .. } => Step::Note(note),
            Written { call: Some(call), expect, envoy, .. } => {
                Step::Call { call: Box::new(call), expect: Box::new(expect.unwrap_or_default()), envoy }
            }
            _ => return Err(D::Error::custom("a step that is none")),
        })
    };
    written.into_iter().map(step).collect()
}
