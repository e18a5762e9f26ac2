//! What servers ask the user for (MCP's elicitation): forms, and pages to open.

mod field;
mod form;
mod secrets;
mod visit;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    mcp::clean::{clean, cut},
    tool::{Reply, Visit, Wanted},
};

use self::form::{Form, Taken};

/// Of what a server says with what it asks for, in characters.
const MAX_MESSAGE: usize = 1000;

/// Something that a server asks the user for. It is kept while they make up their mind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Elicitation {
    Form(Form),
    Url {
        visit: Visit,
        /// Of revision 2025-11-25: what the server calls it when it tells that it is done.
        id: Option<String>,
    },
}

/// Why the user is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not what the protocol has.
    #[error("{0}")]
    Unreadable(String),
    /// It must not be asked for in this way.
    #[error("{0}")]
    Forbidden(String),
}

/// What becomes of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The server gets this `ElicitResult`.
    Result(Value),
    /// What the user said does not fit: they are asked again for what does not.
    Again(Elicitation),
}

impl Elicitation {
    /// Reads the parameters of `elicitation/create`.
    pub fn read(server: &str, params: &Value) -> Result<Self, Refusal> {
        let said = params["message"].as_str().unwrap_or_default();
        let message = cut(clean(said).trim().to_owned(), MAX_MESSAGE);
        match params["mode"].as_str() {
            None | Some("form") => Form::read(message, &params["requestedSchema"]).map(Self::Form),
            Some("url") => {
                let visit = visit::read(server, message, &params["url"])?;
                let id = params["elicitationId"].as_str().filter(|it| !it.is_empty());
                Ok(Self::Url { visit, id: id.map(str::to_owned) })
            }
            Some(_) => {
                let message = "`mode` is none that is known: `form` or `url`".to_owned();
                Err(Refusal::Unreadable(message))
            }
        }
    }

    /// What the user is shown.
    pub fn wanted(&self, server: &str) -> Wanted {
        match self {
            Self::Form(form) => Wanted::Answers(form.questions(server)),
            Self::Url { visit, .. } => Wanted::Visit(visit.clone()),
        }
    }

    /// What the user's reply comes to.
    pub fn take(self, reply: &Reply) -> Outcome {
        let action = |action: &str| Outcome::Result(json!({ "action": action }));
        match (self, reply) {
            (Self::Form(form), Reply::Answers(item)) => match form.take(item) {
                Taken::Whole(content) => {
                    Outcome::Result(json!({ "action": "accept", "content": content }))
                }
                Taken::Declined => action("decline"),
                Taken::GivenUp => action("cancel"),
                Taken::Again(form) => Outcome::Again(Self::Form(form)),
            },
            (Self::Url { .. }, Reply::Visited) => action("accept"),
            (_, Reply::Answers(_) | Reply::Visited | Reply::Declined) => action("decline"),
        }
    }
}

/// The `ElicitResult` where the user is not asked, with the reason for the server's maker.
pub fn declined(reason: &str) -> Value {
    json!({ "action": "decline", "_meta": { "kitfox/reason": reason } })
}

/// The `ElicitResult` where the user did not decide.
pub fn cancelled(reason: &str) -> Value {
    json!({ "action": "cancel", "_meta": { "kitfox/reason": reason } })
}
