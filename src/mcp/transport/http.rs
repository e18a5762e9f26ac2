use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::stream::BoxStream;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{
        ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};
use rmcp::{
    model::{
        ClientJsonRpcMessage, ClientRequest, ErrorCode, ErrorData, JsonRpcMessage, RequestId,
        ServerJsonRpcMessage, ServerResult,
    },
    transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError, SseError, StreamableHttpClient,
        StreamableHttpError, StreamableHttpPostResponse,
    },
};
use sse_stream::Sse;
use url::Url;

use crate::{
    mcp::{
        identity::Identity,
        transport::{MAX_MESSAGE, asked::Asked, put_in, sse},
    },
    net::{self, AddressRules},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of the body of an answer that is none.
const MAX_ERROR: usize = 64 * 1024;
const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

type HttpError = StreamableHttpError<reqwest::Error>;

/// The HTTP connections of one server, which all its users share.
pub fn client(rules: &Arc<AddressRules>, url: &Url) -> Result<Client, String> {
    net::client(rules, url.port_or_known_default())
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|err| format!("the HTTP client cannot be made: {err}"))
}

/// How messages reach one server: the library's transport calls it for each.
#[derive(Clone)]
pub struct HttpWire {
    client: Client,
    /// Of the connection itself: what belongs to no call.
    identity: Identity,
    has_session: Arc<AtomicBool>,
    asked: Asked,
}

impl HttpWire {
    pub fn new(client: Client, identity: Identity) -> Self {
        Self { client, identity, has_session: Arc::default(), asked: Asked::default() }
    }

    /// Whether the server keeps a session for this connection, so that it belongs to one identity.
    pub fn has_session(&self) -> bool {
        self.has_session.load(Ordering::Relaxed)
    }

    async fn post(
        &self,
        uri: &str,
        mut message: ClientJsonRpcMessage,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        // Nothing has been sent: the caller is told why.
        let own = put_in(&mut message)
            .map_err(|err| HttpError::UnexpectedServerResponse(err.to_string().into()))?;
        let own = own.or_else(|| self.asked.restore(&mut message));
        let identity = own.unwrap_or_else(|| self.identity.clone());
        let body = serde_json::to_vec(&message)?;
        let mut request = self
            .client
            .post(uri)
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, JSON)
            .body(body);
        if let Some(session) = session {
            request = request.header(SESSION_ID, session);
        }
        let response = with_headers(request, headers, &identity).send().await?;
        let session_id = header(response.headers(), &SESSION_ID).map(str::to_owned);
        if session_id.is_some() {
            self.has_session.store(true, Ordering::Relaxed);
        }
        check_status(&response, session)?;
        let waits = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            JsonRpcMessage::Response(_)
            | JsonRpcMessage::Notification(_)
            | JsonRpcMessage::Error(_) => None,
        };
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT)
            || (status.is_success() && waits.is_none())
        {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        let kind = header(response.headers(), &CONTENT_TYPE).unwrap_or_default().to_owned();
        if !status.is_success() {
            let is_discovery = session.is_none() && is_discovery(&message);
            return refused(response, &kind, &identity, is_discovery.then_some(waits).flatten())
                .await;
        }
        if kind.starts_with(EVENT_STREAM) {
            let asked = self.asked.stream(&identity);
            let events = sse::events(response, identity, waits, asked);
            return Ok(StreamableHttpPostResponse::Sse(events, session_id));
        }
        if !kind.starts_with(JSON) {
            return Err(HttpError::UnexpectedContentType(Some(kind).filter(|it| !it.is_empty())));
        }
        let body = read(response, MAX_MESSAGE).await?;
        match parse(&body, &identity) {
            Some(answer) if is_discovery(&message) && !is_discovered(&answer) => {
                Ok(StreamableHttpPostResponse::Json(not_discovered(answer), None))
            }
            Some(answer) => Ok(StreamableHttpPostResponse::Json(answer, session_id)),
            None => Err(unexpected("its answer is no JSON-RPC message")),
        }
    }
}

impl StreamableHttpClient for HttpWire {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        self.post(&uri, message, session_id.as_deref(), custom_headers).await
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        let request = self.client.delete(uri.as_ref()).header(SESSION_ID, session_id.as_ref());
        with_headers(request, custom_headers, &self.identity).send().await?;
        Ok(())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpError> {
        // Without a session the rest of an answer may be somebody else's.
        let Some(session_id) = session_id else { return Err(HttpError::ServerDoesNotSupportSse) };
        let mut request = self
            .client
            .get(uri.as_ref())
            .header(ACCEPT, EVENT_STREAM)
            .header(SESSION_ID, session_id.as_ref());
        if let Some(last_event_id) = last_event_id {
            request = request.header(LAST_EVENT_ID, last_event_id);
        }
        let response = with_headers(request, custom_headers, &self.identity).send().await?;
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Err(HttpError::ServerDoesNotSupportSse);
        }
        check_status(&response, Some(&session_id))?;
        let kind = header(response.headers(), &CONTENT_TYPE).unwrap_or_default();
        if !response.status().is_success() || !kind.starts_with(EVENT_STREAM) {
            return Err(HttpError::ServerDoesNotSupportSse);
        }
        let asked = self.asked.stream(&self.identity);
        Ok(sse::events(response, self.identity.clone(), None, asked))
    }
}

/// Whether a server that takes no messages here speaks the transport of 2024, which nobody should any more.
pub async fn is_old_sse(client: &Client, url: &Url, identity: &Identity) -> bool {
    let request = client.get(url.clone()).header(ACCEPT, EVENT_STREAM);
    let response = with_headers(request, HashMap::new(), identity).send().await;
    response.is_ok_and(|it| {
        it.status().is_success()
            && header(it.headers(), &CONTENT_TYPE).is_some_and(|it| it.starts_with(EVENT_STREAM))
    })
}

/// The protocol's own headers first: no credential replaces them.
fn with_headers(
    request: RequestBuilder,
    protocol: HashMap<HeaderName, HeaderValue>,
    identity: &Identity,
) -> RequestBuilder {
    let mut headers: HeaderMap = identity.headers().clone();
    headers.extend(protocol.into_iter().map(|(name, value)| (Some(name), value)));
    request.headers(headers)
}

/// What an answer's status alone decides.
fn check_status(response: &Response, session: Option<&str>) -> Result<(), HttpError> {
    let status = response.status();
    let challenge = header(response.headers(), &WWW_AUTHENTICATE);
    match status {
        StatusCode::UNAUTHORIZED => {
            let challenge = challenge.unwrap_or_default().to_owned();
            Err(HttpError::AuthRequired(AuthRequiredError::new(challenge)))
        }
        StatusCode::FORBIDDEN if challenge.is_some() => {
            let challenge = challenge.unwrap_or_default().to_owned();
            Err(HttpError::InsufficientScope(InsufficientScopeError::new(challenge, None)))
        }
        StatusCode::NOT_FOUND if session.is_some() => Err(HttpError::SessionExpired),
        StatusCode::TOO_MANY_REQUESTS => Err(status_error(response).into()),
        _ if status.is_redirection() => {
            Err(unexpected("it redirects elsewhere, which is not followed"))
        }
        _ => Ok(()),
    }
}

/// An answer that is no success: its JSON-RPC error where it has one.
async fn refused(
    response: Response,
    kind: &str,
    identity: &Identity,
    discovery: Option<RequestId>,
) -> Result<StreamableHttpPostResponse, HttpError> {
    let status = response.status();
    let status_error = status_error(&response);
    let body = read(response, MAX_ERROR).await.unwrap_or_default();
    let error = match parse(&body, identity) {
        Some(JsonRpcMessage::Error(error)) if kind.starts_with(JSON) => Some(error),
        _ => None,
    };
    // A server of the older era knows no discovery: the library goes on with `initialize`.
    if let Some(id) = discovery.filter(|_| status.is_client_error() && status != 403) {
        let error = error.map_or_else(
            || ErrorData::invalid_request(format!("HTTP {}", status.as_u16()), None),
            |it| it.error,
        );
        let message = ServerJsonRpcMessage::error(error, Some(id));
        return Ok(StreamableHttpPostResponse::Json(message, None));
    }
    match error {
        Some(error) if status != StatusCode::FORBIDDEN => {
            Ok(StreamableHttpPostResponse::Json(JsonRpcMessage::Error(error), None))
        }
        _ => Err(status_error.into()),
    }
}

fn is_discovery(message: &ClientJsonRpcMessage) -> bool {
    matches!(message, JsonRpcMessage::Request(request)
        if matches!(request.request, ClientRequest::DiscoverRequest(_)))
}

/// Whether an answer to a discovery is one.
fn is_discovered(answer: &ServerJsonRpcMessage) -> bool {
    match answer {
        JsonRpcMessage::Response(response) => {
            matches!(response.result, ServerResult::DiscoverResult(_))
        }
        JsonRpcMessage::Error(_) | JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => {
            true
        }
    }
}

/// A server of the older era that answers anything with something: the library goes on with `initialize`.
fn not_discovered(answer: ServerJsonRpcMessage) -> ServerJsonRpcMessage {
    match answer {
        JsonRpcMessage::Response(response) => {
            let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "no discovery", None);
            ServerJsonRpcMessage::error(error, Some(response.id))
        }
        other => other,
    }
}

fn status_error(response: &Response) -> HttpStatusError {
    let retry_after = header(response.headers(), &RETRY_AFTER).map(str::to_owned);
    HttpStatusError::new(response.status().as_u16(), retry_after)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parse(body: &[u8], identity: &Identity) -> Option<ServerJsonRpcMessage> {
    let text = str::from_utf8(body).ok()?;
    serde_json::from_str(&identity.scrub(text)).ok()
}

async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, HttpError> {
    let too_large = || HttpError::ResponseBodyTooLarge { max_size: limit };
    if response.content_length().is_some_and(|it| it > limit as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn unexpected(message: &'static str) -> HttpError {
    HttpError::UnexpectedServerResponse(message.into())
}
