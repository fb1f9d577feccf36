//! Which loopback network a mesh owns: whoever listens on `127.M.0.1:15010` has it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use base::LocalNet;

use crate::layout::Layout;
use crate::running;

/// The port of the control plane's ADS.
pub const DISCOVERY_PORT: u16 = 15010;

/// The numbers a mesh may have: odd, because the even one after it is its network of services.
pub fn numbers() -> impl Iterator<Item = u8> {
    (77..=125).step_by(2)
}

/// A network that is ours for as long as the listener, or a copy of it, is open.
#[derive(Debug)]
pub struct Claim {
    /// The mesh's number.
    pub mesh: u8,
    /// The listener of the control plane's ADS, to be handed to it.
    pub listener: TcpListener,
}

impl Claim {
    /// The address of the control plane's ADS.
    pub fn discovery(mesh: u8) -> SocketAddr {
        SocketAddr::from((LocalNet::control(mesh), DISCOVERY_PORT))
    }
}

/// Who has a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The mesh's number.
    pub mesh: u8,
    /// As much as can be told.
    pub who: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.mesh, self.who)
    }
}

/// Why no network could be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The network, or every network, belongs to others.
    #[error("no free mesh number; held: {}", listed(.0))]
    Held(Vec<Holder>),
    /// Listening failed for another reason than that someone else does.
    #[error("listening on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// There is no mesh of that number.
    #[error("{0} is no mesh number; they are odd, 77 to 125")]
    Number(u8),
}

/// What `mesh.json` holds.
#[derive(Serialize, Deserialize)]
struct Note {
    mesh: u8,
    pid: u32,
}

/// Writes down which network the mesh of a directory has, and that this process is its control plane.
///
/// # Errors
/// When it cannot be written.
pub fn note(layout: &Layout, mesh: u8) -> io::Result<()> {
    let note = Note { mesh, pid: std::process::id() };
    let draft = layout.mesh().with_extension("draft");
    std::fs::write(&draft, serde_json::to_vec(&note)?)?;
    std::fs::rename(&draft, layout.mesh())
}

/// Which network the mesh of a directory has or had last.
pub fn noted(layout: &Layout) -> Option<u8> {
    let bytes = std::fs::read(layout.mesh()).ok()?;
    serde_json::from_slice(&bytes).ok().map(|Note { mesh, .. }| mesh)
}

/// Claims the network the mesh of a directory had last, so that a control plane started anew is found by its
/// proxies; the first free one where there was none or others have it.
///
/// # Errors
/// When all are held by others.
pub fn claim_again(layout: &Layout) -> Result<Claim, ClaimError> {
    match noted(layout).map(|mesh| claim(Some(mesh))) {
        Some(Ok(claim)) => Ok(claim),
        _ => claim(None),
    }
}

/// Claims the network of a number, or the first free one.
///
/// # Errors
/// When it is, or all are, held by others, who are named as far as the system tells.
pub fn claim(number: Option<u8>) -> Result<Claim, ClaimError> {
    match number {
        Some(number) if !numbers().any(|n| n == number) => Err(ClaimError::Number(number)),
        Some(number) => first_free(std::iter::once(number)),
        None => first_free(numbers()),
    }
}

fn first_free(numbers: impl Iterator<Item = u8>) -> Result<Claim, ClaimError> {
    let mut held = Vec::new();
    for mesh in numbers {
        let address = Claim::discovery(mesh);
        // The standard library sets SO_REUSEADDR, which on Linux never lets two sockets listen on one address,
        // and leaves SO_REUSEPORT alone, which would let two meshes share their connections.
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(Claim { mesh, listener }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => held.push(mesh),
            Err(error) => return Err(ClaimError::Listen(address, error)),
        }
    }
    Err(ClaimError::Held(held.into_iter().map(holder).collect()))
}

fn holder(mesh: u8) -> Holder {
    let discovery = Claim::discovery(mesh);
    let is_its = |dir: &PathBuf| noted(&Layout::new(dir)) == Some(mesh);
    let who = match running::find().into_iter().find(is_its) {
        Some(dir) => dir.display().to_string(),
        None => match running::listening_user(discovery) {
            Some(uid) => format!("a process of user {uid}"),
            None => "a process that cannot be seen from here".to_owned(),
        },
    };
    Holder { mesh, who }
}

fn listed(holders: &[Holder]) -> String {
    holders.iter().map(Holder::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_belongs_to_one_mesh() {
        let first = claim(None).expect("a free network");

        let again = claim(Some(first.mesh));
        let other = claim(None).expect("another free network");

        assert!(
            matches!(&again, Err(ClaimError::Held(by)) if by.len() == 1 && by[0].mesh == first.mesh),
            "{again:?}"
        );
        assert_ne!(first.mesh, other.mesh);
    }

    #[test]
    fn a_network_is_free_again_once_it_is_let_go() {
        let first = claim(None).expect("a free network");
        let mesh = first.mesh;
        drop(first);

        // Another test may be quicker to take it; then it is held, and nothing else.
        assert!(matches!(claim(Some(mesh)), Ok(_) | Err(ClaimError::Held(_))));
    }

    #[test]
    fn a_mesh_that_starts_again_has_the_network_it_had() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        std::fs::create_dir_all(layout.own()).expect("its own directory");
        let first = claim(None).expect("a free network");
        note(&layout, first.mesh).expect("the note is written");

        let meanwhile = claim_again(&layout).expect("another free network");

        assert_eq!(noted(&layout), Some(first.mesh));
        assert_ne!(meanwhile.mesh, first.mesh);
        for nonsense in ["", "{}", "{\"mesh\":4000,\"pid\":1}"] {
            std::fs::write(layout.mesh(), nonsense).expect("someone writes nonsense");
            assert_eq!(noted(&layout), None);
        }
    }

    #[test]
    fn even_and_distant_numbers_are_no_networks() {
        for number in [0, 76, 78, 126, 127, 255] {
            assert!(matches!(claim(Some(number)), Err(ClaimError::Number(n)) if n == number));
        }
    }

    #[test]
    fn who_holds_a_network_is_said() {
        let error = ClaimError::Held(vec![Holder { mesh: 77, who: "/tmp/demo".into() }]);

        assert_eq!(error.to_string(), "no free mesh number; held: 77 by /tmp/demo");
    }
}
