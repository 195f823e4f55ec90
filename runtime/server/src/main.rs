//! The server's process: its command line, its signals, and how it ends.

use std::process::ExitCode;

use clap::Parser;
use samp_server::{
    Args, ServeError, Server,
    bench::{self, BenchArgs},
};
use tokio::signal::unix::{SignalKind, signal};

/// Threads of the network: they write what comes and wait; others compute.
const NETWORK_THREADS: usize = 2;

fn main() -> ExitCode {
    let mut line = std::env::args_os();
    // The load test has a command line of its own.
    let program = line.next();
    let mut rest = line.peekable();
    let is_bench = rest.next_if(|word| word == "bench").is_some();
    let line = program.into_iter().chain(rest);
    if is_bench {
        return load_test(BenchArgs::parse_from(line));
    }
    let options = Args::parse_from(line).into_options();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("network")
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => {
            let served = runtime.block_on(async { Server::start(options).await?.run(told_to_end()).await });
            runtime.shutdown_background();
            served
        }
        Err(error) => Err(ServeError::Thread(error)),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &ServeError) -> ExitCode {
    eprintln!("error[{}]: {error}", error.code());
    ExitCode::from(error.cause().exit_code())
}

/// Ends with 0 where every request was answered, else with 1.
fn load_test(args: BenchArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(ServeError::Thread).and_then(|runtime| runtime.block_on(bench::run(args))) {
        Ok(all_answered) => ExitCode::from(u8::from(!all_answered)),
        Err(error) => failed(&error),
    }
}

/// Done when the process is told to end, by SIGTERM or Ctrl-C. A second time ends it at once.
async fn told_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without signals there is nothing to wait for but the end of the process.
        return std::future::pending().await;
    };
    let first = tokio::select! {
        _ = terminate.recv() => 143,
        _ = interrupt.recv() => 130,
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(first);
    });
}
