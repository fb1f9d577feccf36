//! `suites`: runs peers' test suites and prints what passes.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

/// Runs peers' test suites, kept as data, against Weft and prints `NAME KIND PASSED / TOTAL`.
#[derive(Parser)]
struct Args {
    /// The folder that holds one folder per suite [default: ../shared/suites beside the checkout]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also prints every failing case with its reason
    #[arg(long)]
    failed: bool,
    /// The suites to run [default: all that are known and there]
    names: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = match args.dir {
        Some(dir) => dir,
        None => testkit::suites().context("no folder ../shared/suites; name one with --dir")?,
    };
    let names = if args.names.is_empty() {
        suites::SUITES.map(String::from).into_iter().filter(|name| dir.join(name).is_dir()).collect()
    } else {
        args.names
    };
    for name in names {
        let cases = suites::run(&dir, &name)?;
        for (kind, passed, total) in suites::totals(&cases) {
            println!("{name} {kind} {passed} / {total}");
        }
        for case in cases.iter().filter(|_| args.failed) {
            if let Err(why) = &case.outcome {
                println!("{name}\t{}\t{}\t{}", case.kind, case.id, why.replace('\n', " "));
            }
        }
    }
    Ok(())
}
