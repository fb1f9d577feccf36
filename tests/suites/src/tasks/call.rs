//! Calls as the programs of a task make them, and what must come of them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use tests_mesh::{Curl, Outcome};

use super::script::{Call, Expect, Workload};
use super::stage::Stage;

/// Who calls from outside the mesh.
const OUTSIDE: &str = "ingress-client";

/// The port of a sidecar's HTTP proxy.
const WAY_OUT: u16 = 15_007;

/// How long is waited between two tries.
const BETWEEN: Duration = Duration::from_millis(100);

/// How long results may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// One call's outcome and how long it took.
type Timed = (Outcome, Duration);

impl Stage {
    /// Makes a call until what must come of it does.
    pub(super) fn check(&self, call: &Call, expect: &Expect) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let outcomes = self.make(call)?;
            match self.judge(call, expect, &outcomes) {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() >= until => return Err(why),
                Err(_) => thread::sleep(BETWEEN),
            }
        }
    }

    fn make(&self, call: &Call) -> Result<Vec<Timed>, String> {
        let left = Mutex::new(call.count);
        let one = || -> Result<Vec<Timed>, String> {
            let mut own = Vec::new();
            loop {
                {
                    let mut left = left.lock().map_err(|e| e.to_string())?;
                    if *left == 0 {
                        return Ok(own);
                    }
                    *left -= 1;
                }
                let began = Instant::now();
                let outcome = self.curl(call)?.send();
                own.push((outcome, began.elapsed()));
            }
        };
        let threads: Vec<Result<Vec<Timed>, String>> = thread::scope(|scope| {
            let running: Vec<_> = (0..call.concurrency.max(1)).map(|_| scope.spawn(one)).collect();
            let ended = running.into_iter().map(|thread| thread.join());
            ended.map(|outcome| outcome.unwrap_or_else(|_| Err("a caller panicked".to_owned()))).collect()
        });
        let mut all = Vec::new();
        for outcomes in threads {
            all.extend(outcomes?);
        }
        Ok(all)
    }

    fn curl(&self, call: &Call) -> Result<Curl, String> {
        let (scheme, host, port, path) = target(call)?;
        // Whoever is told a server name asks for that host and is led to where the call goes.
        let named = call.sni.clone().unwrap_or_else(|| host.clone());
        let mut curl = Curl::new(&format!("{scheme}://{named}:{port}{path}"));
        let is_outside = call.from == OUTSIDE;
        let has_sidecar = !is_outside && self.has_sidecar(&call.from);
        match self.gateway(&host, port) {
            Some(gateway) if is_outside => curl = curl.at(&named, port, gateway),
            None if is_outside => return Err(format!("{host}:{port} is no gateway")),
            _ => {}
        }
        if let Some(proxy) = &call.proxy {
            // Who names a proxy of its own connects to it, and asks it for the host.
            let proxy: SocketAddrV4 = proxy.parse().map_err(|_| format!("{proxy} is no address"))?;
            let at = match has_sidecar {
                true => self.virtual_address(&call.from, *proxy.ip())?,
                false => self.owner(*proxy.ip())?,
            };
            curl = curl.by(SocketAddr::from((at, proxy.port())));
        } else if has_sidecar {
            curl = curl.by(SocketAddr::from((self.address(&call.from, 3), WAY_OUT)));
        } else if !is_outside {
            curl = curl.at(&named, port, self.direct(&host, port)?);
        }
        for (name, value) in call.headers.iter().filter(|(name, _)| call.sni.is_none() || *name != "Host") {
            curl = curl.header(name, value);
        }
        if let Some(method) = &call.method {
            curl = curl.method(method, call.body.as_deref());
        }
        if let Some(id) = &call.ca {
            curl = curl.trusts(&self.keys.certificate(id));
        }
        if let Some(id) = &call.client_cert {
            curl = curl.shows(&self.keys.certificate(id), &self.keys.key(id));
        }
        if let Some(jar) = &call.cookies {
            curl = curl.jar(&self.keys.folder().join(format!("{jar}.cookies")));
        }
        Ok(curl)
    }

    fn has_sidecar(&self, name: &str) -> bool {
        self.workloads.iter().find(|workload| workload.is_called(name)).is_some_and(|w| w.sidecar)
    }

    /// The program that has an address elsewhere.
    fn owner(&self, address: Ipv4Addr) -> Result<Ipv4Addr, String> {
        let has_it = |workload: &&Workload| workload.addresses.contains(&address.to_string());
        let owner = self.workloads.iter().find(has_it).ok_or_else(|| format!("nobody has {address}"))?;
        Ok(self.address(&owner.name, 2))
    }

    /// Where a gateway's Service leads a port.
    fn gateway(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let name = host.split('.').next()?;
        let ports = self.gateways.get(name)?;
        let target = ports.iter().find(|(p, _)| *p == port).map_or(port, |(_, target)| *target);
        Some(self.mesh.gateway(target))
    }

    /// The workload that has the host, for a caller without a sidecar: its sidecar, or else its program.
    fn direct(&self, host: &str, port: u16) -> Result<SocketAddr, String> {
        let is_meant = |workload: &&Workload| {
            workload.host.as_deref() == Some(host) || host.split('.').next() == Some(workload.name.as_str())
        };
        let workload = self.workloads.iter().find(is_meant).ok_or_else(|| format!("nobody is {host}"))?;
        let served = workload.ports.iter().find(|served| served.port == port);
        let target = served.and_then(|served| served.target_port).unwrap_or(port);
        let last = if workload.sidecar { 1 } else { 2 };
        Ok(SocketAddr::from((self.address(&workload.name, last), target)))
    }

    fn judge(&self, call: &Call, expect: &Expect, outcomes: &[Timed]) -> Result<(), String> {
        for (outcome, took) in outcomes {
            one(expect, outcome, *took).map_err(|why| format!("{why}: {outcome:?}"))?;
        }
        if let Some(shares) = &expect.overflow {
            let statuses: Vec<String> =
                outcomes.iter().map(|(outcome, _)| outcome.status.to_string()).collect();
            within(
                shares,
                |label| statuses.iter().filter(|status| *status == label).count(),
                statuses.len(),
            )?;
        }
        if let Some(shares) = &expect.distribution {
            // Whoever got no answer, or an error, is no share of anybody.
            if let Some((failed, _)) =
                outcomes.iter().find(|(outcome, _)| !(200..400).contains(&outcome.status))
            {
                return Err(format!("not every call was answered: {failed:?}"));
            }
            let by = expect.by.as_deref().unwrap_or_default();
            let count =
                |label: &str| outcomes.iter().filter(|(outcome, _)| shows(by, label, &outcome.body)).count();
            within(shares, count, outcomes.len())?;
        }
        if let Some(log) = &expect.log {
            let text = self.log(&log.workload);
            if !text.contains(&log.contains) {
                return Err(format!(
                    "{:?} is not in the log of {} after {call:?}",
                    log.contains, log.workload
                ));
            }
        }
        Ok(())
    }

    fn log(&self, name: &str) -> String {
        match name.strip_suffix("/proxy") {
            Some(workload) => self.mesh.access_log(&self.entry(workload)),
            None if self.gateways.contains_key(name) => self.mesh.access_log(name),
            None => self.mesh.program_log(&self.entry(name)),
        }
    }
}

/// Whether a body is what a label stands for: `NAME = body contains 'X'` tells it from all other labels, and
/// `body has 'X <version>'` has the label itself in it.
fn shows(by: &str, label: &str, body: &str) -> bool {
    let quoted =
        |mark: &str| by.split_once(mark).and_then(|(before, rest)| Some((before, rest.split('\'').next()?)));
    match (quoted(" = body contains '"), quoted("body has '")) {
        (Some((name, pattern)), _) => body.contains(pattern) == (label == name),
        (None, Some((_, pattern))) => body.contains(&pattern.replace("<version>", label)),
        (None, None) => body.contains(label),
    }
}

/// Scheme, host, port and path of a call.
fn target(call: &Call) -> Result<(&str, String, u16, String), String> {
    let usual = |scheme: &str| if scheme == "https" { 443 } else { 80 };
    match (&call.url, &call.host) {
        (Some(url), _) => {
            let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url} has no scheme"))?;
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().map_err(|_| format!("{url} has no port"))?),
                None => (authority, usual(scheme)),
            };
            Ok((scheme, host.to_owned(), port, format!("/{path}")))
        }
        (None, Some(host)) => {
            let port = call.port.unwrap_or_else(|| usual(&call.protocol));
            Ok((call.protocol.as_str(), host.clone(), port, call.path.clone().unwrap_or_else(|| "/".into())))
        }
        (None, None) => Err("a call to nowhere".into()),
    }
}

fn one(expect: &Expect, outcome: &Outcome, took: Duration) -> Result<(), String> {
    if let Some(status) = expect.status.filter(|status| *status != outcome.status) {
        return Err(format!("expected {status}"));
    }
    if let Some(text) = expect.body_contains.as_ref().filter(|text| !outcome.body.contains(*text)) {
        return Err(format!("expected {text:?} in the body"));
    }
    for (name, value) in &expect.header {
        if outcome.header(&name.to_ascii_lowercase()) != Some(value) {
            return Err(format!("expected the header {name}: {value}"));
        }
    }
    if let Some(least) = expect.min_s.filter(|least| took.as_secs_f64() < *least) {
        return Err(format!("took {took:?}, expected {least} s or more"));
    }
    if let Some(most) = expect.max_s.filter(|most| took.as_secs_f64() > *most) {
        return Err(format!("took {took:?}, expected {most} s or less"));
    }
    match expect.connection.as_deref() {
        None => Ok(()),
        Some("refused") if outcome.exit == 7 => Ok(()),
        // Cut before an answer: by the handshake, an empty answer, a reset, or a tunnel that is not opened.
        Some("reset") if matches!(outcome.exit, 35 | 52 | 56) => Ok(()),
        // Refused in the handshake, by the server or by the caller.
        Some("tls-alert") if matches!(outcome.exit, 35 | 56 | 60) => Ok(()),
        Some(other) => Err(format!("expected the connection to end by {other}")),
    }
}

fn within(
    shares: &std::collections::BTreeMap<String, [f64; 2]>,
    count: impl Fn(&str) -> usize,
    total: usize,
) -> Result<(), String> {
    for (label, [least, most]) in shares {
        let share = f64::from(u32::try_from(count(label)).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(total.max(1)).unwrap_or(u32::MAX));
        if share < *least || share > *most {
            return Err(format!("{label:?} has a share of {share:.3}, expected {least} to {most}"));
        }
    }
    Ok(())
}
