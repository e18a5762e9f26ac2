//! `wasi:http`, with the permissions, checks and limits of `ctx.http`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    header::{CONTENT_LENGTH, HeaderMap},
};
use tokio::sync::Semaphore;
use tokio_util::context::TokioContext;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::{meter::Meter, state::Caller};
use crate::plugin::{HttpBody, HttpRequest, HttpResponse, Redirects};

/// Requests of one call that are under way at one time. Others wait.
const AT_ONCE: usize = 4;
/// Of all bodies of one call: it may hold on to them.
const BODIES: usize = 64 * 1024 * 1024;
/// Of a body that it writes, before somebody takes it.
const CHUNK: usize = 16 * 1024;
/// Of one set of headers.
const HEADERS: usize = 32 * 1024;

/// What sends the requests of one instance.
#[derive(Clone)]
pub struct Fetcher {
    /// None while it is loaded.
    caller: Option<Caller>,
    meter: Arc<Meter>,
    places: Arc<Semaphore>,
    /// Bytes of bodies so far.
    used: Arc<AtomicUsize>,
}

/// What goes on beside an answer: nothing, for it is whole.
type Done = Box<dyn Future<Output = Result<(), Error>> + Send>;

pub fn context() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(HEADERS);
    context
}

impl WasiHttpHooks for Fetcher {
    fn set_host_header(&mut self) -> bool {
        // It follows from the URL that is checked.
        false
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    /// Unlike in `ctx.http` a redirect is an answer, and waiting counts as the component's time: it may do something else
    /// meanwhile.
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Done,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Done), Error>> + Send> {
        let fetcher = self.clone();
        Box::new(async move {
            let answer = fetcher.send(request, options).await.map_err(|text| {
                // It says what to do.
                Error::InternalError(Some(text))
            })?;
            Ok((answer, Box::new(async { Ok(()) }) as Done))
        })
    }
}

impl Fetcher {
    pub fn new(caller: Option<Caller>, meter: Arc<Meter>) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { caller, meter, places, used: Arc::default() }
    }

    async fn send(
        self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, String> {
        self.meter.count().map_err(|err| err.to_string())?;
        let Some(Caller { call, runtime }) = self.caller else {
            return Err("nothing can be fetched while the file is loaded".to_owned());
        };
        let _place = self.places.acquire().await.map_err(|err| err.to_string())?;
        let (parts, body) = request.into_parts();
        let most = call.host.config.limits.plugin.string_bytes;
        let body = Limited::new(body, most).collect().await.map_err(|_| {
            format!(
                "the body of the request broke off, or has more than {most} bytes, the limit: `string_bytes` in \
                 `[limits.plugin]`"
            )
        })?;
        let body = body.to_bytes();
        take(&self.used, body.len())?;
        let request = HttpRequest {
            method: parts.method.to_string(),
            url: parts.uri.to_string(),
            query: Vec::new(),
            headers: headers(&parts.headers),
            body: if body.is_empty() { HttpBody::None } else { HttpBody::Bytes(body.to_vec()) },
            // The component sees the first byte when all are there.
            timeout: options.and_then(|it| it.first_byte_timeout),
            credential: None,
        };
        let fetch = async move {
            let (plugin, context) = (&call.plugin.manifest, &call.context);
            call.host.http(plugin, context, request, Redirects::Answer).await
        };
        let answer = TokioContext::new(fetch, runtime).await.map_err(|err| err.to_string())?;
        let HttpResponse { status, headers, body } = answer;
        take(&self.used, body.len())?;
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let body = Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync();
        response.body(body).map_err(|err| err.to_string())
    }
}

/// Counts the bytes of a body.
fn take(used: &AtomicUsize, len: usize) -> Result<(), String> {
    if used.fetch_add(len, Ordering::Relaxed) + len <= BODIES {
        return Ok(());
    }
    Err(format!("the bodies of this call have more than {} MiB, the limit", BODIES >> 20))
}

/// As text, without the length, which the body says.
fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let sent = headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH);
    sent.map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bodies_of_a_call_have_a_limit_together() {
        let used = AtomicUsize::default();
        assert_eq!(take(&used, BODIES), Ok(()));
        assert_eq!(take(&used, 0), Ok(()));
        let err = "the bodies of this call have more than 64 MiB, the limit";
        assert_eq!(take(&used, 1), Err(err.to_owned()));
    }
}
