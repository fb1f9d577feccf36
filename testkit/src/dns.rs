//! A name server on loopback that knows the names a test gives it, and no other.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the server looks whether it should end.
const LOOK: Duration = Duration::from_millis(50);

/// Names and the addresses behind each.
type Names = BTreeMap<String, Vec<Ipv4Addr>>;

/// A name server; its end ends it.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    names: Arc<Mutex<Names>>,
    ended: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Dns {
    /// Serves these names and the addresses behind each, from a free port of 127.0.0.1.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(names: BTreeMap<String, Vec<Ipv4Addr>>) -> io::Result<Self> {
        let names = Arc::new(Mutex::new(names));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOK))?;
        let address = socket.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (told, known) = (Arc::clone(&ended), Arc::clone(&names));
        let serving = thread::spawn(move || {
            let mut question = [0; 512];
            while !told.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
                if let Some(answer) = answer(&question[..length], &lock(&known)) {
                    // Whoever asked will ask again.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(Self { address, names, ended, serving: Some(serving) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a name other addresses from here on.
    pub fn set(&self, name: &str, addresses: Vec<Ipv4Addr>) {
        lock(&self.names).insert(name.to_owned(), addresses);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to a message of one question (RFC 1035 §4.1); none to anything else.
fn answer(message: &[u8], names: &Names) -> Option<Vec<u8>> {
    const A: u16 = 1;
    const NAME_ERROR: u8 = 3;
    let header = message.get(..12)?;
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?);
    let question = message.get(12..at + 4)?;
    let known = names.get(&labels.join("."));
    let found = known.filter(|_| kind == A).map(Vec::as_slice).unwrap_or_default();
    let code = if known.is_some() { 0 } else { NAME_ERROR };
    let count = u16::try_from(found.len()).ok()?.to_be_bytes();
    // A response, authoritative, recursion wanted and available; one question, the answers, nothing else.
    let mut out = vec![header[0], header[1], 0x85, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0];
    out.extend_from_slice(question);
    for address in found {
        // The name stands at byte 12; class IN; one second to live; four bytes.
        out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        out.extend_from_slice(&address.octets());
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for the A record of `foo.com`.
    const QUESTION: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn a_name_is_answered_with_its_addresses() {
        let dns =
            Dns::start([("foo.com".to_owned(), vec![Ipv4Addr::new(127, 1, 2, 3)])].into()).expect("a server");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");

        socket.send_to(QUESTION, dns.address()).expect("a question");

        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).expect("an answer");
        assert_eq!(&answer[..2], b"\x12\x34");
        assert_eq!(&answer[length - 4..length], [127, 1, 2, 3]);
    }

    #[test]
    fn a_name_nobody_gave_is_no_name() {
        let answer = answer(QUESTION, &BTreeMap::new()).expect("an answer");

        assert_eq!((answer[3] & 0x0f, answer[7]), (3, 0));
        assert!(super::answer(b"rubbish", &BTreeMap::new()).is_none());
    }
}
