//! The server's process: its command line, its signals, and how it ends.

use std::process::ExitCode;

use clap::Parser;
use samp_server::{Args, ServeError, Server};
use tokio::signal::unix::{SignalKind, signal};

/// Threads of the network: they write what comes and wait; others compute.
const NETWORK_THREADS: usize = 2;

fn main() -> ExitCode {
    let options = Args::parse().into_options();
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
        Err(error) => {
            eprintln!("error[{}]: {error}", error.code());
            ExitCode::from(error.cause().exit_code())
        }
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
