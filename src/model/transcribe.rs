use bytes::Bytes;
use reqwest::multipart::{Form, Part};

use super::{
    ModelError,
    http::{self, Endpoint},
};
use crate::config::Config;

/// Speech to text, by the provider that `[transcribe]` names.
pub struct Transcriber {
    endpoint: Endpoint,
    model: String,
}

/// Speech as it was recorded.
#[derive(Debug, Clone)]
pub struct Audio {
    pub data: Bytes,
    /// Without parameters.
    pub mime_type: &'static str,
    /// Providers go by its ending.
    pub file_name: &'static str,
}

const PATH: &[&str] = &["audio", "transcriptions"];

impl Transcriber {
    /// None where the configuration has none; fails with what keeps it from working, for the operator.
    pub fn of_config(config: &Config) -> Option<Result<Self, String>> {
        let transcribe = config.transcribe.as_ref()?;
        let provider = config.providers.get(&transcribe.provider)?;
        let client = http::client(provider.connect_timeout)
            .map_err(|err| format!("no HTTPS client can be made: {err}"));
        let endpoint =
            client.and_then(|it| Endpoint::new(&transcribe.provider, PATH, provider, it));
        let model = transcribe.model.clone();
        Some(endpoint.map(|endpoint| Self { endpoint, model }))
    }

    /// What was said. Failures are retried where that can help.
    pub async fn transcribe(&self, audio: &Audio) -> Result<String, ModelError> {
        let form = || {
            let length = u64::try_from(audio.data.len()).unwrap_or(u64::MAX);
            let file = Part::stream_with_length(audio.data.clone(), length);
            let file = file.file_name(audio.file_name);
            let file = file.mime_str(audio.mime_type).expect("these types are of our own table");
            Form::new()
                .part("file", file)
                .text("model", self.model.clone())
                .text("response_format", "json")
        };
        let answer = self.endpoint.ask_with_form(form).await?;
        match answer.get("text").and_then(|it| it.as_str()) {
            Some(text) => Ok(text.to_owned()),
            None => Err(ModelError::Failed("the answer holds no `text`".to_owned())),
        }
    }
}
