//! The ChatKit endpoint: a body becomes a request, its answer JSON or an event stream.

use axum::{
    Json,
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method,
        header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};
use tracing::Instrument;

use crate::{
    chatkit::{self, ThreadStreamEvent},
    ops::{self, Answer, Client, Links},
    telemetry::carry,
};

use super::{
    Server, attachments,
    auth::{self, Caller, NewSession},
    body, context,
    error::ApiError,
    limits,
    simple::SimpleEncoder,
    sse::{self, Encoder},
};

/// How the events of an answer are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    /// As the ChatKit client reads them.
    ChatKit,
    /// Named events, for clients without a library.
    Simple,
}

/// `POST /chatkit`
pub async fn answer(server: &Server, request: Request) -> Result<Response, ApiError> {
    if request.method() != Method::POST {
        return Err(ApiError::method_not_allowed("POST"));
    }
    let links = attachments::links(server, &request, request.uri().path());
    let client = find_client(&request);
    let (headers, body, caller) = receive(server, request).await?;
    let request = chatkit::Request::parse(&body)?;
    respond(server, &headers, caller, request, links, client, EventFormat::ChatKit).await
}

/// `?resumable=true`: the client may leave an answer and read on later.
fn find_client(request: &Request) -> Client {
    let query = request.uri().query().unwrap_or_default();
    let resumable = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "resumable" && value == "true");
    if resumable { Client::Resuming } else { Client::Once }
}

/// `GET /chatkit/options`: what the page may show this user.
pub async fn options(server: &Server, request: Request) -> Result<Response, ApiError> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(ApiError::method_not_allowed("GET, HEAD"));
    }
    let headers = request.headers();
    let caller = auth::authenticate(server, headers, NewSession::Make).await?;
    limits::admit_user(server, &caller.user).await?;
    let context = context::gather(server, headers, Some(&caller), &[]);
    let mut options = ops::options(&server.app, &context)?;
    if let Some(login) = auth::show_login(&server.app.generation().config, &caller) {
        options["login"] = login;
    }
    Ok(for_caller(Json(options).into_response(), caller.set_cookie))
}

/// The parts of a request with a JSON body, once it is clear who sends it.
pub async fn receive(
    server: &Server,
    request: Request,
) -> Result<(HeaderMap, bytes::Bytes, Caller), ApiError> {
    let (parts, body) = request.into_parts();
    body::require_json(&parts.headers).map_err(ApiError::closing)?;
    let caller = auth::authenticate(server, &parts.headers, NewSession::Make)
        .await
        .map_err(ApiError::closing)?;
    limits::admit_user(server, &caller.user).await.map_err(ApiError::closing)?;
    let limit = server.app.generation().config.limits.body_bytes;
    let body = body::read(&parts.headers, body, limit).await?;
    Ok((parts.headers, body, caller))
}

/// What the operation answers with.
pub async fn respond(
    server: &Server,
    headers: &HeaderMap,
    caller: Caller,
    request: chatkit::Request,
    links: Links,
    client: Client,
    format: EventFormat,
) -> Result<Response, ApiError> {
    let context = context::gather(server, headers, Some(&caller), &request.metadata);
    let answer = if request.operation.only_reads() {
        ops::chatkit(&server.app, caller.user, request, context, links, client).await?
    } else {
        let app = server.app.clone();
        // A task of its own, because a message counts even if its sender leaves before it is stored.
        let operation =
            async move { ops::chatkit(&app, caller.user, request, context, links, client).await };
        match server.app.tasks.spawn(carry(operation.in_current_span())).await {
            Ok(answer) => answer?,
            Err(err) => return Err(ApiError::failed(err)),
        }
    };
    let response = match (answer, format) {
        (Answer::Json(body), _) => json(body),
        (Answer::Stream(stream), EventFormat::ChatKit) => {
            let next_number = stream.first_number.filter(|_| client == Client::Resuming);
            sse::response(stream.receiver, ChatKitEncoder { next_number })
        }
        (Answer::Stream(stream), EventFormat::Simple) => {
            sse::response(stream.receiver, SimpleEncoder::default())
        }
    };
    Ok(for_caller(response, caller.set_cookie))
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer that is nobody else's, with the session that was made for its browser.
pub fn for_caller(mut response: Response, set_cookie: Option<HeaderValue>) -> Response {
    let headers = response.headers_mut();
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(cookie) = set_cookie {
        headers.insert(SET_COOKIE, cookie);
    }
    response
}

/// Of a frame with a word in it.
const FRAME_BYTES: usize = 256;

/// `data: {json}`, one event a frame, with its number before it where the client asked for numbers.
struct ChatKitEncoder {
    next_number: Option<u64>,
}

impl Encoder for ChatKitEncoder {
    type Event = Vec<ThreadStreamEvent>;

    fn encode(&mut self, events: Vec<ThreadStreamEvent>, frames: &mut Vec<u8>) {
        // Room for a burst at once.
        frames.reserve(events.len() * FRAME_BYTES);
        for event in &events {
            if let Some(number) = &mut self.next_number {
                sse::write_id(frames, *number);
                *number += 1;
            }
            sse::write_frame(frames, None, event);
        }
    }

    fn finish(&mut self, _frames: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn an_event_is_one_frame_on_one_line() {
        let mut frames = Vec::new();
        let event = ThreadStreamEvent::ProgressUpdate { icon: None, text: "a\n\nb".to_owned() };
        let mut encoder = ChatKitEncoder { next_number: None };
        encoder.encode(vec![event], &mut frames);
        encoder.finish(&mut frames);
        insta::assert_snapshot!(String::from_utf8(frames).unwrap(), @r#"data: {"type":"progress_update","text":"a\n\nb"}"#);
    }

    #[test]
    fn an_answer_is_kept_by_no_cache_and_brings_the_session_that_was_made() {
        let cookie = HeaderValue::from_static("kitfox_session=x");
        let response = for_caller(json(b"{}".to_vec()), Some(cookie));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[SET_COOKIE], "kitfox_session=x");
    }
}
