//! A model server that answers as it is told, on a loopback port.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::{
    config::{Api, ProviderConfig},
    model::{Model, chat_completions, http, responses},
};

/// One for all tests: to make one takes a while.
static CLIENT: LazyLock<reqwest::Client> =
    LazyLock::new(|| http::client(Duration::from_secs(5)).unwrap());

pub struct Upstream {
    address: String,
    state: Arc<Mutex<Seen>>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    answers: VecDeque<Answer>,
    requests: Vec<(String, HeaderMap, Value)>,
    peers: Vec<SocketAddr>,
    closed: Arc<Notify>,
}

#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub chunks: Vec<Bytes>,
    pub end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Orderly,
    /// The connection is torn.
    Torn,
    /// Nothing more comes, and the connection stays.
    Silent,
}

impl Answer {
    pub fn body(text: &str) -> Self {
        let chunks = vec![Bytes::copy_from_slice(text.as_bytes())];
        Self { status: 200, headers: Vec::new(), chunks, end: End::Orderly }
    }

    /// Server-sent events, each of these as the data of one.
    pub fn events(events: &[&str]) -> Self {
        Self::body(&format!("data: {}\n\n", events.join("\n\ndata: ")))
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self { status, ..Self::body(body) }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// In chunks of so many bytes.
    pub fn cut(mut self, size: usize) -> Self {
        let body = self.chunks.concat();
        self.chunks = body.chunks(size).map(Bytes::copy_from_slice).collect();
        self
    }
}

impl Upstream {
    #[expect(clippy::disallowed_methods, reason = "the test ends the server itself")]
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1/", listener.local_addr().unwrap());
        let answers = answers.into_iter().collect();
        let state = Arc::new(Mutex::new(Seen { answers, ..Seen::default() }));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move {
            axum::serve(listener, service).await.unwrap();
        });
        Self { address, state, server }
    }

    pub fn config(&self, api: Api) -> ProviderConfig {
        ProviderConfig {
            api,
            base_url: self.address.clone(),
            api_key: Some("sk-secret-4711".into()),
            headers: [("x-team".to_owned(), "blue-secret".to_owned())].into(),
            file: None,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            retries: 2,
        }
    }

    pub fn chat(&self) -> Arc<dyn Model> {
        connect(&self.config(Api::ChatCompletions))
    }

    pub fn responses(&self) -> Arc<dyn Model> {
        connect(&self.config(Api::Responses))
    }

    /// The client's side of the connection of each request so far.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.state.lock().unwrap().peers.clone()
    }

    /// Waits until an answer has ended or was abandoned.
    pub async fn closed(&self) {
        let closed = Arc::clone(&self.state.lock().unwrap().closed);
        closed.notified().await;
    }

    /// Path, headers and body of each request so far.
    pub fn requests(&self) -> Vec<(String, HeaderMap, Value)> {
        self.state.lock().unwrap().requests.clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub fn connect(config: &ProviderConfig) -> Arc<dyn Model> {
    let endpoint = |path: &[&str]| {
        Arc::new(http::Endpoint::new("test", path, config, CLIENT.clone()).unwrap())
    };
    if config.api == Api::Responses {
        Arc::new(responses::Responses(endpoint(responses::PATH)))
    } else {
        Arc::new(chat_completions::ChatCompletions(endpoint(chat_completions::PATH)))
    }
}

struct Closing(Arc<Notify>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn answer(
    State(state): State<Arc<Mutex<Seen>>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let (answer, closing) = {
        let mut seen = state.lock().unwrap();
        let body = serde_json::from_slice(&body).unwrap();
        seen.requests.push((parts.uri.path().to_owned(), parts.headers, body));
        seen.peers.push(peer);
        (seen.answers.pop_front(), Closing(Arc::clone(&seen.closed)))
    };
    let Some(Answer { status, headers, chunks, end }) = answer else {
        return (axum::http::StatusCode::IM_A_TEAPOT, "no answer is left").into_response();
    };
    let body = stream::unfold((chunks.into_iter(), closing), move |mut state| async move {
        // Lets what was sent reach the client as a chunk of its own.
        tokio::task::yield_now().await;
        match (state.0.next(), end) {
            (Some(chunk), _) => Some((Ok(chunk), state)),
            (None, End::Orderly) => None,
            (None, End::Torn) => Some((Err(std::io::Error::other("torn")), state)),
            (None, End::Silent) => std::future::pending().await,
        }
    });
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from_stream(body)).unwrap()
}
