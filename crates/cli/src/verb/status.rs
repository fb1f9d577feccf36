//! `weft status`: a control plane and its proxies.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};

use control::wire::{ProxyStatus, Status as Standing, TypeSync};

use super::target::{Target, short};
use crate::age;
use crate::exit::Exit;
use crate::report::{self, Sources};
use crate::table::Table;
use crate::terminal;

/// The types of resource, in the order they are shown.
const TYPES: [&str; 4] = ["CDS", "LDS", "EDS", "RDS"];

/// How a standing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document.
    Json,
    /// More columns: where each proxy connects from, and since when.
    Wide,
    /// One YAML document.
    Yaml,
}

/// What stands below `weft status --help`.
const EXAMPLES: &str = "\
Examples:
  weft status                     every proxy, and whether it follows
  weft status -o wide             where each connects from, and since when
  weft status --mesh ./shop -o json";

/// Show a control plane and its proxies.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    /// How it is shown; columns unless given.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<Format>,
    #[command(flatten)]
    pub(crate) target: Target,
}

impl Status {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let standing = self.target.find().await?.status().await?;
        match self.output {
            Some(Format::Json) => terminal::print(&format!("{:#}\n", serde_json::to_value(&standing)?))?,
            Some(Format::Yaml) => terminal::print(&api::yaml::emit(&serde_json::to_value(&standing)?))?,
            None | Some(Format::Wide) => {
                terminal::print(&render(&standing, self.output.is_some(), SystemTime::now()))?;
                report::say(&standing.issues, &Sources::default());
            }
        }
        let has_refused =
            |proxy: &ProxyStatus| proxy.types.values().any(|t| matches!(t, TypeSync::Refused { .. }));
        let is_wrong = report::has_error(&standing.issues) || standing.proxies.iter().any(has_refused);
        Ok(if is_wrong { Exit::Wrong } else { Exit::Done })
    }
}

fn render(standing: &Standing, is_wide: bool, now: SystemTime) -> String {
    let there = standing.objects.iter().filter(|(_, count)| **count > 0);
    let objects: Vec<String> = there.map(|(kind, count)| format!("{count} {kind}")).collect();
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
    let table = table(&standing.proxies, is_wide, now);
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

fn table(proxies: &[ProxyStatus], is_wide: bool, now: SystemTime) -> Table {
    let mut heading = vec!["PROXY"];
    heading.extend(TYPES);
    heading.push("GENERATION");
    if is_wide {
        heading.extend(["CONNECTED FROM", "FOR"]);
    }
    let mut table = Table::with_heading(heading.into_iter().map(str::to_owned).collect());
    for proxy in proxies {
        let mut row = vec![short(&proxy.node)];
        row.extend(TYPES.map(|ty| proxy.types.get(ty).map_or("-", sync).to_owned()));
        row.push(proxy.settled.to_string());
        if is_wide {
            let since = UNIX_EPOCH.checked_add(Duration::from_secs(proxy.since)).unwrap_or(now);
            row.extend([proxy.peer.clone(), age::words(now.duration_since(since).unwrap_or_default())]);
        }
        table.row(row);
    }
    table
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
            objects: [("Secret".to_owned(), 0), ("Service".to_owned(), 4)].into(),
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

        let text = render(&standing(vec![proxy.clone()]), false, UNIX_EPOCH);

        assert!(text.contains("reviews-v1.default   SYNCED   REFUSED   -     -     2"), "{text}");
        assert!(text.contains("reviews-v1.default refuses LDS: listener 0.0.0.0_80: no"), "{text}");
        let wide = render(&standing(vec![proxy]), true, UNIX_EPOCH + Duration::from_secs(90));
        assert!(wide.contains("2            127.0.0.1:5      90s"), "{wide}");
    }

    #[test]
    fn a_mesh_without_proxies_says_so() {
        let text = render(&standing(Vec::new()), true, UNIX_EPOCH);

        assert!(text.contains("objects     4 Service\n") && text.contains("no proxy is connected"), "{text}");
    }
}
