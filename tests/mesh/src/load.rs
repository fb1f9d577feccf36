//! A client that keeps asking while something else happens, and remembers every failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::request;

/// A running client; [`Load::stop`] ends it and tells what it saw.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    /// Starts `clients` threads that send `head` over and over.
    pub fn start(to: SocketAddr, head: &'static str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..clients)
            .map(|_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    let (mut sent, mut failed) = (0, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        sent += 1;
                        match request(to, head, "") {
                            Ok(reply) if reply.status == 200 => {}
                            Ok(reply) => failed.push(format!("request {sent}: {}", reply.status)),
                            Err(e) => failed.push(format!("request {sent}: {e}")),
                        }
                    }
                    (sent, failed)
                })
            })
            .collect();
        Self { stop, threads }
    }

    /// Ends the client; how many requests it sent, and every failure.
    pub fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().fold((0, Vec::new()), |(sent, mut failed), thread| {
            let (more, failures) = thread.join().expect("invariant: a client thread does not panic");
            failed.extend(failures);
            (sent + more, failed)
        })
    }
}
