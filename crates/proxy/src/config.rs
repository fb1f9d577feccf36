//! The command line and the bootstrap file.

use std::path::{Path, PathBuf};

use base::{Bootstrap, NodeId};
use clap::Parser;

/// Weft's data plane: a sidecar or a gateway that does what its control plane says.
///
/// It asks the control plane named in its bootstrap for listeners, routes, clusters and endpoints
/// (Envoy's xDS, delta, over plaintext gRPC) and serves traffic by them. It goes on with what it last
/// heard when the control plane is away.
#[derive(Debug, Parser)]
#[command(name = "weft-proxy", version, after_long_help = EXAMPLE)]
pub struct Arguments {
    /// The bootstrap file (JSON); `weft bootstrap` writes one
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: PathBuf,

    /// Seconds that open connections get to finish after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub drain_time: u64,

    /// What is logged to standard error: off, error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "WEFT_LOG")]
    pub log_level: String,
}

const EXAMPLE: &str = "\
A bootstrap:
  {
    \"id\": \"sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local\",
    \"cluster\": \"reviews.default\",
    \"metadata\": {\"NAMESPACE\": \"default\", \"LABELS\": {\"app\": \"reviews\"}},
    \"discovery\": \"127.77.0.1:15010\",
    \"admin\": \"127.77.3.1:15000\",
    \"readiness\": \"127.77.3.1:15021\",
    \"metrics\": \"127.77.3.1:15090\",
    \"access_log\": \"access.log\",
    \"concurrency\": 1
  }

What to look at while it runs (the admin address):
  curl ADMIN/config_dump     what the control plane said, and what it means here
  curl ADMIN/clusters        every endpoint and its health
  curl ADMIN/stats           counters
  curl ADMIN/ready           LIVE once it serves
";

/// Reads a bootstrap file.
///
/// # Errors
/// Names the file, and line and path of what is wrong in it.
pub fn read(path: &Path) -> anyhow::Result<Bootstrap> {
    let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    parse(&text).map_err(|e| anyhow::anyhow!("{}:{e}", path.display()))
}

fn parse(text: &str) -> Result<Bootstrap, String> {
    let bootstrap: Bootstrap =
        serde_json::from_str(text).map_err(|e| format!("{}:{}: {}", e.line(), e.column(), plain(&e)))?;
    let at = |field: &str, why: &str| Err(format!("{}: {field}: {why}", line_of(text, field)));
    if let Err(why) = bootstrap.id.parse::<NodeId>() {
        return at("id", &why);
    }
    if bootstrap.concurrency == Some(0) {
        return at("concurrency", "must be at least 1");
    }
    if !bootstrap.admin.ip().is_loopback() {
        return at("admin", "must be a loopback address: whoever reaches it can stop the proxy");
    }
    Ok(bootstrap)
}

/// serde's message without the position it ends in; that stands in front already.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

fn line_of(text: &str, field: &str) -> usize {
    let key = format!("\"{field}\"");
    text.lines().position(|line| line.contains(&key)).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const GOOD: &str = r#"{
        "id": "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local",
        "cluster": "reviews.default",
        "discovery": "127.77.0.1:15010",
        "admin": "127.77.3.1:15000",
        "readiness": "127.77.3.1:15021",
        "metrics": "127.77.3.1:15090"
    }"#;

    #[test]
    fn a_bootstrap_is_read() {
        assert_eq!(parse(GOOD).unwrap().cluster, "reviews.default");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            (GOOD.replace("15000\"", "x\""), "5:"),
            (GOOD.replace("\"cluster\"", "\"clutser\""), "3:"),
            (GOOD.replace("sidecar~", ""), "2: id: "),
            (GOOD.replace("127.77.3.1:15000", "0.0.0.0:15000"), "5: admin: "),
        ];

        for (text, start) in cases {
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
