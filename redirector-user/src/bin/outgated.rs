//! `outgated`, the controller.

use std::process::ExitCode;

fn main() -> ExitCode {
    redirector_user::daemon::main(std::env::args_os())
}
