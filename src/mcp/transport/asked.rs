//! What a server asks on the stream of a call's answer: the reply goes out as that call did, for the same user.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId};
use serde_json::{Value, json};

use crate::mcp::identity::Identity;

const MAX_ASKED: usize = 1024;
/// How what is ours begins.
const OURS: &str = "kitfox-";

/// What servers asked, until it is answered. Servers of one connection that know nothing of each other may ask by the same
/// id, and so each is given another.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    count: u64,
    asked: BTreeMap<u64, Question>,
}

struct Question {
    /// As the server has it.
    id: Value,
    stream: u64,
    identity: Identity,
}

/// The questions of one stream.
pub struct Stream {
    asked: Asked,
    number: u64,
    identity: Identity,
}

impl Asked {
    pub fn stream(&self, identity: &Identity) -> Stream {
        let number = {
            let mut state = self.lock();
            state.count += 1;
            state.count
        };
        Stream { asked: self.clone(), number, identity: identity.clone() }
    }

    /// Gives an answer the server's own id again. None: it answers nothing that was asked here.
    pub fn restore(&self, message: &mut ClientJsonRpcMessage) -> Option<Identity> {
        let id = match message {
            JsonRpcMessage::Response(response) => &mut response.id,
            JsonRpcMessage::Error(error) => error.id.as_mut()?,
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => return None,
        };
        let RequestId::String(text) = &*id else { return None };
        let number: u64 = text.strip_prefix(OURS)?.parse().ok()?;
        let question = self.lock().asked.remove(&number)?;
        *id = serde_json::from_value(question.id).ok()?;
        Some(question.identity)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// The event's data, with an id of ours where it asks, or takes back what it asked.
    pub fn take<'a>(&self, data: &'a str) -> Cow<'a, str> {
        if !data.contains("elicitation/create") && !data.contains("notifications/cancelled") {
            return Cow::Borrowed(data);
        }
        let Ok(mut message) = serde_json::from_str::<Value>(data) else {
            return Cow::Borrowed(data);
        };
        let is_question = message["method"] == "elicitation/create";
        let id = match message["method"].as_str() {
            Some("elicitation/create") => message["id"].clone(),
            Some("notifications/cancelled") => message["params"]["requestId"].clone(),
            _ => return Cow::Borrowed(data),
        };
        if !id.is_string() && !id.is_i64() {
            return Cow::Borrowed(data);
        }
        let mut state = self.asked.lock();
        let known = state.asked.iter().find(|(_, it)| it.stream == self.number && it.id == id);
        let number = known.map(|(number, _)| *number);
        let number = match number {
            Some(number) => number,
            None if is_question => {
                state.count += 1;
                let number = state.count;
                let (stream, identity) = (self.number, self.identity.clone());
                if state.asked.len() >= MAX_ASKED {
                    state.asked.pop_first();
                }
                state.asked.insert(number, Question { id, stream, identity });
                number
            }
            None => return Cow::Borrowed(data),
        };
        drop(state);
        let ours = json!(format!("{OURS}{number}"));
        if is_question {
            message["id"] = ours;
        } else {
            message["params"]["requestId"] = ours;
        }
        Cow::Owned(message.to_string())
    }
}
