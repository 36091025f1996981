//! The `taskrouter-streams` program: see `--help`.

use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::io::Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(taskrouter_streams::cli::run());
    // What still blocks a thread, such as a name that is looked up, does not hold up the end.
    runtime.shutdown_background();
    Ok(code)
}
