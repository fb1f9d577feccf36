//! The program `weft`.

use std::process::ExitCode;

/// A control plane holds many small things for long; this allocator gives back what a burst has taken.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
