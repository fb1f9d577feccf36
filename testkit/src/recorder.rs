//! A backend that keeps every byte it is sent, to see what a proxy really passes on.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The answer of [`Recorder::start`].
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// How long one connection may be silent; no test waits for it.
const SILENCE: Duration = Duration::from_secs(60);

/// A raw TCP backend that answers whatever comes and records it.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    connections: Mutex<Vec<Vec<u8>>>,
    stopped: AtomicBool,
}

impl Shared {
    /// The place of one more connection.
    fn accepted(&self) -> usize {
        let mut connections = lock(&self.connections);
        connections.push(Vec::new());
        connections.len() - 1
    }
}

impl Recorder {
    /// Listens on a free port and answers each head it reads with a small 200.
    ///
    /// # Errors
    /// What the system says.
    pub fn start() -> io::Result<Self> {
        Self::answering(OK)
    }

    /// Listens on a free port and answers each head it reads with these very bytes; none of them, with silence.
    ///
    /// # Errors
    /// What the system says.
    pub fn answering(answer: &[u8]) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (theirs, answer) = (Arc::clone(&shared), answer.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if theirs.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let place = theirs.accepted();
                let (shared, answer) = (Arc::clone(&theirs), answer.clone());
                thread::spawn(move || serve(stream, &answer, &shared, place));
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection has sent so far, in the order in which they were accepted.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        lock(&self.shared.connections).clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; nobody listens any more where this fails.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, answer: &[u8], shared: &Shared, place: usize) {
    if stream.set_read_timeout(Some(SILENCE)).is_err() {
        return;
    }
    let mut heads = 0;
    let mut chunk = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        let complete = {
            let mut connections = lock(&shared.connections);
            let Some(bytes) = connections.get_mut(place) else { return };
            bytes.extend_from_slice(&chunk[..count]);
            bytes.windows(4).filter(|window| *window == b"\r\n\r\n").count()
        };
        for _ in heads..complete {
            if stream.write_all(answer).is_err() {
                return;
            }
        }
        heads = complete;
    }
}

/// Locks what no panic can leave half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_kept() -> io::Result<()> {
        let recorder = Recorder::start()?;
        let mut stream = TcpStream::connect(recorder.address())?;
        let sent = b"GET /\0 HTTP/1.1\r\nobs: a\r\n folded\r\n\r\n";

        stream.write_all(sent)?;
        let mut answer = vec![0; OK.len()];
        stream.read_exact(&mut answer)?;

        assert_eq!(answer, OK);
        assert_eq!(recorder.connections(), [sent.to_vec()]);
        Ok(())
    }
}
