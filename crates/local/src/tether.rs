//! Ties a process to the one that started it: when that dies, whatever the reason, so does this.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The hidden verb under which `weft` runs [`exec`].
pub const VERB: &str = "tether";

/// Becomes another program that ends with `parent`. Returns only when it could not.
///
/// The kernel keeps the tie across `exec`, and nothing but the process itself can tie it; that is why a
/// supervised program is started by way of a small step of our own.
pub fn exec(parent: i32, program: &OsString, args: &[OsString]) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have died before the tie was made; then nobody will tell.
    if getppid().map(Pid::as_raw_nonzero).map(std::num::NonZero::get) != Some(parent) {
        return io::Error::other("the supervisor is gone");
    }
    Command::new(program).args(args).exec()
}
