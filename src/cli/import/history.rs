use std::{borrow::Cow, collections::HashMap, fmt::Write};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Entry, source::short};
use crate::{
    chatkit::{
        AssistantMessageContent, AssistantMessageItem, InferenceOptions, ItemId,
        SdkHiddenContextItem, ThreadId, ThreadItem, ThreadMetadata, UserMessageContent,
        UserMessageItem,
    },
    store::{ItemLine, Line, Record, ThreadLine},
    user::UserKey,
};

/// Chats from elsewhere, message by message. Their ids are made of what they hold, so that the same message is never added twice.
pub struct History {
    user: Option<UserKey>,
    login: Box<dyn Fn(&str) -> UserKey + Send>,
    /// How many messages each thread had so far.
    threads: HashMap<ThreadId, u64>,
}

pub struct Message<'a> {
    /// None: the one that the command names.
    pub user: Option<&'a str>,
    pub thread: Cow<'a, str>,
    pub role: Cow<'a, str>,
    pub content: Cow<'a, str>,
    pub created_at: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawMessage {
    #[serde(default)]
    user: Option<Value>,
    thread: Value,
    role: String,
    content: String,
    created_at: Value,
}

impl History {
    /// `login` knows users by the ids that the messages have.
    pub fn new(user: Option<UserKey>, login: impl Fn(&str) -> UserKey + Send + 'static) -> Self {
        Self { user, login: Box::new(login), threads: HashMap::new() }
    }

    /// The message that an object in JSON is.
    pub fn parse(&mut self, number: u64, text: &str) -> Vec<Entry> {
        let message: RawMessage = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(err) => return vec![Entry { number, line: Err(short(&err)) }],
        };
        let user = message.user.map(plain).filter(|it| !it.is_empty());
        let message = Message {
            user: user.as_deref(),
            thread: plain(message.thread).into(),
            role: message.role.into(),
            content: message.content.into(),
            created_at: plain(message.created_at).into(),
        };
        self.lines(number, &message)
    }

    /// The lines of an export that a message is: before a thread's first one, the thread.
    pub fn lines(&mut self, number: u64, message: &Message<'_>) -> Vec<Entry> {
        match self.convert(message) {
            Ok(lines) => lines.into_iter().map(|line| Entry { number, line: Ok(line) }).collect(),
            Err(problem) => vec![Entry { number, line: Err(problem) }],
        }
    }

    fn convert(&mut self, message: &Message<'_>) -> Result<Vec<Line>, String> {
        let user = match (message.user, &self.user) {
            (Some(id), _) => (self.login)(id),
            (None, Some(user)) => user.clone(),
            (None, None) => return Err("it has no `user`: name one with `--user`".to_owned()),
        };
        if message.thread.is_empty() {
            return Err("it has no `thread`".to_owned());
        }
        let created_at = parse_time(&message.created_at)?;
        let thread_id =
            ThreadId::from(format!("thr_{}", digest(&[user.as_str(), &message.thread])));
        let count = self.threads.get(&thread_id).copied().unwrap_or_default();
        let place = count.to_string();
        let parts = [thread_id.as_str(), &place, &message.role, &message.content];
        let item = to_item(message, &thread_id, &digest(&parts), created_at)?;
        let mut lines = Vec::new();
        if count == 0 {
            let thread =
                ThreadMetadata { id: thread_id.clone(), created_at, ..ThreadMetadata::new() };
            let owner = user.as_str().to_owned();
            lines.push(Line::Thread(ThreadLine { owner, thread, page: Map::new() }));
        }
        self.threads.insert(thread_id.clone(), count + 1);
        let item = Record::Item(item);
        lines.push(Line::Item(ItemLine { thread_id, item, generation: None, feedback: None }));
        Ok(lines)
    }
}

fn to_item(
    message: &Message<'_>,
    thread_id: &ThreadId,
    digest: &str,
    created_at: Timestamp,
) -> Result<ThreadItem, String> {
    let thread_id = thread_id.clone();
    let text = message.content.clone().into_owned();
    let id = ItemId::from(format!("msg_{digest}"));
    match message.role.trim().to_lowercase().as_str() {
        "user" | "human" => Ok(ThreadItem::UserMessage(UserMessageItem {
            id,
            thread_id,
            created_at,
            content: vec![UserMessageContent::InputText { text }],
            attachments: Vec::new(),
            quoted_text: None,
            inference_options: InferenceOptions::default(),
        })),
        "assistant" | "ai" | "bot" => Ok(ThreadItem::AssistantMessage(AssistantMessageItem {
            id,
            thread_id,
            created_at,
            content: vec![AssistantMessageContent { text, annotations: Vec::new() }],
        })),
        "system" | "developer" => Ok(ThreadItem::SdkHiddenContext(SdkHiddenContextItem {
            id: ItemId::from(format!("shcx_{digest}")),
            thread_id,
            created_at,
            content: text,
        })),
        role => Err(format!("there is no role `{role}`: use user, assistant or system")),
    }
}

/// A time as RFC 3339 has it, or seconds since 1970.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    let text = text.trim();
    let time = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds.abs() < 1e11 => {
            #[expect(clippy::cast_possible_truncation, reason = "it is far below what fits")]
            let microseconds = (seconds * 1e6).round() as i64;
            Timestamp::from_microsecond(microseconds).ok()
        }
        Ok(_) => None,
        // A space in place of the `T` is common, and so is no zone, which is taken for UTC.
        Err(_) => text.parse().ok().or_else(|| {
            let time: jiff::civil::DateTime = text.parse().ok()?;
            Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        }),
    };
    time.ok_or_else(|| {
        "`created_at` is no time: write `2026-01-31T12:00:00Z`, or seconds since 1970".to_owned()
    })
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_commonly_written() {
        let expected: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31 13:00:00+01:00",
            "2026-01-31 12:00:00",
            "1769860800",
            "1769860800.0",
        ] {
            assert_eq!(parse_time(text), Ok(expected), "{text}");
        }
        for text in ["", "yesterday", "NaN", "1e300"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_is_the_same_in_the_next_import() {
        let read = |text| {
            let mut history = History::new(Some(UserKey::new("header", "", "ada")), |id| {
                UserKey::new("header", "", id)
            });
            history.parse(1, text).into_iter().map(|it| it.line.unwrap()).collect::<Vec<_>>()
        };
        let text = r#"{"thread":7,"role":"user","content":"hi","created_at":0,"model":"x"}"#;
        assert_eq!(read(text), read(text));
        assert_eq!(read(text).len(), 2);
        let other = r#"{"user":"bob","thread":7,"role":"user","content":"hi","created_at":0}"#;
        assert_ne!(read(text), read(other));
    }
}
