//! `outgated`, the controller.

use std::process::ExitCode;

/// A change is hundreds of small pieces of memory, got by one thread and given back by another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    redirector_user::daemon::main(std::env::args_os())
}
