//! Dictation: speech to text, by the provider that is configured.

use std::{
    fmt::Write,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::tests::harness::Server;

/// A provider that understands speech, and what it was asked.
struct Provider {
    url: String,
    asked: Asked,
    /// Ends with the test.
    _task: AbortOnDropHandle<()>,
}

type Asked = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

impl Provider {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
    async fn start(status: StatusCode, answer: Value) -> Self {
        let asked = Asked::default();
        let transcribe =
            async move |State(asked): State<Asked>, headers: HeaderMap, body: Bytes| {
                asked.lock().unwrap().push((headers, body));
                (status, axum::Json(answer)).into_response()
            };
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .with_state(asked.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, _task: AbortOnDropHandle::new(task) }
    }

    /// A server that asks it.
    async fn server(&self) -> Server {
        let config = format!(
            "[providers.p]\napi = 'chat_completions'\nbase_url = '{}'\napi_key = 'sk-1'\nretries = 0\n\
             [models.default]\nmodel = 'm'\n[transcribe]\nprovider = 'p'\nmodel = 'whisper'",
            self.url
        );
        Server::start(&[("kitfox.toml", &config)]).await
    }
}

fn speech(data: &[u8], mime_type: &str) -> Value {
    json!({ "audio_base64": STANDARD.encode(data), "mime_type": mime_type })
}

#[tokio::test]
async fn the_very_bytes_reach_the_provider_and_its_text_the_composer() {
    let provider = Provider::start(StatusCode::OK, json!({ "text": "hello ẁorld 🎤" })).await;
    let server = provider.server().await;
    let audio: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let params = speech(&audio, "Audio/WebM;codecs=opus");
    let answer = server.call("ada", "input.transcribe", params).await;
    assert_eq!(answer, (StatusCode::OK, json!({ "text": "hello ẁorld 🎤" })));
    let (headers, body) = provider.asked.lock().unwrap().pop().unwrap();
    assert_eq!(headers["authorization"], "Bearer sk-1");
    let boundary = multer::parse_boundary(headers["content-type"].to_str().unwrap()).unwrap();
    let body = futures::stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut form = multer::Multipart::new(body, boundary);
    let mut shown = String::new();
    while let Some(field) = form.next_field().await.unwrap() {
        let (name, file) = (field.name().unwrap().to_owned(), field.file_name().map(str::to_owned));
        let mime_type = field.content_type().map(ToString::to_string).unwrap_or_default();
        let bytes = field.bytes().await.unwrap();
        match file {
            Some(file) => {
                assert_eq!(bytes, audio);
                writeln!(shown, "{name}: {file} {mime_type}").unwrap();
            }
            None => writeln!(shown, "{name}: {}", String::from_utf8_lossy(&bytes)).unwrap(),
        }
    }
    assert_snapshot!(shown, @r"
    file: audio.webm audio/webm
    model: whisper
    response_format: json
    ");
}

#[tokio::test]
async fn an_empty_text_is_a_text() {
    let provider = Provider::start(StatusCode::OK, json!({ "text": "" })).await;
    let server = provider.server().await;
    for mime_type in ["audio/webm", "audio/mp4", "audio/ogg;codecs=opus"] {
        let answer = server.call("ada", "input.transcribe", speech(b"silence", mime_type)).await;
        assert_eq!(answer, (StatusCode::OK, json!({ "text": "" })), "{mime_type}");
    }
}

#[tokio::test]
async fn what_is_no_recording_is_refused_and_says_why() {
    let provider = Provider::start(StatusCode::OK, json!({ "text": "no" })).await;
    let server = provider.server().await;
    let mut texts = String::new();
    for params in [
        speech(b"x", "video/x-flv"),
        speech(b"x", "audio/webm\r\nx: y"),
        speech(b"x", ""),
        speech(b"", "audio/webm"),
        json!({ "audio_base64": "no base64!", "mime_type": "audio/webm" }),
        json!({ "audio_base64": "AAAA\u{0}", "mime_type": "audio/webm" }),
        json!({ "audio_base64": 7, "mime_type": "audio/webm" }),
        json!({ "audio_base64": "AAAA" }),
    ] {
        let (status, body) = server.call("ada", "input.transcribe", params).await;
        let message = body["message"].as_str().unwrap();
        writeln!(texts, "{} {message}", status.as_u16()).unwrap();
    }
    assert_snapshot!(texts, @r"
    400 `params.mime_type`: must be one of `audio/webm`, `audio/mp4`, `audio/ogg`
    400 `params.mime_type`: must be one of `audio/webm`, `audio/mp4`, `audio/ogg`
    400 `params.mime_type`: must be one of `audio/webm`, `audio/mp4`, `audio/ogg`
    400 `params.audio_base64`: the recording is empty
    400 `params.audio_base64`: is not base64
    400 `params.audio_base64`: is not base64
    400 `params.audio_base64` is integer `7`, not a string
    400 `params.mime_type` is missing
    ");
    assert!(provider.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_the_provider_says_in_error_stays_here() {
    let mut texts = String::new();
    for (status, answer) in [
        (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": { "message": "SECRET" } })),
        (StatusCode::TOO_MANY_REQUESTS, json!({ "error": { "message": "SECRET" } })),
        (StatusCode::BAD_REQUEST, json!({ "error": { "message": "SECRET" } })),
        (StatusCode::UNAUTHORIZED, json!({ "error": { "message": "SECRET sk-1" } })),
        (StatusCode::OK, json!({ "nothing": 1 })),
    ] {
        let provider = Provider::start(status, answer).await;
        let server = provider.server().await;
        let (status, body) =
            server.call("ada", "input.transcribe", speech(b"x", "audio/webm")).await;
        let message = body["message"].as_str().unwrap();
        writeln!(texts, "{} {message}", status.as_u16()).unwrap();
    }
    assert_snapshot!(texts, @r"
    503 the transcription service is overloaded: try again
    503 the transcription service is overloaded: try again
    400 the recording could not be transcribed: record it again
    400 the model provider `p` refuses the key: check `api_key` in [providers.p]
    400 the recording could not be transcribed: record it again
    ");
}
