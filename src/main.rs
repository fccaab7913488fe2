//! The `ekho` binary. Everything it does is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Many small allocations on many threads, and memory given back after a burst.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    ekho::cli::main()
}
