//! Names to addresses: one resolver on the control thread, a small memory on each worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::{mpsc, oneshot};

/// How long a worker believes an answer at most.
const MEMORY: Duration = Duration::from_secs(5);
/// Names a worker remembers at most.
const NAMES: usize = 1024;
/// Questions that may wait for the control thread.
const QUESTIONS: usize = 256;

/// What became of a question: addresses, or why there are none.
pub(crate) type Answer = Result<Arc<[IpAddr]>, Arc<str>>;

#[derive(Debug)]
struct Question {
    name: String,
    answer: oneshot::Sender<Answer>,
}

/// Asks the control thread's resolver; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Asker(mpsc::Sender<Question>);

/// Resolves for all askers.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: mpsc::Receiver<Question>,
    servers: Vec<SocketAddr>,
}

/// An asker and the resolver it asks, which asks these servers, or the system's where there are none.
pub(crate) fn resolver(servers: &[SocketAddr]) -> (Asker, Resolver) {
    let (sender, questions) = mpsc::channel(QUESTIONS);
    (Asker(sender), Resolver { questions, servers: servers.to_vec() })
}

impl Resolver {
    /// Answers until no asker is left.
    pub(crate) async fn run(mut self) {
        // Made at the first question: most proxies never ask one.
        let mut resolver = None;
        while let Some(Question { name, answer }) = self.questions.recv().await {
            let resolver = Arc::clone(resolver.get_or_insert_with(|| Arc::new(built(&self.servers))));
            // Ends with the resolver's own time limit.
            tokio::spawn(async move {
                let _ = answer.send(look_up(&resolver, &name).await);
            });
        }
    }
}

/// A resolver that asks these servers, or as the system is configured where there are none.
fn built(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let builder = match servers {
        [] => TokioResolver::builder_tokio().map_err(|e| e.to_string()),
        servers => {
            let servers = servers.iter().map(|at| server(*at)).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        }
    };
    let resolver = builder.and_then(|builder| builder.build().map_err(|e| e.to_string()));
    if let Err(error) = &resolver {
        tracing::warn!(error, "no DNS: the system's resolver configuration cannot be used");
    }
    resolver
}

fn server(at: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(at.ip());
    for connection in &mut config.connections {
        connection.port = at.port();
    }
    config
}

async fn look_up(resolver: &Result<TokioResolver, String>, name: &str) -> Answer {
    let resolver = resolver.as_ref().map_err(|e| Arc::from(e.as_str()))?;
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let addresses: Arc<[IpAddr]> = found.iter().collect();
            if addresses.is_empty() { Err(format!("{name} has no address").into()) } else { Ok(addresses) }
        }
        Err(error) => Err(error.to_string().into()),
    }
}

impl Asker {
    /// The addresses of a name; an address is its own.
    pub(crate) async fn ask(&self, name: &str) -> Answer {
        if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok([ip].into());
        }
        let (answer, reply) = oneshot::channel();
        let question = Question { name: name.to_owned(), answer };
        let gone = || Arc::from("the resolver is gone");
        self.0.send(question).await.map_err(|_| gone())?;
        reply.await.map_err(|_| gone())?
    }
}

/// One worker's memory of answers.
#[derive(Debug)]
pub(crate) struct Names {
    asker: Asker,
    known: RefCell<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    since: Instant,
    addresses: Arc<[IpAddr]>,
}

impl Names {
    /// A memory in front of a resolver.
    pub(crate) fn new(asker: Asker) -> Self {
        Self { asker, known: RefCell::default() }
    }

    /// The addresses of a name.
    pub(crate) async fn resolve(&self, name: &str) -> Answer {
        if let Some(known) = self.known.borrow().get(name)
            && known.since.elapsed() < MEMORY
        {
            return Ok(Arc::clone(&known.addresses));
        }
        let addresses = self.asker.ask(name).await?;
        let mut known = self.known.borrow_mut();
        if known.len() >= NAMES {
            known.clear();
        }
        known.insert(name.to_owned(), Known { since: Instant::now(), addresses: Arc::clone(&addresses) });
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolver() {
        let (asker, resolver) = resolver(&[]);
        drop(resolver);
        let names = Names::new(asker);

        assert_eq!(names.resolve("127.0.0.1").await.unwrap()[..], ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(names.resolve("[::1]").await.unwrap()[..], ["::1".parse::<IpAddr>().unwrap()]);
        assert!(names.resolve("example.org").await.is_err());
    }
}
