//! `weft status`: a control plane and its proxies.

use clap::Args;

use control::wire::{ProxyStatus, Status as Standing, TypeSync};

use super::target::{Target, short};
use crate::exit::Exit;
use crate::report::{self, Sources};
use crate::table::Table;
use crate::terminal;

/// The types of resource, in the order they are shown.
const TYPES: [&str; 4] = ["CDS", "LDS", "EDS", "RDS"];

/// Show a control plane and its proxies.
#[derive(Args, Debug)]
pub struct Status {
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let standing = self.target.find().await?.status().await?;
        if self.json {
            terminal::print(&format!("{}\n", serde_json::to_string_pretty(&standing)?))?;
        } else {
            terminal::print(&render(&standing))?;
            report::say(&standing.issues, &Sources::default());
        }
        let has_refused =
            |proxy: &ProxyStatus| proxy.types.values().any(|t| matches!(t, TypeSync::Refused { .. }));
        let is_wrong = report::has_error(&standing.issues) || standing.proxies.iter().any(has_refused);
        Ok(if is_wrong { Exit::Wrong } else { Exit::Done })
    }
}

fn render(standing: &Standing) -> String {
    let objects: Vec<String> =
        standing.objects.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut out = format!(
        "mesh        {}\ncontrol     pid {}, version {}\ndiscovery   {}\nhttp        http://{}\ngeneration  {}\nobjects     {}\n",
        standing.dir.display(),
        standing.pid,
        standing.version,
        standing.discovery,
        standing.http,
        standing.generation,
        if objects.is_empty() { "none".to_owned() } else { objects.join(", ") },
    );
    let mut table = Table::new(["PROXY", "CDS", "LDS", "EDS", "RDS", "GENERATION"]);
    for proxy in &standing.proxies {
        let mut row = vec![short(&proxy.node)];
        row.extend(TYPES.map(|ty| proxy.types.get(ty).map_or("-", sync).to_owned()));
        row.push(proxy.settled.to_string());
        table.row(row);
    }
    if standing.proxies.is_empty() {
        out.push_str("\nno proxy is connected\n");
    } else {
        out.push('\n');
        out.push_str(&table.render());
    }
    for proxy in &standing.proxies {
        for (ty, sync) in &proxy.types {
            if let TypeSync::Refused { error } = sync {
                out.push_str(&format!("\n{} refuses {ty}: {error}\n", short(&proxy.node)));
            }
        }
    }
    out
}

fn sync(sync: &TypeSync) -> &'static str {
    match sync {
        TypeSync::Refused { .. } => "REFUSED",
        TypeSync::Stale => "STALE",
        TypeSync::Synced => "SYNCED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(proxies: Vec<ProxyStatus>) -> Standing {
        Standing {
            dir: "/mesh".into(),
            pid: 7,
            version: "0.1.0".into(),
            discovery: "127.77.0.1:15010".into(),
            http: "127.77.0.1:15014".into(),
            generation: 3,
            objects: [("Service".to_owned(), 4)].into(),
            proxies,
            issues: Vec::new(),
        }
    }

    #[test]
    fn what_a_proxy_refuses_is_said() {
        let refused = TypeSync::Refused { error: "listener 0.0.0.0_80: no".into() };
        let proxy = ProxyStatus {
            node: "sidecar~127.77.3.1~reviews-v1.default~default.svc.cluster.local".into(),
            peer: "127.0.0.1:5".into(),
            since: 0,
            settled: 2,
            types: [("CDS".to_owned(), TypeSync::Synced), ("LDS".to_owned(), refused)].into(),
        };

        let text = render(&standing(vec![proxy]));

        assert!(text.contains("reviews-v1.default   SYNCED   REFUSED   -     -     2"), "{text}");
        assert!(text.contains("reviews-v1.default refuses LDS: listener 0.0.0.0_80: no"), "{text}");
    }

    #[test]
    fn a_mesh_without_proxies_says_so() {
        let text = render(&standing(Vec::new()));

        assert!(text.contains("4 Service") && text.contains("no proxy is connected"), "{text}");
    }
}
