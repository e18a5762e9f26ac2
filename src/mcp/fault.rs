use std::{error::Error, io};

use rmcp::{
    model::ErrorData,
    service::{ClientInitializeError, ServiceError},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};

use crate::{
    credential::CredentialError,
    mcp::clean::clean_line,
    net::{Unreachable, find_source, tls_error},
};

type HttpError = StreamableHttpError<reqwest::Error>;

/// Why a server does not do what it was asked. Its text is for the operator and, of calls, for the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection came about: whatever was to be sent was not.
    #[error("{0}")]
    NotReached(String),
    /// It wants somebody to log in; with what it says of how (`WWW-Authenticate`).
    #[error("it wants a login that it was not given")]
    NeedsLogin { challenge: String },
    /// It answers with an HTTP status that is no answer.
    #[error("it answers with the HTTP status {0}")]
    Status(u16),
    #[error(
        "it speaks the HTTP+SSE transport of 2024, which Kitfox does not: its maker may offer streamable HTTP"
    )]
    OldTransport,
    /// The program ended.
    #[error("{0}")]
    Ended(String),
    /// The connection broke after the call was sent.
    #[error("the connection broke")]
    Broken,
    /// It answered with an error of the protocol.
    #[error("{0}")]
    Refused(String),
    #[error("it did not answer within {0} s")]
    Timeout(u64),
    #[error("{0}")]
    Other(String),
}

impl Fault {
    /// Why there is no connection.
    pub fn of_start(err: &ClientInitializeError) -> Self {
        match err {
            ClientInitializeError::TransportError { error, .. } => Self::of_transport(error),
            ClientInitializeError::LegacyFallbackFailed { fallback, .. } => {
                Self::of_start(fallback)
            }
            ClientInitializeError::JsonRpcError(error) => Self::of_answer(error),
            ClientInitializeError::NoCompatibleProtocolVersion { server_supported, .. } => {
                let versions: Vec<_> =
                    server_supported.iter().map(|it| clean_line(it.as_str(), 20)).collect();
                Self::Other(format!(
                    "it speaks no revision of the protocol that is spoken here, but {}",
                    if versions.is_empty() { "others".to_owned() } else { versions.join(", ") }
                ))
            }
            ClientInitializeError::ConnectionClosed(_) => {
                Self::Other("it closed the connection at its beginning".to_owned())
            }
            ClientInitializeError::Cancelled => Self::Other("it was told to stop".to_owned()),
            _ => Self::Other("it answers with what is not the beginning of MCP".to_owned()),
        }
    }

    /// Why a request has no answer.
    pub fn of_call(err: &ServiceError) -> Self {
        match err {
            ServiceError::McpError(error) => Self::of_answer(error),
            ServiceError::TransportSend(error) => Self::of_transport(error),
            ServiceError::TransportClosed | ServiceError::Cancelled { .. } => Self::Broken,
            _ => Self::Other("it answers with what was not asked for".to_owned()),
        }
    }

    fn of_answer(error: &ErrorData) -> Self {
        Self::Refused(clean_line(&error.message, 500))
    }

    fn of_transport(err: &DynamicTransportError) -> Self {
        match err.error.downcast_ref::<HttpError>() {
            Some(err) => Self::of_http(err),
            None => match err.error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(err) if err.is::<CredentialError>() => Self::Other(err.to_string()),
                _ => Self::Broken,
            },
        }
    }

    fn of_http(err: &HttpError) -> Self {
        match err {
            HttpError::Client(err) => Self::of_client(err),
            HttpError::AuthRequired(err) => {
                Self::NeedsLogin { challenge: err.www_authenticate_header.clone() }
            }
            HttpError::InsufficientScope(err) => {
                Self::NeedsLogin { challenge: err.www_authenticate_header.clone() }
            }
            HttpError::HttpStatus(err) => Self::Status(err.status),
            HttpError::ResponseBodyTooLarge { max_size } => {
                Self::Other(format!("its answer is larger than {} MiB", max_size >> 20))
            }
            HttpError::UnexpectedContentType(kind) => Self::Other(match kind {
                Some(kind) => {
                    format!("its answer is of the type `{}`, not JSON", clean_line(kind, 60))
                }
                None => "its answer has no type".to_owned(),
            }),
            HttpError::UnexpectedServerResponse(message) => Self::Other(clean_line(message, 200)),
            HttpError::SessionExpired => Self::Other("it forgot the session".to_owned()),
            HttpError::ServerDoesNotSupportSse => Self::Broken,
            _ => Self::Other("it answers with what is not MCP".to_owned()),
        }
    }

    fn of_client(err: &reqwest::Error) -> Self {
        let is = |wanted: &dyn Fn(&(dyn Error + 'static)) -> bool| {
            find_source(err, |it| wanted(it).then_some(())).is_some()
        };
        if is(&|it| it.is::<Unreachable>()) {
            return Self::NotReached(UNREACHABLE.to_owned());
        }
        if err.is_dns() {
            return Self::NotReached("there is no such host".to_owned());
        }
        if let Some(reason) = find_source(err, tls_error) {
            return Self::NotReached(format!("there is no secure connection: {reason}"));
        }
        if err.is_connect() {
            return Self::NotReached("it takes no connection".to_owned());
        }
        if err.is_builder() {
            return Self::NotReached("a header holds what no header may hold".to_owned());
        }
        Self::Broken
    }

    /// Whether the URL is no place for messages, so that it may be one of another transport.
    pub const fn takes_no_messages(&self) -> bool {
        matches!(self, Self::Status(400 | 404 | 405 | 406 | 415))
    }
}

/// What is said of addresses that the operator has to allow.
pub const UNREACHABLE: &str = "its address is private, and kitfox.toml does not allow it: add `host:port` to `allow` \
                               under [mcp]";
