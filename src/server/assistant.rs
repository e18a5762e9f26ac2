//! The simple form of the chat: a question and its context in, the same events out.

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    chatkit::{
        self, InferenceOptions, Operation, ThreadId, ThreadsAddUserMessageParams,
        ThreadsCreateParams, UserMessageContent, UserMessageInput,
    },
    ops::Client,
};

use super::{
    Server, attachments,
    chatkit::{EventFormat, receive, respond},
    error::ApiError,
};

#[derive(Debug, Deserialize)]
struct Question {
    query: String,
    #[serde(default)]
    thread_id: Option<String>,
    /// `page_context`, `selected_text`, and whatever else the page knows.
    #[serde(default)]
    context: Option<Map<String, Value>>,
}

/// `POST /assistant/chatkit`
pub async fn answer(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    let format = find_format(request.uri().query().unwrap_or_default())?;
    let chat = server.app.generation().config.server.chatkit_paths.first().cloned();
    let links = attachments::links(&server, &request, &chat.unwrap_or_default());
    let (headers, body, caller) = receive(&server, request).await?;
    respond(&server, &headers, caller, parse(&body)?, links, Client::Once, format).await
}

fn find_format(query: &str) -> Result<EventFormat, ApiError> {
    match url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "format") {
        None => Ok(EventFormat::ChatKit),
        Some((_, format)) if format == "simple" => Ok(EventFormat::Simple),
        Some(_) => Err(ApiError::bad_request("`format` must be `simple`, or left out")),
    }
}

/// The ChatKit operation that the question is short for.
fn parse(body: &[u8]) -> Result<chatkit::Request, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let question: Question = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|err| ApiError::bad_request(problem(&err.path().to_string(), err.inner())))?;
    deserializer.end().map_err(|err| ApiError::bad_request(problem(".", &err)))?;
    let Question { query, thread_id, context } = question;
    if query.trim().is_empty() {
        return Err(ApiError::bad_request("`query` is empty: ask something"));
    }
    let input = UserMessageInput {
        content: vec![UserMessageContent::InputText { text: query }],
        attachments: Vec::new(),
        quoted_text: None,
        inference_options: InferenceOptions::default(),
        metadata: None,
    };
    let operation = match thread_id.filter(|it| !it.is_empty()) {
        None => Operation::ThreadsCreate(ThreadsCreateParams { input }),
        Some(id) => Operation::ThreadsAddUserMessage(ThreadsAddUserMessageParams {
            input,
            thread_id: ThreadId::from(id),
        }),
    };
    Ok(chatkit::Request { operation, metadata: context.into_iter().collect() })
}

fn problem(path: &str, err: &serde_json::Error) -> String {
    match path {
        "." => format!("the body: {err}"),
        path => format!("`{path}`: {err}"),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn a_question_begins_a_thread_with_its_context_as_metadata() {
        let body = br#"{"query": "hi", "context": {"page_context": {"title": "Home"}, "selected_text": "x"}}"#;
        let request = parse(body).unwrap();
        assert_eq!(request.operation.name(), "threads.create");
        let metadata = serde_json::to_string(&request.metadata).unwrap();
        assert_eq!(metadata, r#"[{"page_context":{"title":"Home"},"selected_text":"x"}]"#);
        let Operation::ThreadsCreate(params) = request.operation else { panic!("another") };
        assert_eq!(params.input.content, [UserMessageContent::InputText { text: "hi".to_owned() }]);
    }

    #[test]
    fn a_question_goes_on_in_the_thread_that_it_names() {
        let request = parse(br#"{"query": "hi", "thread_id": "thr_1"}"#).unwrap();
        let Operation::ThreadsAddUserMessage(params) = request.operation else { panic!("another") };
        assert_eq!(params.thread_id, ThreadId::from("thr_1"));
        let request = parse(br#"{"query": "hi", "thread_id": null}"#).unwrap();
        assert_eq!(request.operation.name(), "threads.create");
    }

    #[track_caller]
    fn check_refused(body: &str, contains: &str) {
        let err = parse(body.as_bytes()).unwrap_err();
        assert_eq!(err.status, StatusCode::BAD_REQUEST);
        let text = format!("{err:?}");
        assert!(text.contains(contains), "{text}");
    }

    #[test]
    fn what_is_wrong_with_a_question_is_named() {
        check_refused(r#"{"query": 5}"#, "`query`: invalid type");
        check_refused(r#"{"query": " "}"#, "`query` is empty");
        check_refused(r#"{"query": "x", "context": []}"#, "`context`: invalid type");
        check_refused("{}", "missing field `query`");
        check_refused("hello", "the body: expected value");
        check_refused(r#"{"query": "x"} x"#, "trailing characters");
    }

    #[test]
    fn events_are_simple_on_demand() {
        assert_eq!(find_format("").unwrap(), EventFormat::ChatKit);
        assert_eq!(find_format("a=b&format=simple").unwrap(), EventFormat::Simple);
        assert!(find_format("format=xml").is_err());
    }
}
