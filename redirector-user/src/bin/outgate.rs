//! `outgate`, the command line of the controller.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    redirector_user::cli::run(std::env::args_os()).await
}
