//! Server-sent events: what comes out of a channel, as the bytes of a response.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    http::{
        HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::Response,
};
use bytes::Bytes;
use futures::Stream;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep},
};
use tracing::error;

use crate::telemetry::count;

/// After so much silence a comment says that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_COMMENT: &[u8] = b": keep-alive\n\n";

/// Events that are ready at once go out together, up to about this much.
const CHUNK_BYTES: usize = 16 * 1024;

/// Writes events as frames.
// A trait because the same stream has a plain and a simple form, and the inspector a third.
pub trait Encoder: Send + Unpin + 'static {
    type Event: Send + 'static;

    fn encode(&mut self, event: Self::Event, frames: &mut Vec<u8>);

    /// What follows the last event.
    fn finish(&mut self, frames: &mut Vec<u8>);
}

/// An event stream of all that comes out of `events`. When the client leaves, the receiver is dropped.
pub fn response<E: Encoder>(events: mpsc::Receiver<E::Event>, encoder: E) -> Response {
    let mut response = Response::new(Body::from_stream(Frames::new(events, encoder, KEEP_ALIVE)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        const { HeaderName::from_static("x-accel-buffering") },
        HeaderValue::from_static("no"),
    );
    response
}

/// Adds `id: N`, the number of the frame that is written next.
pub fn write_id(frames: &mut Vec<u8>, number: u64) {
    frames.extend_from_slice(format!("id: {number}\n").as_bytes());
}

/// Adds `data: {json}`, under a name where it has one.
pub fn write_frame(frames: &mut Vec<u8>, name: Option<&str>, event: &impl Serialize) {
    let start = frames.len();
    if let Some(name) = name {
        frames.extend_from_slice(b"event: ");
        frames.extend_from_slice(name.as_bytes());
        frames.push(b'\n');
    }
    frames.extend_from_slice(b"data: ");
    match serde_json::to_writer(&mut *frames, event) {
        Ok(()) => frames.extend_from_slice(b"\n\n"),
        Err(err) => {
            frames.truncate(start);
            error!(error = %err, "an event cannot be written as JSON: {err}");
        }
    }
}

/// Small while it is idle: there are thousands of them.
struct Frames<E: Encoder> {
    events: mpsc::Receiver<E::Event>,
    encoder: E,
    keep_alive: Duration,
    /// Since when nothing was sent.
    silent_since: Instant,
    /// Looks at `silent_since` when it fires, so that an event need not touch the timer.
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

impl<E: Encoder> Drop for Frames<E> {
    fn drop(&mut self) {
        count::stream_closed();
    }
}

impl<E: Encoder> Frames<E> {
    fn new(events: mpsc::Receiver<E::Event>, encoder: E, keep_alive: Duration) -> Self {
        count::stream_opened();
        let timer = Box::pin(tokio::time::sleep(keep_alive));
        Self { events, encoder, keep_alive, silent_since: Instant::now(), timer, ended: false }
    }
}

impl<E: Encoder> Stream for Frames<E> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut frames = Vec::new();
        while !this.ended && frames.len() < CHUNK_BYTES {
            match this.events.poll_recv(cx) {
                Poll::Ready(Some(event)) => this.encoder.encode(event, &mut frames),
                Poll::Ready(None) => {
                    this.ended = true;
                    this.encoder.finish(&mut frames);
                }
                Poll::Pending => break,
            }
        }
        if !frames.is_empty() {
            this.silent_since = Instant::now();
            return Poll::Ready(Some(Ok(frames.into())));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        loop {
            ready!(this.timer.as_mut().poll(cx));
            let now = Instant::now();
            let due = this.silent_since + this.keep_alive;
            if due <= now {
                this.silent_since = now;
                this.timer.as_mut().reset(now + this.keep_alive);
                return Poll::Ready(Some(Ok(Bytes::from_static(KEEP_ALIVE_COMMENT))));
            }
            this.timer.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::BodyExt;

    use super::*;

    struct Numbers;

    impl Encoder for Numbers {
        type Event = u32;

        fn encode(&mut self, event: u32, frames: &mut Vec<u8>) {
            write_frame(frames, None, &event);
        }

        fn finish(&mut self, frames: &mut Vec<u8>) {
            write_frame(frames, Some("end"), &"\n");
        }
    }

    #[tokio::test]
    async fn events_that_are_ready_at_once_are_one_chunk() {
        let (sender, receiver) = mpsc::channel(8);
        let mut frames = Frames::new(receiver, Numbers, KEEP_ALIVE);
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        assert_eq!(frames.next().await.unwrap().unwrap(), "data: 1\n\ndata: 2\n\n");
        sender.send(3).await.unwrap();
        drop(sender);
        let last = "data: 3\n\nevent: end\ndata: \"\\n\"\n\n";
        assert_eq!(frames.next().await.unwrap().unwrap(), last);
        assert!(frames.next().await.is_none());
    }

    #[tokio::test]
    async fn silence_is_filled_with_comments() {
        let (sender, receiver) = mpsc::channel(8);
        let mut frames = Frames::new(receiver, Numbers, Duration::from_millis(1));
        assert_eq!(frames.next().await.unwrap().unwrap(), KEEP_ALIVE_COMMENT);
        assert_eq!(frames.next().await.unwrap().unwrap(), KEEP_ALIVE_COMMENT);
        sender.send(1).await.unwrap();
        assert_eq!(frames.next().await.unwrap().unwrap(), "data: 1\n\n");
    }

    #[tokio::test]
    async fn an_event_puts_the_comment_off() {
        let (sender, receiver) = mpsc::channel(8);
        let mut frames = Frames::new(receiver, Numbers, KEEP_ALIVE);
        frames.timer.as_mut().reset(Instant::now());
        frames.timer.as_mut().await;
        assert!(futures::poll!(frames.next()).is_pending());
        assert!(frames.timer.deadline() > Instant::now());
        drop(sender);
    }

    #[tokio::test]
    async fn a_client_that_leaves_drops_the_receiver() {
        let (sender, receiver) = mpsc::channel(8);
        let response = response(receiver, Numbers);
        drop(response);
        sender.closed().await;
    }

    #[tokio::test]
    async fn the_headers_keep_proxies_from_holding_it_back() {
        let (sender, receiver) = mpsc::channel(8);
        drop(sender);
        let response = response(receiver, Numbers);
        let headers = response.headers();
        assert_eq!(headers[CONTENT_TYPE], "text/event-stream");
        assert_eq!(headers[CACHE_CONTROL], "no-cache");
        assert_eq!(headers["x-accel-buffering"], "no");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "event: end\ndata: \"\\n\"\n\n");
    }
}
