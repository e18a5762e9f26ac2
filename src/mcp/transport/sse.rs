use std::{borrow::Cow, io};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use rmcp::{
    model::{ErrorData, RequestId, ServerJsonRpcMessage},
    transport::streamable_http_client::SseError,
};
use sse_stream::{Sse, SseStream};

use crate::mcp::{
    identity::Identity,
    transport::{MAX_MESSAGE, asked},
};

/// The events of an answer, each freed of the secrets that went out. One that is too large ends it: where a
/// `request` waits, with an error for it.
pub fn events(
    response: reqwest::Response,
    identity: Identity,
    request: Option<RequestId>,
    asked: asked::Stream,
) -> BoxStream<'static, Result<Sse, SseError>> {
    let bytes = bounded(response.bytes_stream().map(|it| it.map_err(io::Error::other)));
    let mut events = SseStream::from_bytes_stream(bytes);
    Box::pin(async_stream::stream! {
        while let Some(event) = events.next().await {
            match event {
                Ok(mut event) => {
                    if let Some(data) = &mut event.data {
                        if let Cow::Owned(scrubbed) = identity.scrub(data) {
                            *data = scrubbed;
                        }
                        if let Cow::Owned(taken) = asked.take(data) {
                            *data = taken;
                        }
                    }
                    yield Ok(event);
                }
                Err(err) if is_too_large(&err) => {
                    if let Some(event) = request.and_then(too_large) {
                        yield Ok(event);
                    }
                    return;
                }
                Err(err) => {
                    yield Err(err);
                    return;
                }
            }
        }
    })
}

fn too_large(request: RequestId) -> Option<Sse> {
    let message = format!("the answer is larger than {} MiB", MAX_MESSAGE >> 20);
    let error = ErrorData::internal_error(message, None);
    let error = ServerJsonRpcMessage::error(error, Some(request));
    Some(Sse { data: Some(serde_json::to_string(&error).ok()?), ..Sse::default() })
}

#[derive(Debug, thiserror::Error)]
#[error("an event is too large")]
struct TooLarge;

fn is_too_large(err: &SseError) -> bool {
    let SseError::Body(err) = err else { return false };
    let err = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    matches!(err, Some(err) if err.is::<TooLarge>())
}

/// The bytes, up to the first event that is larger than a message may be.
fn bounded(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> BoxStream<'static, io::Result<Bytes>> {
    let mut size = EventSize::default();
    let bounded = bytes.map(move |chunk| {
        let chunk = chunk?;
        if size.add(&chunk) > MAX_MESSAGE {
            return Err(io::Error::other(TooLarge));
        }
        Ok(chunk)
    });
    bounded.boxed()
}

/// Counts the bytes since the last empty line.
#[derive(Default)]
struct EventSize {
    event: usize,
    line: usize,
}

impl EventSize {
    /// The largest size meanwhile.
    fn add(&mut self, chunk: &[u8]) -> usize {
        let mut largest = 0;
        for line in chunk.split_inclusive(|it| *it == b'\n') {
            self.event += line.len();
            largest = largest.max(self.event);
            let text = line.iter().filter(|it| !matches!(it, b'\n' | b'\r')).count();
            self.line += text;
            if line.ends_with(b"\n") {
                if self.line == 0 {
                    self.event = 0;
                }
                self.line = 0;
            }
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::EventSize;

    #[test]
    fn an_empty_line_ends_an_event() {
        let mut size = EventSize::default();
        assert_eq!(size.add(b"data: 1\r"), 8);
        assert_eq!(size.add(b"\n\r\ndata"), 11);
        assert_eq!(size.add(b": 22\n"), 9);
        assert_eq!(size.add(b"data: 3\n\n: ping\n\n"), 18);
        assert_eq!(size.add(b"x"), 1);
    }
}
