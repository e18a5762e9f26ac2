//! Files in and out, below each path of the chat: uploads as they come, contents so that no browser runs them.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
            CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        },
    },
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use multer::Multipart;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::{
    chatkit::{AttachmentId, now},
    config::PublicUrlSource,
    media,
    ops::{self, LinkPurpose, Links, OpError, SignedLink, Upload},
    store::{BlobReader, StoredAttachment},
};

use super::{
    Server,
    auth::{self, NewSession},
    chatkit, context,
    error::ApiError,
    guard, limits,
};

/// The longest silence within an upload.
const IDLE: Duration = Duration::from_secs(30);
/// Time for an upload as a whole, beside a second for each [`BYTES_PER_SECOND`] that it may have.
const TIME: Duration = Duration::from_mins(1);
const BYTES_PER_SECOND: u64 = 16 << 10;
/// What a form may hold beside its file.
const FORM_BYTES: u64 = 1 << 20;

const CONTENT_POLICY: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
/// No longer than its link, and for nobody else.
const CACHED: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// Something below `/chatkit/attachments`.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// The place of direct uploads.
    All,
    One {
        id: AttachmentId,
        purpose: LinkPurpose,
    },
}

/// The path of the chat that `path` is below of, and what is meant there.
pub fn find<'a>(chatkit_paths: &'a [String], path: &str) -> Option<(&'a str, Target)> {
    chatkit_paths.iter().find_map(|chat| {
        let rest = path.strip_prefix(chat.as_str())?.strip_prefix("/attachments")?;
        Some((chat.as_str(), parse(rest)?))
    })
}

fn parse(rest: &str) -> Option<Target> {
    if rest.is_empty() {
        return Some(Target::All);
    }
    let (id, purpose) = rest.strip_prefix('/')?.split_once('/')?;
    let purposes = [LinkPurpose::Upload, LinkPurpose::Content];
    let purpose = purposes.into_iter().find(|it| it.as_str() == purpose)?;
    Some(Target::One { id: AttachmentId::from(id), purpose })
}

/// Where whoever sends this request finds attachments: by the public URL where one is set, else by the name
/// that the request has for this server, which the guard has let pass.
pub fn links(server: &Server, request: &Request, chat: &str) -> Links {
    let config = server.app.generation().config.clone();
    let host = match config.server.public_url_source {
        PublicUrlSource::Written => None,
        PublicUrlSource::Default => {
            guard::find_host(request.uri(), request.headers(), request.version()).ok().flatten()
        }
    };
    let base = match host {
        Some(host) => format!("http://{host}{chat}"),
        None => format!("{}{chat}", config.server.public_url.as_str().trim_end_matches('/')),
    };
    Links { base }
}

/// What is answered there.
pub async fn answer(
    server: &Server,
    chat: &str,
    target: Target,
    request: Request,
) -> Result<Response, ApiError> {
    let method = request.method().clone();
    match target {
        Target::All if method == Method::POST => upload_directly(server, chat, request).await,
        Target::All => Err(ApiError::method_not_allowed("POST")),
        Target::One { id, purpose } => {
            let link = read_link(id, purpose, request.uri().query().unwrap_or_default());
            match (purpose, method) {
                (LinkPurpose::Upload, Method::PUT | Method::POST) => {
                    upload(server, link, request).await
                }
                (LinkPurpose::Upload, _) => Err(ApiError::method_not_allowed("PUT, POST")),
                (LinkPurpose::Content, Method::GET | Method::HEAD) => {
                    let (attachment, reader) =
                        ops::open_attachment(&server.app, &link, now()).await?;
                    content(&attachment, reader).await
                }
                (LinkPurpose::Content, _) => Err(ApiError::method_not_allowed("GET, HEAD")),
            }
        }
    }
}

/// A link without its signature is as unknown as one with a wrong one.
fn read_link(id: AttachmentId, purpose: LinkPurpose, query: &str) -> SignedLink {
    let mut link = SignedLink { id, purpose, expires: 0, signature: String::new() };
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "expires" => link.expires = value.parse().unwrap_or_default(),
            "signature" => link.signature = value.into_owned(),
            _ => (),
        }
    }
    link
}

/// The second phase of an upload: the bytes alone, or a form with the field `file`.
async fn upload(server: &Server, link: SignedLink, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    refuse_compressed(&parts.headers)?;
    let limit = server.app.generation().config.limits.attachments.max_bytes;
    let body = receive(body, limit);
    let app = server.app.clone();
    // A task of its own, so that an upload that is cut is cleaned up whoever waits for it.
    let task = async move {
        if parts.method == Method::PUT {
            let length = parts.headers.get(CONTENT_LENGTH);
            let length = length.and_then(|it| it.to_str().ok()?.parse().ok());
            return ops::upload(&app, &link, now(), length, body).await;
        }
        let (_, file) = find_file(&parts.headers, body, limit).await?;
        ops::upload(&app, &link, now(), None, file).await
    };
    finished(server.app.tasks.spawn(task.in_current_span()).await)?;
    Ok(Json(json!({})).into_response())
}

/// `POST /chatkit/attachments`
async fn upload_directly(
    server: &Server,
    chat: &str,
    request: Request,
) -> Result<Response, ApiError> {
    let links = links(server, &request, chat);
    let (parts, body) = request.into_parts();
    refuse_compressed(&parts.headers)?;
    let caller = auth::authenticate(server, &parts.headers, NewSession::Make).await?;
    limits::admit_user(server, &caller.user).await.map_err(ApiError::closing)?;
    let context = context::gather(server, &parts.headers, Some(&caller), &[]);
    let limit = server.app.generation().config.limits.attachments.max_bytes;
    let body = receive(body, limit);
    let (app, user) = (server.app.clone(), caller.user);
    let task = async move {
        let (named, file) = find_file(&parts.headers, body, limit).await?;
        let named = (&*named.0, &*named.1);
        ops::upload_directly(&app, user, context, links, named, file).await
    };
    let attachment = finished(server.app.tasks.spawn(task.in_current_span()).await)?;
    Ok(chatkit::for_caller(Json(attachment).into_response(), caller.set_cookie))
}

/// The rest of a body that is refused is not read: its connection ends.
fn finished<T>(result: Result<Result<T, OpError>, tokio::task::JoinError>) -> Result<T, ApiError> {
    match result {
        Ok(result) => result.map_err(|err| ApiError::from(err).closing()),
        Err(err) => Err(ApiError::failed(err)),
    }
}

fn refuse_compressed(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get(CONTENT_ENCODING) {
        Some(it) if !it.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(ApiError::unsupported("the body must not be compressed"))
        }
        Some(_) | None => Ok(()),
    }
}

/// The body as it comes, as long as it comes fast enough.
fn receive(body: Body, limit: u64) -> Upload {
    let end = Instant::now() + TIME + Duration::from_secs(limit / BYTES_PER_SECOND);
    let chunks = stream::unfold(Some(body.into_data_stream()), move |body| async move {
        let mut body = body?;
        let broken = |message: &str| Some((Err(OpError::BadRequest(message.to_owned())), None));
        match timeout_at(end.min(Instant::now() + IDLE), body.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(None) => None,
            Ok(Some(Err(_))) => broken("the upload broke off"),
            Err(_) => broken("the upload did not arrive in time"),
        }
    });
    chunks.boxed()
}

/// Name and type of the field `file` of a form, and its bytes as they come.
async fn find_file(
    headers: &HeaderMap,
    body: Upload,
    limit: u64,
) -> Result<((String, String), Upload), OpError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default()).map_err(|_| {
        OpError::BadRequest("the body must be a form: send `multipart/form-data`".to_owned())
    })?;
    let allowance = Arc::new(AtomicU64::new(FORM_BYTES));
    let body = Piecemeal { body, allowance: allowance.clone(), is_next: true };
    let mut form = Multipart::new(body, boundary);
    while let Some(field) = form.next_field().await.map_err(form_error)? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().unwrap_or_default().to_owned();
        let mime_type = field.content_type().map(ToString::to_string).unwrap_or_default();
        // One byte more, so that whoever counts the file sees that it is too long.
        allowance.store(limit.saturating_add(FORM_BYTES), Ordering::Relaxed);
        let file = stream::unfold((form, field), |(form, mut field)| async move {
            let bytes = field.chunk().await.map_err(form_error).transpose()?;
            Some((bytes, (form, field)))
        });
        return Ok(((name, mime_type), file.boxed()));
    }
    Err(OpError::BadRequest("the form has no field `file`".to_owned()))
}

/// Gives a form no more than a piece at a time and no more than it is allowed: its parser takes all that is
/// ready, and keeps what it cannot make sense of yet.
struct Piecemeal {
    body: Upload,
    allowance: Arc<AtomicU64>,
    is_next: bool,
}

impl Stream for Piecemeal {
    type Item = Result<Bytes, OpError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !std::mem::replace(&mut self.is_next, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = ready!(self.body.poll_next_unpin(context));
        self.is_next = false;
        if let Some(Ok(bytes)) = &piece {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let allowed = self.allowance.load(Ordering::Relaxed);
            let Some(rest) = allowed.checked_sub(length) else {
                let message = "the form holds more than a file of the size that is taken";
                return Poll::Ready(Some(Err(OpError::TooLarge(message.to_owned()))));
            };
            self.allowance.store(rest, Ordering::Relaxed);
        }
        Poll::Ready(piece)
    }
}

fn form_error(err: multer::Error) -> OpError {
    match err {
        multer::Error::StreamReadFailed(cause) => match cause.downcast::<OpError>() {
            Ok(err) => *err,
            Err(_) => OpError::BadRequest("the upload broke off".to_owned()),
        },
        err => {
            let cause = err.source().map(|it| format!(": {it}")).unwrap_or_default();
            OpError::BadRequest(format!("the form cannot be read: {err}{cause}"))
        }
    }
}

/// Images are shown if their bytes are what they say; everything else is to be kept, never to be run.
async fn content(attachment: &StoredAttachment, reader: BlobReader) -> Result<Response, ApiError> {
    let BlobReader { size, mut bytes } = reader;
    let mut head = BytesMut::new();
    while head.len() < media::IMAGE_HEAD
        && let Some(more) = bytes.try_next().await?
    {
        head.extend_from_slice(&more);
    }
    let image = media::image_type(&head).filter(|_| media::is_image(&attachment.mime_type));
    let (content_type, disposition) = match image {
        Some(image) => (image, "inline"),
        None if media::is_text(&attachment.mime_type) => {
            ("text/plain; charset=utf-8", "attachment")
        }
        None => ("application/octet-stream", "attachment"),
    };
    let name = utf8_percent_encode(&attachment.name, NON_ALPHANUMERIC);
    let disposition = format!("{disposition}; filename*=UTF-8''{name}");
    let body = stream::iter([Ok(head.freeze())]).chain(bytes);
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CACHE_CONTROL, CACHED);
    headers.insert(CONTENT_SECURITY_POLICY, CONTENT_POLICY);
    let disposition = HeaderValue::try_from(disposition).map_err(ApiError::failed)?;
    headers.insert(CONTENT_DISPOSITION, disposition);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_below_each_path_of_the_chat() {
        let paths = ["/chatkit".to_owned(), "/de/chat".to_owned()];
        let one = |id: &str, purpose| Target::One { id: id.into(), purpose };
        assert_eq!(find(&paths, "/chatkit/attachments"), Some(("/chatkit", Target::All)));
        assert_eq!(
            find(&paths, "/de/chat/attachments/atc_1/content"),
            Some(("/de/chat", one("atc_1", LinkPurpose::Content)))
        );
        assert_eq!(
            find(&paths, "/chatkit/attachments/atc_1/upload"),
            Some(("/chatkit", one("atc_1", LinkPurpose::Upload)))
        );
        for path in [
            "/chatkit",
            "/chatkit/attachmentsx",
            "/chatkit/attachments/",
            "/chatkit/attachments/atc_1",
            "/chatkit/attachments/atc_1/upload/x",
            "/other/attachments",
        ] {
            assert_eq!(find(&paths, path), None, "{path}");
        }
    }
}
