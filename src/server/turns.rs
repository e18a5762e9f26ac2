//! Turns that run, below each path of the chat: `GET …/threads/{id}/stream?after=N` reads on, `POST …/threads/{id}/stop` ends.

use axum::{
    Json,
    extract::Request,
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{json, value::RawValue};
use tokio::sync::mpsc;
use tracing::warn;

use crate::{
    app::{LogReader, NumberedEvent},
    chatkit::ThreadId,
    ops,
};

use super::{
    Server,
    auth::{self, NewSession},
    chatkit,
    error::ApiError,
    limits,
    sse::{self, Encoder},
};

/// Times that events wait for a slow client before no more are taken from the log.
const CLIENT_BUFFER: usize = 4;

/// Something below `/chatkit/threads`.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    thread: ThreadId,
    act: Act,
}

#[derive(Debug, PartialEq, Eq)]
enum Act {
    Stream,
    Stop,
}

/// What is meant below one of the chat's paths.
pub fn find(chatkit_paths: &[String], path: &str) -> Option<Target> {
    chatkit_paths.iter().find_map(|chat| {
        let rest = path.strip_prefix(chat.as_str())?.strip_prefix("/threads/")?;
        let (id, act) = rest.split_once('/')?;
        let act = match act {
            "stream" => Act::Stream,
            "stop" => Act::Stop,
            _ => return None,
        };
        Some(Target { thread: ThreadId::from(id), act })
    })
}

pub async fn answer(
    server: &Server,
    target: Target,
    request: Request,
) -> Result<Response, ApiError> {
    let expected = match target.act {
        Act::Stream => Method::GET,
        Act::Stop => Method::POST,
    };
    if *request.method() != expected {
        let allow = if expected == Method::GET { "GET" } else { "POST" };
        return Err(ApiError::method_not_allowed(allow));
    }
    let caller = auth::authenticate(server, request.headers(), NewSession::Never).await?;
    limits::admit_user(server, &caller.user).await?;
    let response = match target.act {
        Act::Stream => {
            let after = find_after(&request)?;
            match ops::attach(&server.app, &caller.user, &target.thread, after).await? {
                None => StatusCode::NO_CONTENT.into_response(),
                Some(reader) => {
                    let (sender, events) = mpsc::channel(CLIENT_BUFFER);
                    server.app.tasks.spawn(copy(reader, sender));
                    sse::response(events, LogEncoder)
                }
            }
        }
        Act::Stop => {
            let stopped = ops::stop(&server.app, &caller.user, &target.thread).await?;
            Json(json!({ "stopped": stopped })).into_response()
        }
    };
    Ok(chatkit::for_caller(response, caller.set_cookie))
}

/// The number of the last event that the client has: from `?after=`, or from what a browser sends when it connects again.
fn find_after(request: &Request) -> Result<u64, ApiError> {
    let query = request.uri().query().unwrap_or_default();
    let after = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "after")
        .map(|(_, value)| value.into_owned());
    let last = || Some(request.headers().get("last-event-id")?.to_str().ok()?.to_owned());
    let Some(after) = after.or_else(last) else { return Ok(0) };
    after.parse().map_err(|_| {
        ApiError::bad_request("`after`: is not the number of an event: take it from a frame's `id`")
    })
}

/// Copies a log until it ends or the client leaves.
async fn copy(mut reader: LogReader, sender: mpsc::Sender<Vec<NumberedEvent>>) {
    loop {
        let events = tokio::select! {
            events = reader.read() => events,
            () = sender.closed() => return,
        };
        match events {
            Ok(Some(events)) => {
                if sender.send(events).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            // The client finds its stream cut, and what to do when it asks again.
            Err(err) => {
                warn!("a client that reads too slowly is cut off: {err}");
                return;
            }
        }
    }
}

struct LogEncoder;

impl Encoder for LogEncoder {
    type Event = Vec<NumberedEvent>;

    fn encode(&mut self, events: Vec<NumberedEvent>, frames: &mut Vec<u8>) {
        for NumberedEvent { number, json } in events {
            let Ok(event) = serde_json::from_str::<&RawValue>(&json) else { continue };
            sse::write_id(frames, number);
            sse::write_frame(frames, None, &event);
        }
    }

    fn finish(&mut self, _frames: &mut Vec<u8>) {}
}
