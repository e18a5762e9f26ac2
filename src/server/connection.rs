use std::{io, pin::pin, time::Duration};

use anyhow::Context as _;
use axum::{Router, http::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use crate::app::App;

use super::{auth::Peer, patient::Patient, router};

/// For the head of a request, and for the next one on an open connection.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// A client that takes nothing of its answer for so long is gone.
const WRITE_TIME: Duration = Duration::from_mins(1);

/// Of a request's head, and of what waits to be written to a slow client.
const BUFFER_BYTES: usize = 64 * 1024;

/// What cancelled turns have for storing what they have.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often it is asked whether turns still run.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Serves until `app.stopping` is cancelled; then running turns get their time to end, are cancelled,
/// and store what they have.
pub async fn serve(app: App, listener: TcpListener) -> anyhow::Result<()> {
    listener.local_addr().context("the listening socket is not usable")?;
    let router = router(app.clone());
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = app.stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (stopping, cut) = (app.stopping.clone(), cut.clone());
                connections.spawn(serve_connection(stream, router.clone(), stopping, cut));
            }
            Err(err) => wait_out(&err).await,
        }
    }
    drop(listener);
    connections.close();
    let grace = app.generation().config.server.shutdown_grace;
    if timeout(grace, ended(&app, &connections)).await.is_err() {
        info!("cancelling the turns that still run");
        app.running.cancel_all();
    }
    app.tasks.close();
    let done = async {
        ended(&app, &connections).await;
        app.tasks.wait().await;
    };
    if timeout(LAST_WORDS, done).await.is_err() {
        warn!("some work did not end in time and is cut off");
    }
    cut.cancel();
    connections.wait().await;
    app.close().await;
    Ok(())
}

/// Waits until no turn runs, nobody waits for an answer, and no connection is open.
async fn ended(app: &App, connections: &TaskTracker) {
    connections.wait().await;
    while !app.running.is_empty() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    stopping: CancellationToken,
    cut: CancellationToken,
) {
    if let Err(err) = stream.set_nodelay(true) {
        debug!(error = %err, "a connection keeps its delay: {err}");
    }
    let peer = stream.peer_addr().ok().map(|it| Peer(it.ip()));
    let service = router.map_request(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(
            TokioIo::new(Patient::new(stream, WRITE_TIME)),
            TowerToHyperService::new(service),
        );
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection => result,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(err) = result {
        debug!(error = %err, "a connection broke: {err}");
    }
}

/// A connection that broke at once is nobody's affair; when the process is out of files, time helps.
async fn wait_out(err: &io::Error) {
    match err.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted => (),
        _ => {
            warn!(error = %err, "a connection cannot be accepted: {err}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{Extension, body::Body, routing::get};
    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::mpsc,
        task::JoinHandle,
    };
    use tokio_stream::{StreamExt, wrappers::ReceiverStream};

    use super::*;

    /// A server of one connection, whose `/` streams what is sent to `body`.
    struct OneConnection {
        client: TcpStream,
        body: mpsc::Sender<&'static str>,
        stopping: CancellationToken,
        cut: CancellationToken,
        ended: JoinHandle<()>,
    }

    impl OneConnection {
        async fn open() -> Self {
            let (body, receiver) = mpsc::channel(1);
            let receiver = std::sync::Mutex::new(Some(receiver));
            let stream = move || {
                let receiver = receiver.lock().unwrap().take().unwrap();
                let chunks =
                    ReceiverStream::new(receiver).map(|it| Ok::<_, Infallible>(Bytes::from(it)));
                std::future::ready(Body::from_stream(chunks))
            };
            let stream = std::sync::Arc::new(stream);
            let whence =
                async |Extension(Peer(address)): Extension<Peer>| format!("from {address}");
            let router =
                Router::new().route("/", get(move || stream())).route("/whence", get(whence));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let (stopping, cut) = (CancellationToken::new(), CancellationToken::new());
            let ended = TaskTracker::new().spawn(serve_connection(
                stream,
                router,
                stopping.clone(),
                cut.clone(),
            ));
            Self { client, body, stopping, cut, ended }
        }

        async fn ask(&mut self) {
            self.client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        }

        async fn read_until(&mut self, end: &str) -> String {
            let mut text = String::new();
            while !text.contains(end) {
                let mut buffer = [0; 1024];
                let read = self.client.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "closed after {text}");
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            text
        }
    }

    #[tokio::test]
    async fn a_stopping_server_closes_idle_connections() {
        let connection = OneConnection::open().await;
        connection.stopping.cancel();
        connection.ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_stopping_server_lets_a_stream_end() {
        let mut connection = OneConnection::open().await;
        connection.ask().await;
        connection.body.send("first").await.unwrap();
        connection.read_until("first").await;
        connection.stopping.cancel();
        connection.body.send("second").await.unwrap();
        connection.read_until("second").await;
        drop(connection.body);
        connection.ended.await.unwrap();
    }

    #[tokio::test]
    async fn a_stream_that_does_not_end_is_cut_at_last() {
        let mut connection = OneConnection::open().await;
        connection.ask().await;
        connection.body.send("first").await.unwrap();
        connection.read_until("first").await;
        connection.stopping.cancel();
        connection.cut.cancel();
        connection.ended.await.unwrap();
        connection.body.closed().await;
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_its_stream() {
        let mut connection = OneConnection::open().await;
        connection.ask().await;
        connection.body.send("first").await.unwrap();
        connection.read_until("first").await;
        drop(connection.client);
        connection.body.closed().await;
    }

    #[tokio::test]
    async fn a_head_of_five_thousand_bytes_is_taken() {
        let mut connection = OneConnection::open().await;
        let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-user-id: {}\r\n\r\n", "a".repeat(5000));
        connection.client.write_all(head.as_bytes()).await.unwrap();
        assert!(connection.read_until("\r\n").await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_request_says_where_it_comes_from() {
        let mut connection = OneConnection::open().await;
        let head = b"GET /whence HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 10.0.0.1\r\n\r\n";
        connection.client.write_all(head).await.unwrap();
        connection.read_until("from 127.0.0.1").await;
    }
}
