//! The listener: connections with bounds on how many there are and how long their headers take.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{admin, app::App, pages};
use crate::{error::ServeError, observe::log};

/// Connections at a time; more wait in the system's queue.
const MAX_CONNECTIONS: usize = 8192;
/// Pause after the system refuses a connection, as when files run out.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// A bound address.
pub struct Listener {
    inner: TcpListener,
    header_timeout: Duration,
}

impl Listener {
    /// Listens at an address. A client has `header_timeout` for the headers of each request.
    pub async fn bind(host: &str, port: u16, header_timeout: Duration) -> Result<Listener, ServeError> {
        let bound = TcpListener::bind((host, port)).await;
        let address = format!("{host}:{port}");
        let inner = bound.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Listener { inner, header_timeout })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.inner.local_addr().ok()
    }

    /// Serves the pages until `stop` is done; then lets the connections end what they are at.
    pub async fn serve(self, app: Arc<App>, stop: impl Future<Output = ()>, last: Duration) {
        self.serve_router(pages::router(app), stop, last).await;
    }

    /// [`Listener::serve`] with the pages of operators.
    pub async fn serve_admin(self, app: Arc<App>, stop: impl Future<Output = ()>, last: Duration) {
        self.serve_router(admin::router(app), stop, last).await;
    }

    async fn serve_router(self, router: Router, stop: impl Future<Output = ()>, last: Duration) {
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let permit = connections.clone().acquire_owned().await.ok();
                (permit, self.inner.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    log::error("accept", serde_json::json!({ "error": error.to_string() }));
                    tokio::time::sleep(AFTER_REFUSAL).await;
                    continue;
                }
            };
            // Tokens are to leave as they come.
            let _ = stream.set_nodelay(true);
            let connection = self.connection(stream, router.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A client that breaks off is no error of the server's.
                let _ = connection.await;
                drop(permit);
            });
        }
        drop(self.inner);
        let _ = tokio::time::timeout(last, graceful.shutdown()).await;
    }

    fn connection(
        &self,
        stream: tokio::net::TcpStream,
        router: Router,
    ) -> http1::Connection<TokioIo<tokio::net::TcpStream>, TowerToHyperService<Router>> {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
    }
}
