//! A client of other servers: one connection a request, over HTTP/1.1. TLS is left to a proxy.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, Response, StatusCode, Uri, header},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

/// Bytes of a whole response.
const MAX_BYTES: usize = 256 << 20;

/// A server that speaks OpenAI's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host and port.
    authority: String,
    /// What stands before `/v1`.
    base: String,
    /// Shown as `Authorization: Bearer KEY`.
    key: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ClientError {
    #[error("cannot be reached: {0}")]
    Unreachable(std::io::Error),
    #[error("the connection broke off: {0}")]
    Broken(String),
    #[error("nothing came within {} seconds", .0.as_secs())]
    Slow(Duration),
    #[error("answered {status}: {said}")]
    Refused { status: u16, said: String },
    #[error("answered with something else than JSON: {0}")]
    NoJson(String),
}

impl Endpoint {
    /// Of a URL such as `http://host:8000`, perhaps with `/v1` behind it.
    pub fn parse(url: &str) -> Result<Endpoint, String> {
        let expected =
            || format!("expected a URL such as http://host:8000, found {url:?}; TLS is a proxy's to add");
        let uri: Uri = url.parse().map_err(|_| expected())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(expected)?;
        let port = authority.port_u16().unwrap_or(80);
        let base = uri.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
        Ok(Endpoint { authority: format!("{}:{port}", authority.host()), base, key: None })
    }

    /// The same with a key.
    pub fn with_key(self, key: Option<String>) -> Endpoint {
        Endpoint { key, ..self }
    }

    /// The server as messages name it; without its key.
    pub fn shown(&self) -> String {
        format!("http://{}{}", self.authority, self.base)
    }

    /// Asks for a page; gives the response once its headers have come.
    pub async fn ask(&self, method: Method, path: &str, body: String) -> Result<Response<Body>, ClientError> {
        let stream = TcpStream::connect(&self.authority).await.map_err(ClientError::Unreachable)?;
        // A request is one write, and no later one waits for it.
        let _ = stream.set_nodelay(true);
        let broken = |error: &dyn std::fmt::Display| ClientError::Broken(error.to_string());
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
        // It ends with the response's body; what breaks it shows there.
        tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let request = request.body(Body::from(body)).map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(response.map(Body::new))
    }

    /// Asks for a page of JSON and waits for all of it.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, ClientError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let whole = async {
            let response = self.ask(method, path, body).await?;
            let status = response.status();
            let bytes = to_bytes(response.into_body(), MAX_BYTES).await;
            let bytes = bytes.map_err(|error| ClientError::Broken(error.to_string()))?;
            if status != StatusCode::OK {
                let said = String::from_utf8_lossy(&bytes).chars().take(500).collect();
                return Err(ClientError::Refused { status: status.as_u16(), said });
            }
            serde_json::from_slice(&bytes).map_err(|error| ClientError::NoJson(error.to_string()))
        };
        timeout(patience, whole).await.unwrap_or(Err(ClientError::Slow(patience)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_urls() {
        for (url, authority, base) in [
            ("http://localhost:8000", "localhost:8000", ""),
            ("http://a.example/v1/", "a.example:80", ""),
            ("http://127.0.0.1:9/models/x/v1", "127.0.0.1:9", "/models/x"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!((endpoint.authority.as_str(), endpoint.base.as_str()), (authority, base), "{url}");
        }
        for wrong in ["https://a.example", "a.example:80", "", "http://", "/v1"] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
