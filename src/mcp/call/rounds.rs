//! What a server asks the user for before a call can go on: by holding the call, or by an answer that wants it once more.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use futures::future::select_all;
use rmcp::model::InputRequiredResult;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::oneshot, time::timeout};

use super::{Call, Landed, More, flight::Flight, waiting::Asked};
use crate::{
    mcp::{
        asking::Answer,
        elicitation::{Elicitation, Outcome, Refusal, declined},
        link::State,
        server::Server,
    },
    tool::{Answered, CallOrigin, Inquiry, ToolError, TurnRequest},
};

/// How often a call is made once more.
const MOST_ROUNDS: u32 = 10;
/// What a server asks for at one time.
const MOST_ASKED: usize = 10;
/// Of what a server has us give back.
const MAX_STATE: usize = 64 * 1024;
/// Before a call that is made once more without anything new.
const PAUSE: Duration = Duration::from_millis(250);
/// For a server to notice that the user was where it sent them.
const NOTICE: Duration = Duration::from_secs(2);

const NOBODY: &str = "nobody can be asked here: only a call by the agent that the user talks to can wait for an answer";

/// As it is kept until the user has replied.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Pause {
    /// The server holds the call.
    Held { id: String, elicitation: Elicitation },
    /// The call is made once more.
    Round(Round),
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Round {
    /// This one's number.
    number: u32,
    /// What the user has yet to be asked, by the server's names.
    left: Vec<(String, Elicitation)>,
    /// What they replied so far.
    responses: BTreeMap<String, Value>,
    /// The server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// The pages that they were to open first: the call is made as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    visits: Option<Vec<String>>,
}

impl Call<'_> {
    /// Makes the call and sees it through.
    pub async fn begin(mut self) -> Result<Value, ToolError> {
        let landed = self.send(&More::default()).await;
        let result = self.conclude(landed, 0).await;
        self.with_note(result)
    }

    /// Goes on with what the user replied.
    pub async fn resume(mut self, answered: Answered) -> Result<Value, ToolError> {
        let result = self.go_on(answered).await;
        self.with_note(result)
    }

    async fn go_on(&mut self, Answered { state, reply }: Answered) -> Result<Value, ToolError> {
        let name = &self.tool.spec.name;
        match serde_json::from_value(state) {
            Ok(Pause::Held { id, elicitation }) => {
                let waiting = &self.server.target.hub.waiting;
                let Some((mut flight, answer)) = waiting.take(&id, &self.asked()) else {
                    let seconds = self.server.file().answer_timeout.as_secs();
                    return Err(ToolError::Failed(format!(
                        "`{name}` does not wait for the user's answer any more: it does so for {seconds} s, and not \
                         across a restart; call it again if it is still needed"
                    )));
                };
                match elicitation.take(&reply) {
                    Outcome::Result(result) => {
                        // A server that waits no longer has its result ready.
                        let _ = answer.send(Ok(result));
                    }
                    Outcome::Again(again) => flight = self.hold(flight, answer, again).await?,
                }
                let landed = match self.fly(flight).await {
                    Ok(landed) => Ok(landed),
                    Err(err) => Err(self.explain(err).await),
                };
                self.conclude(landed, 0).await
            }
            Ok(Pause::Round(mut round)) if !round.left.is_empty() => {
                let (key, elicitation) = round.left.remove(0);
                match elicitation.take(&reply) {
                    Outcome::Again(again) => round.left.insert(0, (key, again)),
                    Outcome::Result(result) if round.visits.is_none() => {
                        round.responses.insert(key, result);
                    }
                    Outcome::Result(result) if result["action"] == "accept" => (),
                    Outcome::Result(_) => {
                        return Err(ToolError::Failed(format!(
                            "`{name}` needs the user to open a page first, which they declined"
                        )));
                    }
                }
                self.run(round).await
            }
            Ok(Pause::Round(_)) | Err(_) => Err(ToolError::Failed(format!(
                "what `{name}` was waiting with cannot be read any more: call it again if it is still needed"
            ))),
        }
    }

    /// Asks the user for what the round lacks, and makes the call with it.
    async fn run(&mut self, round: Round) -> Result<Value, ToolError> {
        let number = round.number;
        let more = self.ask(round).await?;
        let landed = self.send(&more).await;
        self.conclude(landed, number).await
    }

    /// What a call comes to, with all that it wants of the user.
    async fn conclude(
        &mut self,
        landed: Result<Landed, ToolError>,
        mut number: u32,
    ) -> Result<Value, ToolError> {
        let mut landed = landed?;
        loop {
            number += 1;
            let round = match landed {
                Landed::Value(value) => return Ok(value),
                Landed::Wants(_) | Landed::Visits(_) if number > MOST_ROUNDS => {
                    return Err(ToolError::Failed(format!(
                        "`{}` wants something of the user again and again: it was called {MOST_ROUNDS} times",
                        self.tool.spec.name
                    )));
                }
                Landed::Wants(result) => self.read_round(result, number)?,
                Landed::Visits(data) => self.read_visits(&data, number)?,
            };
            if round.left.is_empty() && round.responses.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
            let more = self.ask(round).await?;
            landed = self.send(&more).await?;
        }
    }

    fn read_round(&mut self, result: InputRequiredResult, number: u32) -> Result<Round, ToolError> {
        let server = &self.server.file().id;
        let failed = |what: &str| Err(ToolError::Failed(format!("the server `{server}` {what}")));
        let requests = result.input_requests.unwrap_or_default();
        if requests.len() > MOST_ASKED {
            return failed("asks the user for more at one time than people answer");
        }
        if result.request_state.as_ref().is_some_and(|it| it.len() > MAX_STATE) {
            return failed("wants more kept until the user has answered than is kept");
        }
        let mut round = Round { number, state: result.request_state, ..Round::default() };
        for (key, request) in requests {
            let request = json!(request);
            if request["method"] != "elicitation/create" {
                return failed("wants something of its client that Kitfox does not offer");
            }
            match Elicitation::read(server, &request["params"]) {
                Ok(elicitation) => round.left.push((key, elicitation)),
                Err(refusal) => {
                    let reason = self.note_refusal(&refusal);
                    round.responses.insert(key, declined(&reason));
                }
            }
        }
        Ok(round)
    }

    fn read_visits(&mut self, data: &Value, number: u32) -> Result<Round, ToolError> {
        let server = &self.server.file().id;
        let pages = data["elicitations"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut round = Round { number, visits: Some(Vec::new()), ..Round::default() };
        for page in pages.iter().take(MOST_ASKED) {
            match Elicitation::read(server, page) {
                Ok(elicitation @ Elicitation::Url { .. }) => {
                    if let (Elicitation::Url { id: Some(id), .. }, Some(visits)) =
                        (&elicitation, &mut round.visits)
                    {
                        visits.push(id.clone());
                    }
                    round.left.push((String::new(), elicitation));
                }
                Ok(Elicitation::Form(_)) => (),
                Err(refusal) => {
                    let reason = self.note_refusal(&refusal);
                    return Err(ToolError::Failed(format!(
                        "the server `{server}` wants the user to open a page first, who is not asked: {reason}"
                    )));
                }
            }
        }
        if round.left.is_empty() {
            return Err(ToolError::Failed(format!(
                "the server `{server}` wants the user to open a page first, and does not say which"
            )));
        }
        Ok(round)
    }

    /// Asks for what is left, one after the other: each time the turn ends. Gives what goes with the call when there is
    /// nothing left to ask.
    async fn ask(&mut self, mut round: Round) -> Result<More, ToolError> {
        let Some((_, first)) = round.left.first() else {
            if let Some(visits) = &round.visits {
                self.await_notice(visits).await;
            }
            let responses = Some(round.responses).filter(|it| !it.is_empty());
            return Ok(More { responses, state: round.state });
        };
        let wanted = first.wanted(&self.server.file().id);
        let reason = if self.can_ask() {
            let tool = self.tool.spec.name.clone();
            let state = json!(Pause::Round(round.clone()));
            let inquiry = Inquiry { tool, wanted, state, shown: None };
            match self.context.ask(TurnRequest::Input(inquiry)).await {
                Err(ToolError::Failed(reason)) => reason,
                Err(err) => return Err(err),
                Ok(_) => return Err(ToolError::Ended),
            }
        } else {
            NOBODY.to_owned()
        };
        if round.visits.is_some() {
            return Err(ToolError::Failed(format!(
                "`{}` needs the user to open a page first, and {reason}",
                self.tool.spec.name
            )));
        }
        let result = self.decline(reason);
        for (key, _) in std::mem::take(&mut round.left) {
            round.responses.insert(key, result.clone());
        }
        Ok(More { responses: Some(round.responses), state: round.state })
    }

    /// Asks the user what the server waits for, which ends the turn: what is left of the call is kept. Gives it back where
    /// they are not asked.
    pub async fn hold(
        &mut self,
        flight: Flight,
        answer: Answer,
        elicitation: Elicitation,
    ) -> Result<Flight, ToolError> {
        if answer.is_closed() {
            return Ok(flight);
        }
        let hub = &self.server.target.hub;
        let asked = self.asked();
        let reason = if !self.can_ask() {
            NOBODY.to_owned()
        } else if !hub.waiting.has_room(&asked) {
            "too many questions wait for the user already".to_owned()
        } else {
            let id = random_id();
            let (told, shown) = oneshot::channel();
            let inquiry = Inquiry {
                tool: self.tool.spec.name.clone(),
                wanted: elicitation.wanted(&self.server.file().id),
                state: json!(Pause::Held { id: id.clone(), elicitation }),
                shown: Some(told),
            };
            match self.context.ask(TurnRequest::Input(inquiry)).await {
                Err(ToolError::Failed(reason)) => reason,
                Err(err @ (ToolError::Turn { .. } | ToolError::Cancelled)) => return Err(err),
                Ok(_) | Err(ToolError::Ended) => {
                    let limit = self.server.file().answer_timeout;
                    hub.keep(id, (flight, answer), asked, shown, limit);
                    return Err(ToolError::Ended);
                }
            }
        };
        // The server may have taken it back.
        let _ = answer.send(Ok(self.decline(reason)));
        Ok(flight)
    }

    /// What the server is told where the user cannot be asked.
    fn decline(&mut self, reason: String) -> Value {
        let server = &self.server.file().id;
        tracing::info!(
            server = %server,
            "MCP server `{server}` asks the user something, which is declined: {reason}"
        );
        let result = declined(&reason);
        self.declined = Some(reason);
        result
    }

    /// Takes note of what the user is not asked, and gives the reason.
    pub fn note_refusal(&mut self, refusal: &Refusal) -> String {
        let server = &self.server.file().id;
        let reason = refusal.to_string();
        match refusal {
            Refusal::Unreadable(_) => tracing::info!(
                server = %server,
                "MCP server `{server}` asks what the user cannot be asked: {reason}"
            ),
            Refusal::Forbidden(_) => tracing::warn!(
                target: "security", server = %server,
                "MCP server `{server}` asks what the user must not be asked: {reason}"
            ),
        }
        self.declined = Some(reason.clone());
        reason
    }

    /// Whether the turn can end with a question.
    const fn can_ask(&self) -> bool {
        matches!(self.context.origin, CallOrigin::Model { .. })
    }

    /// Whose answers count.
    fn asked(&self) -> Asked {
        Asked {
            user: self.context.request.user.as_ref().map(|it| it.key.clone()),
            thread: self.context.thread.as_ref().map(|it| it.id.clone()),
        }
    }

    /// Gives the server a moment to notice that the user was there.
    async fn await_notice(&self, visits: &[String]) {
        let connections = self.server.links().into_iter().filter_map(|link| match link.state() {
            // Without a session it has no way to tell.
            State::Ready(connection) => Some(connection).filter(|it| it.has_session()),
            State::Stopped | State::Connecting { .. } | State::Failed { .. } => None,
        });
        let connections: Vec<_> = connections.collect();
        if connections.is_empty() {
            return;
        }
        for id in visits {
            let done = connections.iter().map(|it| Box::pin(it.calls.done(id)));
            // One that does not tell is called anyway.
            let _ = timeout(NOTICE, select_all(done)).await;
        }
    }

    /// A call that failed says that the user was not asked, which may be why.
    fn with_note(self, result: Result<Value, ToolError>) -> Result<Value, ToolError> {
        match (result, self.declined) {
            (Err(ToolError::Failed(mut text)), Some(reason)) => {
                // A string takes whatever is written to it.
                let _ =
                    write!(text, "\n(it asked the user something, which was declined: {reason})");
                Err(ToolError::Failed(text))
            }
            (result, _) => result,
        }
    }
}

/// The user wrote on: the server need not hold the call any more.
pub fn abandon(server: &Server, state: &Value) {
    if let Some(id) = state["id"].as_str() {
        server.target.hub.waiting.forget(id);
    }
}

/// What nobody guesses.
fn random_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
