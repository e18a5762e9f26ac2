use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use tracing::warn;

use crate::{
    chatkit::{InputTranscribeParams, TranscriptionResult},
    media,
    model::{Audio, ModelError},
    ops::{Answer, Caller, OpError, json},
};

/// Of one recording: providers take no more.
const AUDIO_BYTES: usize = 25 << 20;

/// What browsers record, and the name that says so to providers.
const TYPES: &[(&str, &str)] =
    &[("audio/webm", "audio.webm"), ("audio/mp4", "audio.m4a"), ("audio/ogg", "audio.ogg")];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Caller<'_> {
    /// The text of what the user said, for the composer.
    pub async fn transcribe(&self, params: InputTranscribeParams) -> Result<Answer, OpError> {
        let transcriber = match &self.generation.host.transcriber {
            Some(Ok(transcriber)) => transcriber,
            Some(Err(problem)) => {
                warn!("speech cannot be transcribed: {problem}");
                return Err(OpError::BadRequest(
                    "speech cannot be transcribed here: the server's log says why".to_owned(),
                ));
            }
            None => {
                return Err(OpError::BadRequest(
                    "speech is not transcribed here: add `[transcribe]` with `provider` and `model` to \
                     kitfox.toml"
                        .to_owned(),
                ));
            }
        };
        let audio = read(params)?;
        match transcriber.transcribe(&audio).await {
            Ok(text) => json(&TranscriptionResult { text }),
            Err(err) => Err(refuse(&err)),
        }
    }
}

fn read(params: InputTranscribeParams) -> Result<Audio, OpError> {
    let InputTranscribeParams { audio_base64, mime_type } = params;
    let essence = media::essence(&mime_type).unwrap_or_default();
    let Some(&(mime_type, file_name)) = TYPES.iter().find(|(known, _)| *known == essence) else {
        let types: Vec<String> = TYPES.iter().map(|(known, _)| format!("`{known}`")).collect();
        return Err(OpError::BadRequest(format!(
            "`params.mime_type`: must be one of {}",
            types.join(", ")
        )));
    };
    let data = BASE64
        .decode(audio_base64.trim())
        .map_err(|_| OpError::BadRequest("`params.audio_base64`: is not base64".to_owned()))?;
    if data.is_empty() {
        return Err(OpError::BadRequest(
            "`params.audio_base64`: the recording is empty".to_owned(),
        ));
    }
    if data.len() > AUDIO_BYTES {
        return Err(OpError::TooLarge(format!(
            "`params.audio_base64`: a recording has at most {AUDIO_BYTES} bytes"
        )));
    }
    Ok(Audio { data: data.into(), mime_type, file_name })
}

/// Nothing was done, so that the client may send it again where that can help.
fn refuse(err: &ModelError) -> OpError {
    warn!("speech was not transcribed: {err}");
    match err {
        ModelError::Overloaded { .. } => {
            OpError::Unavailable("the transcription service is overloaded: try again".to_owned())
        }
        ModelError::Unconfigured(remedy) => OpError::BadRequest(remedy.clone()),
        ModelError::ContextOverflow(_) | ModelError::Failed(_) => OpError::BadRequest(
            "the recording could not be transcribed: record it again".to_owned(),
        ),
    }
}
