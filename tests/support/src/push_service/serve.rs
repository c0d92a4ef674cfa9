//! Connections and requests of the push service.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::{Behaviour, Received, State, lock};

pub(super) fn run(
    listener: std::net::TcpListener,
    tls: TlsAcceptor,
    state: Arc<State>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime for the service");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        tokio::select! {
            () = accept(listener, tls, state) => {}
            _ = stopped => {}
        }
    });
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let number = state.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            tls: tls.clone(),
            state: Arc::clone(&state),
            number,
        };
        // However it ends, that is the client's affair.
        tokio::spawn(async move { drop(connection.serve(stream).await) });
    }
}

struct Connection {
    tls: TlsAcceptor,
    state: Arc<State>,
    number: u64,
}

/// What a request does to its connection, besides an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset")]
struct Reset;

impl Connection {
    async fn serve(
        self,
        stream: TcpStream,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let socket = Arc::new(stream.try_clone()?);
        let stream = self.tls.accept(TcpStream::from_std(stream)?).await?;
        let spoilt = Arc::new(AtomicBool::new(false));
        let stream = Spoilable {
            stream,
            spoilt: Arc::clone(&spoilt),
        };
        let call = Call {
            state: self.state,
            connection: self.number,
            spoilt,
            socket,
        };
        let service = service_fn(move |request| call.clone().answer(request));
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    }
}

/// What a request can see and do.
#[derive(Clone)]
struct Call {
    state: Arc<State>,
    connection: u64,
    spoilt: Arc<AtomicBool>,
    socket: Arc<std::net::TcpStream>,
}

impl Call {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Reset> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
        if head.method == Method::GET {
            return Ok(self.report(&path));
        }
        let behaviour = self.behaviour(&path);
        let answer = match &behaviour {
            Behaviour::Answer {
                status,
                headers,
                body,
            } => Some(response(*status, headers, body)),
            Behaviour::Limit(bytes) => Some(response(
                if body.len() > *bytes { 413 } else { 201 },
                &[],
                "",
            )),
            Behaviour::Slow(time) => {
                tokio::time::sleep(*time).await;
                Some(response(201, &[], ""))
            }
            Behaviour::Hang | Behaviour::Reset | Behaviour::Garbage => None,
        };
        self.note(
            head,
            path,
            &body,
            answer.as_ref().map(|answer| answer.status().as_u16()),
        );
        match (answer, behaviour) {
            (Some(answer), _) => Ok(answer),
            (None, Behaviour::Hang) => std::future::pending().await,
            (None, Behaviour::Garbage) => {
                self.spoilt.store(true, Ordering::Relaxed);
                Ok(response(201, &[], "what nobody will read"))
            }
            (None, _) => {
                // Nothing lingers: the other side gets a reset where data were under way, and an end elsewhere.
                let _ = set_socket_linger(&*self.socket, Some(Duration::ZERO));
                let _ = self.socket.shutdown(std::net::Shutdown::Both);
                Err(Reset)
            }
        }
    }

    fn behaviour(&self, path: &str) -> Behaviour {
        let mut scripts = lock(&self.state.scripts);
        let Some(script) = scripts.get_mut(path) else {
            return Behaviour::of_path(path);
        };
        let next = if script.len() > 1 {
            script.pop_front()
        } else {
            script.front().cloned()
        };
        next.unwrap_or_else(|| Behaviour::of_path(path))
    }

    fn note(
        &self,
        head: hyper::http::request::Parts,
        path: String,
        body: &Bytes,
        status: Option<u16>,
    ) {
        if self.state.keep {
            let value = |value: &hyper::header::HeaderValue| {
                String::from_utf8_lossy(value.as_bytes()).into_owned()
            };
            lock(&self.state.received).push(Received {
                path,
                headers: head
                    .headers
                    .iter()
                    .map(|(name, text)| (name.to_string(), value(text)))
                    .collect(),
                body: body.to_vec(),
                at: SystemTime::now(),
                status,
                connection: self.connection,
            });
        }
        self.state.count.fetch_add(1, Ordering::Relaxed);
        self.state.arrived.notify_waiters();
    }

    /// The endpoints for a program that runs the service: `/received` and `/count`.
    fn report(&self, path: &str) -> Response<Full<Bytes>> {
        let json = match path {
            "/received" => {
                let received = lock(&self.state.received);
                serde_json::Value::Array(received.iter().map(shown).collect())
            }
            "/count" => serde_json::json!({
                "received": self.state.count.load(Ordering::Relaxed),
                "connections": self.state.connections.load(Ordering::Relaxed),
            }),
            _ => return response(404, &[], ""),
        };
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        response(200, &headers, &json.to_string())
    }
}

fn shown(request: &Received) -> serde_json::Value {
    let headers: serde_json::Map<String, serde_json::Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    serde_json::json!({
        "path": request.path,
        "headers": headers,
        "body": STANDARD.encode(&request.body),
        "at": request.at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64),
        "status": request.status,
    })
}

fn response(status: u16, headers: &[(String, String)], body: &str) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a response that can be written")
}

/// A connection on which bytes can be replaced by others.
struct Spoilable<S> {
    stream: S,
    spoilt: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Spoilable<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spoilable<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.spoilt.load(Ordering::Relaxed) {
            let garbage = vec![b'#'; bytes.len()];
            return Pin::new(&mut self.stream).poll_write(cx, &garbage);
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
