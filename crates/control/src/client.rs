//! Talking to a running control plane.
//!
//! ```no_run
//! # async fn run() -> Result<(), control::client::ClientError> {
//! let client = control::client::find(None).await?;
//! let status = client.status().await?;
//! # Ok(()) }
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::home;
use crate::running::{self, Running};
use crate::wire::{Apply, Delete, Objects, Refusal, Reply, Status, Validate, Wait};

/// How long an answer may take beyond the time a request asks to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a control plane could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The conversation broke.
    #[error("talking to the control plane at {}", socket.display())]
    Broken {
        /// Its socket.
        socket: PathBuf,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No control plane runs: the directory's own where one was named, else none of this user's.
    #[error("no control plane is running{}", dir.as_ref().map(|dir| format!(" for {}", dir.display())).unwrap_or_default())]
    NotRunning {
        /// The mesh that was named.
        dir: Option<PathBuf>,
        /// The meshes that are running.
        others: Vec<PathBuf>,
    },
    /// The control plane did not accept the request.
    #[error("the control plane answers {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        message: String,
    },
    /// More than one mesh is running, and none was named.
    #[error("several meshes are running; name one of {}", list(dirs))]
    Several {
        /// Their directories.
        dirs: Vec<PathBuf>,
    },
    /// No answer came in time.
    #[error("the control plane at {} does not answer", socket.display())]
    Silent {
        /// Its socket.
        socket: PathBuf,
    },
}

fn list(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Finds the control plane of a mesh's directory, or the only one that is running for this user.
///
/// # Errors
/// Nobody runs, or several do and none was named.
pub async fn find(mesh: Option<&Path>) -> Result<Client, ClientError> {
    find_in(&running::registry(), mesh).await
}

/// The same as [`find`], with a registry of one's own.
///
/// # Errors
/// Nobody runs, or several do and none was named.
pub async fn find_in(registry: &Path, mesh: Option<&Path>) -> Result<Client, ClientError> {
    if let Some(dir) = mesh {
        let socket = home::socket(dir);
        if xds::unix::connect(&socket).await.is_ok() {
            return Ok(Client::new(socket));
        }
        let others = dirs(running::list(registry).await);
        return Err(ClientError::NotRunning { dir: Some(dir.to_owned()), others });
    }
    let mut running = running::list(registry).await;
    match running.pop() {
        None => Err(ClientError::NotRunning { dir: None, others: Vec::new() }),
        Some(only) if running.is_empty() => Ok(Client::new(only.socket)),
        Some(last) => {
            running.push(last);
            Err(ClientError::Several { dirs: dirs(running) })
        }
    }
}

fn dirs(running: Vec<Running>) -> Vec<PathBuf> {
    running.into_iter().map(|running| running.dir).collect()
}

/// One control plane, by its socket; every request is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The control plane at a socket; nothing is asked of it.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Puts objects in force.
    ///
    /// # Errors
    /// The control plane could not be asked. What it thinks of the objects is in the reply.
    pub async fn apply(&self, request: &Apply) -> Result<Reply, ClientError> {
        self.post("/apply", request, request.timeout_ms).await
    }

    /// Takes objects out of force.
    ///
    /// # Errors
    /// The control plane could not be asked.
    pub async fn delete(&self, request: &Delete) -> Result<Reply, ClientError> {
        self.post("/delete", request, request.timeout_ms).await
    }

    /// Says whether objects could be put in force, and what would then be wrong.
    ///
    /// # Errors
    /// The control plane could not be asked.
    pub async fn validate(&self, request: &Validate) -> Result<Reply, ClientError> {
        self.post("/validate", request, 0).await
    }

    /// Waits until proxies have acknowledged what is in force.
    ///
    /// # Errors
    /// The control plane could not be asked.
    pub async fn wait(&self, request: &Wait) -> Result<Reply, ClientError> {
        self.post("/wait", request, request.timeout_ms).await
    }

    /// The objects in force, chosen by kind (any name kubectl knows, several with commas between), namespace and name.
    ///
    /// # Errors
    /// The control plane could not be asked, or there is no such kind.
    pub async fn resources(
        &self,
        kind: Option<&str>,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Objects, ClientError> {
        let chosen = [("kind", kind), ("namespace", namespace), ("name", name)];
        let pairs: Vec<String> =
            chosen.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={value}"))).collect();
        let request = self.request(Method::GET, &format!("/resources?{}", pairs.join("&")), Bytes::new())?;
        self.ask(request, PATIENCE).await
    }

    /// How everything stands.
    ///
    /// # Errors
    /// The control plane could not be asked.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let request = self.request(Method::GET, "/status", Bytes::new())?;
        self.ask(request, PATIENCE).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout_ms: u64,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        let request = self.request(Method::POST, path, body.into())?;
        self.ask(request, Duration::from_millis(timeout_ms).saturating_add(PATIENCE)).await
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "control")
            .body(Full::new(body))
            .map_err(|error| self.broken(error))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<T, ClientError> {
        let (status, body) = match tokio::time::timeout(patience, self.exchange(request)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(ClientError::Silent { socket: self.socket.clone() }),
        };
        if !status.is_success() {
            let message = match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) => refusal.error,
                Err(_) => String::from_utf8_lossy(&body).into_owned(),
            };
            return Err(ClientError::Refused { status, message });
        }
        serde_json::from_slice(&body).map_err(|error| self.broken(error))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = match xds::unix::connect(&self.socket).await {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => {
                let dir = self.socket.parent().and_then(Path::parent).map(Path::to_owned);
                return Err(ClientError::NotRunning { dir, others: Vec::new() });
            }
            Err(error) => return Err(self.broken(error)),
        };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let answer = async move {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            // The connection ends with its sender, which this block owns.
            Ok::<_, hyper::Error>((head.status, body.collect().await?.to_bytes()))
        };
        let (answer, _) = tokio::join!(answer, connection);
        answer.map_err(|error| self.broken(error))
    }

    fn broken(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken { socket: self.socket.clone(), source: error.into() }
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
