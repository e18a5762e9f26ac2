use std::{
    collections::VecDeque,
    error::Error,
    fmt::Write,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_stream::try_stream;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use jiff::fmt::rfc2822;
use reqwest::{
    RequestBuilder, Response,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    multipart::Form,
    redirect::Policy,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use url::Url;

use super::{
    ModelError, ModelEvent,
    failure::{Complaint, Failure},
    sse::{Body, SseParser},
};
use crate::{config::ProviderConfig, telemetry::traceparent};

/// No longer than this is waited, whatever Retry-After says.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(20);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// How long the end of a body is waited for after the answer's end, so that the connection is kept.
const END_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_ERROR_BYTES: usize = 64 << 10;
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Of a streamed answer: many times the longest, with images in it.
const MAX_STREAM_BYTES: usize = 128 << 20;
const MAX_MESSAGE_CHARS: usize = 400;

/// Where a provider is asked, and how patiently.
pub struct Endpoint {
    /// Its key in `[providers]`.
    name: String,
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    first_byte_timeout: Duration,
    idle_timeout: Duration,
    retries: u32,
}

/// How an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Streamed,
    Whole,
}

/// Makes events of what an API streams.
// A trait because there are two APIs, and what can go wrong on the way is the same.
pub trait Decoder: Send {
    /// Reads the data of one server-sent event.
    fn read(&mut self, data: &[u8], events: &mut VecDeque<ModelEvent>) -> Result<(), Complaint>;

    /// Whether the answer is whole, though the stream may still say something about it.
    fn is_whole(&self) -> bool;

    /// Closes an answer whose body has ended in order; false if there was none.
    fn end(&mut self, events: &mut VecDeque<ModelEvent>) -> bool;
}

/// A client for providers that allow this long for connecting.
pub fn client(connect_timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    // Fails if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        // A redirect would carry the key and the conversation to where the operator did not send them.
        .redirect(Policy::none())
        .user_agent(concat!("kitfox/", env!("CARGO_PKG_VERSION")))
        .build()
}

impl Endpoint {
    /// `path` is what the API adds to the base URL. Fails with what is wrong with the configuration.
    pub fn new(
        name: &str,
        path: &[&str],
        config: &ProviderConfig,
        client: reqwest::Client,
    ) -> Result<Self, String> {
        let wrong_url = |why: &str| {
            format!("`base_url` of [providers.{name}] is no address of a model provider: {why}")
        };
        let mut url = Url::parse(&config.base_url).map_err(|err| wrong_url(&err.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong_url("it should begin with https:// or http://"));
        }
        url.path_segments_mut()
            .map_err(|()| wrong_url("it has no path"))?
            .pop_if_empty()
            .extend(path);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &config.api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                .map_err(|_| {
                    format!("`api_key` of [providers.{name}] holds characters that no key has")
                })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (header, value) in &config.headers {
            let wrong = || format!("`{header}` in [providers.{name}.headers] is no HTTP header");
            let header_name = HeaderName::try_from(header).map_err(|_| wrong())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(header_name, value);
        }
        Ok(Self {
            name: name.to_owned(),
            client,
            url,
            headers,
            first_byte_timeout: config.first_byte_timeout,
            idle_timeout: config.idle_timeout,
            retries: config.retries,
        })
    }

    /// Sends `body` and streams what a decoder makes of the answer.
    pub fn stream<D: Decoder + 'static>(
        self: Arc<Self>,
        body: Bytes,
        new_decoder: impl Fn() -> D + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        Box::pin(try_stream! {
            let mut answer = self.retry(|| self.begin(body.clone(), new_decoder())).await?;
            // A stream may take minutes: what began it is not kept.
            drop((body, new_decoder));
            while let Some(event) = answer.next(&self).await? {
                yield event;
            }
        })
    }

    /// Sends `body` and gives the whole answer.
    pub async fn ask(&self, body: Bytes) -> Result<Value, ModelError> {
        self.ask_with(|request| request.headers(self.headers.clone()).body(body.clone())).await
    }

    /// Sends a form and gives the whole answer.
    pub async fn ask_with_form(
        &self,
        form: impl Fn() -> Form + Send + Sync,
    ) -> Result<Value, ModelError> {
        let mut headers = self.headers.clone();
        // The form says its own.
        headers.remove(CONTENT_TYPE);
        self.ask_with(|request| request.headers(headers.clone()).multipart(form())).await
    }

    async fn ask_with(
        &self,
        fill: impl Fn(RequestBuilder) -> RequestBuilder + Send + Sync,
    ) -> Result<Value, ModelError> {
        self.retry(|| async {
            let deadline = Instant::now() + self.first_byte_timeout;
            let request = fill(self.client.post(self.url.clone()));
            let response = self.send(request, deadline).await?;
            let text = self.read_all(response, MAX_ANSWER_BYTES).await?;
            let Ok(answer) = serde_json::from_slice::<Value>(&text) else {
                return Err(self.failed("the answer is no JSON"));
            };
            if answer.get("error").is_some_and(|error| !error.is_null()) {
                return Err(self.complain(Complaint::read(&answer), None));
            }
            Ok(answer)
        })
        .await
    }

    async fn retry<T, F>(&self, attempt: impl Fn() -> F + Send + Sync) -> Result<T, ModelError>
    where
        F: Future<Output = Result<T, Failure>> + Send,
        T: Send,
    {
        let mut tries = 0;
        loop {
            let failure = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.retry || tries == self.retries {
                return Err(failure.error);
            }
            let wait =
                failure.retry_after.map_or_else(|| backoff(tries), |it| it.min(MAX_RETRY_AFTER));
            tries += 1;
            tracing::warn!(
                provider = self.name,
                tries,
                ?wait,
                "model provider {} failed and is asked again: {}",
                self.name,
                failure.error
            );
            sleep(wait).await;
        }
    }

    /// Sends `body` and waits for the first event.
    async fn begin<D: Decoder>(&self, body: Bytes, decoder: D) -> Result<Answer<D>, Failure> {
        let deadline = Instant::now() + self.first_byte_timeout;
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let response = self.send(request, deadline).await?;
        let mut answer = Answer {
            body: response.bytes_stream().boxed(),
            first_byte: Some(deadline),
            parser: SseParser::default(),
            decoder,
            events: VecDeque::new(),
            failure: None,
            is_done: false,
            bytes: 0,
        };
        answer.fill(self).await;
        match answer.failure.take() {
            Some(failure) if answer.events.is_empty() => Err(failure),
            failure => {
                answer.failure = failure;
                Ok(answer)
            }
        }
    }

    async fn send(&self, request: RequestBuilder, deadline: Instant) -> Result<Response, Failure> {
        let request = match traceparent() {
            Some(parent) => request.header("traceparent", parent),
            None => request,
        };
        let response = match timeout_at(deadline, request.send()).await {
            Err(_) => return Err(self.late(self.first_byte_timeout)),
            Ok(Err(err)) => {
                let message = format!("`{}` cannot be reached: {}", self.name, causes(err));
                return Err(self.overloaded(&message));
            }
            Ok(Ok(response)) => response,
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        // The status says enough, if there is no more.
        let text = self.read_all(response, MAX_ERROR_BYTES).await.unwrap_or_default();
        let mut complaint = serde_json::from_slice::<Value>(&text).map_or_else(
            |_| Complaint::new(String::from_utf8_lossy(&text)),
            |body| Complaint::read(&body),
        );
        complaint.status = Some(status);
        Err(self.complain(complaint, retry_after))
    }

    async fn read_all(&self, mut response: Response, limit: usize) -> Result<Bytes, Failure> {
        let mut body = BytesMut::new();
        loop {
            match timeout(self.idle_timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= limit => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Ok(Some(_))) => return Err(self.failed("the answer is too long")),
                Ok(Ok(None)) => return Ok(body.freeze()),
                Ok(Err(err)) => return Err(self.cut(err)),
                Err(_) => return Err(self.late(self.idle_timeout)),
            }
        }
    }

    fn complain(&self, mut complaint: Complaint, retry_after: Option<Duration>) -> Failure {
        complaint.message = self.clean(&complaint.message);
        complaint.into_failure(&self.name, retry_after)
    }

    fn cut(&self, err: reqwest::Error) -> Failure {
        let message = format!("`{}` broke off: {}", self.name, causes(err));
        Failure { error: ModelError::Failed(self.clean(&message)), retry: true, retry_after: None }
    }

    fn late(&self, timeout: Duration) -> Failure {
        let message = format!("`{}` said nothing for {timeout:?}", self.name);
        // Who waited that long should not have to wait as long again.
        Failure { retry: false, ..self.overloaded(&message) }
    }

    fn overloaded(&self, message: &str) -> Failure {
        let error = ModelError::Overloaded { message: self.clean(message), retry_after: None };
        Failure { error, retry: true, retry_after: None }
    }

    fn failed(&self, message: &str) -> Failure {
        let message = format!("`{}`: {message}", self.name);
        Failure { error: ModelError::Failed(message), retry: false, retry_after: None }
    }

    /// A text of theirs as it may be logged: short, on one line, without our credentials.
    fn clean(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for (name, value) in &self.headers {
            let value = value.to_str().unwrap_or_default();
            let secret = value.strip_prefix("Bearer ").unwrap_or(value);
            if name != CONTENT_TYPE && secret.len() >= 4 {
                clean = clean.replace(secret, "***");
            }
        }
        let words: Vec<&str> = clean.split_whitespace().collect();
        words.join(" ").chars().filter(|char| !char.is_control()).take(MAX_MESSAGE_CHARS).collect()
    }
}

/// An answer that has begun.
struct Answer<D> {
    /// Without the head, which would keep the buffer that it was read into.
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    /// When the first byte must have come; None once it has.
    first_byte: Option<Instant>,
    parser: SseParser,
    decoder: D,
    /// What was decoded and not yet given out.
    events: VecDeque<ModelEvent>,
    /// What comes after `events`.
    failure: Option<Failure>,
    /// Nothing comes after `events` but the failure.
    is_done: bool,
    /// How much of the body was read.
    bytes: usize,
}

impl<D: Decoder> Answer<D> {
    async fn next(&mut self, endpoint: &Endpoint) -> Result<Option<ModelEvent>, ModelError> {
        if self.events.is_empty() {
            self.fill(endpoint).await;
        }
        let event = self.events.pop_front();
        if event.is_none()
            && let Some(failure) = self.failure.take()
        {
            return Err(failure.error);
        }
        Ok(event)
    }

    /// Reads on until there is an event, a failure or the end.
    async fn fill(&mut self, endpoint: &Endpoint) {
        while self.events.is_empty() && !self.is_done {
            match self.parser.next_event() {
                Ok(Some(data)) => {
                    let result = self.decoder.read(data, &mut self.events);
                    self.failure = result.err().map(|it| endpoint.complain(it, None));
                    self.is_done = self.failure.is_some();
                }
                Ok(None) => self.read(endpoint).await,
                Err(_) => self.fail(endpoint.failed("an event is too long")),
            }
            if matches!(self.events.back(), Some(ModelEvent::Done(_))) {
                self.is_done = true;
                // What comes now has no meaning, but only a connection that was read up can be kept.
                let _ = timeout(END_TIMEOUT, async {
                    while let Some(Ok(_)) = self.body.next().await {}
                })
                .await;
            }
        }
    }

    /// Takes the next chunk of the body, or its end.
    async fn read(&mut self, endpoint: &Endpoint) {
        let deadline = self.first_byte.unwrap_or_else(|| Instant::now() + endpoint.idle_timeout);
        let failure = match timeout_at(deadline, self.body.next()).await {
            Ok(Some(Ok(chunk))) => {
                self.first_byte = None;
                self.bytes += chunk.len();
                if self.bytes > MAX_STREAM_BYTES {
                    return self.fail(endpoint.failed("the answer is too long"));
                }
                return self.parser.push(chunk);
            }
            Ok(None) => return self.end(endpoint),
            Ok(Some(Err(err))) => endpoint.cut(err),
            Err(_) if self.first_byte.is_some() => endpoint.late(endpoint.first_byte_timeout),
            Err(_) => endpoint.late(endpoint.idle_timeout),
        };
        if self.decoder.is_whole() {
            self.end(endpoint);
        } else {
            self.fail(failure);
        }
    }

    /// The body ended in order.
    fn end(&mut self, endpoint: &Endpoint) {
        self.is_done = true;
        if let Some(data) = self.parser.end()
            && let Err(complaint) = self.decoder.read(data, &mut self.events)
        {
            return self.fail(endpoint.complain(complaint, None));
        }
        let is_done = matches!(self.events.back(), Some(ModelEvent::Done(_)));
        if is_done || self.decoder.end(&mut self.events) {
            return;
        }
        let failure = match self.parser.body() {
            // A proxy in front of a server that is gone may answer so.
            Body::Empty => Failure { retry: true, ..endpoint.failed("the answer is empty") },
            Body::Events | Body::Json => endpoint.failed("the answer is none of this API"),
        };
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        self.is_done = true;
        self.failure = Some(failure);
    }
}

/// How long to wait after so many tries in vain, give or take a quarter.
fn backoff(tries: u32) -> Duration {
    let wait = FIRST_BACKOFF * 2_u32.pow(tries.min(6));
    wait.mul_f64(rand::random_range(0.75..1.25)).min(MAX_RETRY_AFTER)
}

/// What Retry-After says, in seconds or as a date, or `retry-after-ms`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds = headers.get("retry-after-ms").and_then(|value| value.to_str().ok());
    if let Some(milliseconds) = milliseconds.and_then(|value| value.trim().parse().ok()) {
        return Some(Duration::from_millis(milliseconds));
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = SystemTime::from(rfc2822::parse(value).ok()?.timestamp());
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// An error with its causes, without the address: it may hold a key.
fn causes(err: reqwest::Error) -> String {
    let err = err.without_url();
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let _ = write!(text, ": {err}");
        cause = err.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(name: &'static str, value: &str) -> Option<Duration> {
        let headers = [(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap())];
        retry_after(&HeaderMap::from_iter(headers))
    }

    #[test]
    fn waiting_times_are_seconds_or_dates() {
        for (name, value, expected) in [
            ("retry-after", "7", Some(Duration::from_secs(7))),
            ("retry-after", "0.5", Some(Duration::from_millis(500))),
            ("retry-after-ms", "20", Some(Duration::from_millis(20))),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(Duration::ZERO)),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
        ] {
            assert_eq!(wait(name, value), expected, "{value}");
        }
        let hour = Duration::from_hours(1);
        let date = jiff::Timestamp::now() + hour;
        let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
        let waiting = wait("retry-after", &date).unwrap();
        assert!(waiting.abs_diff(hour) < Duration::from_mins(1), "{waiting:?}");
    }

    #[test]
    fn waiting_grows_with_each_try() {
        for (tries, least, most) in
            [(0, 187, 313), (1, 375, 625), (2, 750, 1250), (99, 12_000, 20_000)]
        {
            let wait = backoff(tries).as_millis();
            assert!((least..=most).contains(&wait), "{tries}: {wait}");
        }
    }
}
