//! The meshes that run on this machine, found by what the kernel says is listening.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::layout::Layout;

/// The directories of this user's meshes whose control socket is being listened on.
pub(crate) fn find() -> Vec<PathBuf> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let user = rustix::process::geteuid().as_raw();
    let is_ours = |dir: &PathBuf| {
        std::fs::metadata(Layout::new(dir).socket()).is_ok_and(|metadata| metadata.uid() == user)
    };
    let mut dirs: Vec<PathBuf> = directories(&sockets).filter(is_ours).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// The directories whose control socket stands in the kernel's list of listening sockets.
fn directories(list: &str) -> impl Iterator<Item = PathBuf> {
    /// `__SO_ACCEPTCON`: the socket listens.
    const LISTENS: u32 = 1 << 16;
    list.lines().skip(1).filter_map(|line| {
        // Num RefCount Protocol Flags Type St Inode Path; the path may hold spaces.
        let mut columns = line.splitn(8, ' ').map(str::trim);
        let flags = u32::from_str_radix(columns.nth(3)?, 16).ok()?;
        let path = line.get(line.find('/')?..)?;
        let dir = path.strip_suffix("/.weft/control.sock")?;
        (flags & LISTENS != 0).then(|| PathBuf::from(dir))
    })
}

/// The user whose process listens on an address.
pub(crate) fn listening_user(at: SocketAddr) -> Option<u32> {
    user_in(&std::fs::read_to_string("/proc/net/tcp").ok()?, at)
}

fn user_in(list: &str, at: SocketAddr) -> Option<u32> {
    let IpAddr::V4(ip) = at.ip() else { return None };
    // The kernel prints the address as the machine's own number, the port as a plain one; 0A is LISTEN.
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), at.port());
    list.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        match columns.as_slice() {
            [_, address, _, "0A", _, _, _, user, ..] if *address == local => user.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_listening_control_socket_is_a_running_mesh() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(dir.path());
        std::fs::create_dir_all(layout.own()).expect("its own directory");
        let listener = UnixListener::bind(layout.socket()).expect("a socket");
        let ours = dir.path().to_owned();

        assert!(find().contains(&ours));
        drop(listener);
        assert!(!find().contains(&ours));
    }

    #[test]
    fn who_listens_is_told_by_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let at = listener.local_addr().expect("its address");

        assert_eq!(listening_user(at), Some(rustix::process::geteuid().as_raw()));
        drop(listener);
        assert_eq!(listening_user(at), None);
    }

    #[test]
    fn a_list_that_makes_no_sense_names_nobody() {
        let list = "head\nrubbish\n1: 2 3 zz 5 6 7 /x/.weft/control.sock\n\n0: 1 0 00000000 1 1 9 /y/.weft/control.sock";

        assert_eq!(directories(list).count(), 0);
        assert_eq!(user_in("head\n0: 0100007F:0050 x 0A", SocketAddr::from(([127, 0, 0, 1], 80))), None);
    }
}
