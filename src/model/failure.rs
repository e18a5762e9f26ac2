use std::time::Duration;

use serde_json::Value;

use super::{ModelError, loose};

/// What a provider says went wrong. Its text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complaint {
    pub status: Option<u16>,
    /// All that it gives as code and type, in lower case.
    pub codes: String,
    pub message: String,
}

/// Why a try failed, and whether another may help.
#[derive(Debug)]
pub struct Failure {
    pub error: ModelError,
    pub retry: bool,
    pub retry_after: Option<Duration>,
}

impl Complaint {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Reads an error in any of the forms that servers give it: `{"error": {…}}`, `{"error": "…"}`,
    /// `[{"error": …}]`, `{"message": …}`, `{"detail": …}`.
    pub fn read(body: &Value) -> Self {
        let body = body.get(0).unwrap_or(body);
        let error = match body.get("error") {
            None | Some(Value::Null) => body,
            Some(error) => error,
        };
        let mut complaint = Self::default();
        for key in ["code", "type", "status"] {
            match error.get(key) {
                Some(Value::String(code)) => {
                    complaint.codes.push_str(&code.to_lowercase());
                    complaint.codes.push(' ');
                }
                Some(Value::Number(code)) => {
                    let code = code.as_u64().and_then(|code| u16::try_from(code).ok());
                    complaint.status = complaint.status.or(code.filter(|code| *code >= 400));
                }
                _ => (),
            }
        }
        let message = ["message", "detail", "msg"].iter().find_map(|key| error.get(key));
        complaint.message = match message.unwrap_or(error) {
            Value::String(text) => text.clone(),
            other => Some(loose::text_of(other))
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| other.to_string()),
        };
        complaint
    }

    /// The same as an error of the provider `name`.
    pub fn into_failure(self, name: &str, retry_after: Option<Duration>) -> Failure {
        let kind = self.kind();
        let status = self.status.map(|status| format!("{status} ")).unwrap_or_default();
        let message = format!("`{name}` answered {status}{}", self.message);
        let fixed = |text: String| {
            // What is shown may not hold the provider's words, so they are kept here.
            tracing::warn!(provider = name, "model provider {message}");
            ModelError::Unconfigured(text)
        };
        let error = match kind {
            Kind::TooLong => ModelError::ContextOverflow(message),
            Kind::Overloaded | Kind::Conflict => ModelError::Overloaded { message, retry_after },
            Kind::Quota => fixed(format!(
                "the quota of the model provider `{name}` is used up: see its plan and billing"
            )),
            Kind::Key => fixed(format!(
                "the model provider `{name}` refuses the key: check `api_key` in [providers.{name}]"
            )),
            Kind::Missing => fixed(format!(
                "the model provider `{name}` does not know the model or the address: check `model` \
                 in [models.*] and `base_url` in [providers.{name}]"
            )),
            Kind::Other => ModelError::Failed(message),
        };
        Failure { error, retry: matches!(kind, Kind::Overloaded | Kind::Conflict), retry_after }
    }

    fn kind(&self) -> Kind {
        let has_code = |codes: &[&str]| codes.iter().any(|code| self.codes.contains(code));
        let status = self.status.unwrap_or_default();
        if has_code(&["insufficient_quota", "billing"]) {
            return Kind::Quota;
        }
        if has_code(&["context_length", "context_size", "context_window"])
            || (matches!(status, 0 | 400 | 413 | 422 | 500) && says_too_long(&self.message))
        {
            return Kind::TooLong;
        }
        match status {
            408 | 409 => Kind::Conflict,
            429 | 500.. => Kind::Overloaded,
            401 | 403 => Kind::Key,
            300..=399 | 404 | 405 => Kind::Missing,
            0 if has_code(&["rate_limit", "overloaded", "server_error", "unavailable"]) => {
                Kind::Overloaded
            }
            _ => Kind::Other,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    TooLong,
    Overloaded,
    Conflict,
    Quota,
    Key,
    Missing,
    Other,
}

/// Whether a text says, in the words of some server, that the input is longer than the model takes.
fn says_too_long(message: &str) -> bool {
    const WORDS: [&str; 10] = [
        "context length",
        "context window",
        "context size",
        "context_length",
        "prompt is too long",
        "input is too long",
        "input length",
        "maximum number of tokens",
        "too many tokens",
        "reduce the length of the messages",
    ];
    let message = message.to_lowercase();
    WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(status: u16, body: &Value, expected: &str) {
        let mut complaint = Complaint::read(body);
        complaint.status = Some(status).filter(|status| *status != 200).or(complaint.status);
        let failure = complaint.into_failure("p", None);
        let retry = if failure.retry { " (retried)" } else { "" };
        assert_eq!(format!("{}{retry}", failure.error), expected, "{body}");
    }

    #[test]
    fn errors_are_understood_in_the_words_of_many_servers() {
        let too_long = "the input is too long for the model: `p` answered";
        let overloaded = "the model provider is overloaded: `p` answered";
        for (status, body, expected) in [
            (
                400,
                json!({"error": {"message": "m", "code": "context_length_exceeded"}}),
                format!("{too_long} 400 m"),
            ),
            (
                400,
                json!([{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
                    "The input token count (9) exceeds the maximum number of tokens allowed (8)."}}]),
                format!(
                    "{too_long} 400 The input token count (9) exceeds the maximum number of tokens \
                     allowed (8)."
                ),
            ),
            (
                400,
                json!({"object": "error", "code": 400, "message":
                    "This model's maximum context length is 8 tokens."}),
                format!("{too_long} 400 This model's maximum context length is 8 tokens."),
            ),
            (
                400,
                json!({"error": {"code": 400, "type": "exceed_context_size_error", "message": "m"}}),
                format!("{too_long} 400 m"),
            ),
            (429, json!({"error": {"message": "m"}}), format!("{overloaded} 429 m (retried)")),
            (
                503,
                json!({"detail": [{"msg": "m"}]}),
                format!("{overloaded} 503 [{{\"msg\":\"m\"}}] (retried)"),
            ),
            (
                200,
                json!({"error": {"code": 503, "message": "m"}}),
                format!("{overloaded} 503 m (retried)"),
            ),
            (
                200,
                json!({"error": {"type": "overloaded_error", "message": "m"}}),
                format!("{overloaded} m (retried)"),
            ),
            (409, json!({"message": "m"}), format!("{overloaded} 409 m (retried)")),
            (400, json!({"error": "m"}), "the model failed: `p` answered 400 m".to_owned()),
            (
                200,
                json!({"error": {"a": 1}}),
                "the model failed: `p` answered {\"a\":1}".to_owned(),
            ),
            (
                429,
                json!({"error": {"message": "m", "type": "insufficient_quota"}}),
                "the quota of the model provider `p` is used up: see its plan and billing"
                    .to_owned(),
            ),
            (
                401,
                json!({"error": {"message": "m"}}),
                "the model provider `p` refuses the key: check `api_key` in [providers.p]"
                    .to_owned(),
            ),
            (
                404,
                json!({}),
                "the model provider `p` does not know the model or the address: check `model` in \
                 [models.*] and `base_url` in [providers.p]"
                    .to_owned(),
            ),
        ] {
            check(status, &body, &expected);
        }
    }
}
