//! How a turn ends: what a turn that was cut keeps, and how a failure is told.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    chatkit::{
        ErrorCode, ErrorEvent, ItemId, ItemKind, SdkHiddenContextItem, ThreadItem,
        ThreadStreamEvent, now,
    },
    config::document::one_line,
    model::ModelError,
    plugin::HookEvent,
    store::{Record, StoreError},
    telemetry::Traced,
    turn::{LAST_WORD, Turn},
};

/// Why a turn ended before it was done.
#[derive(Debug)]
pub enum TurnEnd {
    /// A handler ended it as it wished: nothing failed.
    Ended,
    /// Its client left, its thread was deleted, or the server stops.
    Cancelled,
    Failed(Failure),
}

#[derive(Debug)]
pub enum Failure {
    Model(ModelError),
    Store(StoreError),
    /// A handler ended it with an error for the user.
    User {
        message: String,
        retry: bool,
    },
    /// A hook failed, or a prompt could not be rendered: the author's to mend.
    Author(String),
    /// The handler of an action failed: not for the one who chose it.
    Action(String),
    Rounds(usize),
    /// It took longer than a turn may.
    Time(Duration),
    Panicked,
}

impl Failure {
    /// What failed, in a word.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Model(_) => "model_failed",
            Self::Store(_) => "store_failed",
            Self::User { .. } => "refused_by_plugin",
            Self::Author(_) | Self::Action(_) => "plugin_failed",
            Self::Rounds(_) => "too_many_rounds",
            Self::Time(_) => "too_long",
            Self::Panicked => "panicked",
        }
    }
}

impl From<StoreError> for TurnEnd {
    fn from(err: StoreError) -> Self {
        match err {
            // The thread was deleted under the turn.
            StoreError::NotFound => Self::Cancelled,
            err @ (StoreError::BadCursor | StoreError::Unavailable(_) | StoreError::Failed(_)) => {
                Self::Failed(Failure::Store(err))
            }
        }
    }
}

impl From<ModelError> for TurnEnd {
    fn from(err: ModelError) -> Self {
        Self::Failed(Failure::Model(err))
    }
}

impl Turn {
    /// Counts the turn by what it ended with.
    pub fn watch_end(&self, end: Option<&TurnEnd>, traced: &Traced) {
        let outcome = match end {
            None | Some(TurnEnd::Ended) => "done",
            Some(TurnEnd::Cancelled) => "cancelled",
            Some(TurnEnd::Failed(failure)) => failure.kind(),
        };
        self.watch.end(outcome);
        if let Some(TurnEnd::Failed(_) | TurnEnd::Cancelled) = end {
            traced.fail(outcome);
        }
    }

    /// The turn's last acts: what a turn that was cut keeps, and how a failure is told.
    pub async fn finish(&mut self, end: Option<TurnEnd>) {
        self.leave_title();
        match end {
            None | Some(TurnEnd::Ended) => {
                info!(
                    agent = %self.agent.id,
                    items = self.items.len(),
                    input_tokens = self.usage.input_tokens,
                    output_tokens = self.usage.output_tokens,
                    "turn done"
                );
            }
            Some(TurnEnd::Cancelled) => self.finish_cancelled().await,
            Some(TurnEnd::Failed(failure)) => self.finish_failed(failure).await,
        }
    }

    async fn finish_cancelled(&mut self) {
        info!(agent = %self.agent.id, "turn cancelled");
        if self.answered {
            return;
        }
        let stopping = self.app.stopping.is_cancelled();
        let note = if stopping {
            "The server was stopped before the answer was complete. Stop responding to the prior request."
        } else {
            "The user cancelled the stream. Stop responding to the prior request."
        };
        self.keep_pending(note).await;
        if stopping {
            self.send_error(ErrorEvent {
                code: ErrorCode::StreamError,
                message: None,
                allow_retry: true,
            })
            .await;
        }
    }

    /// Stores the text that was shown, and a hidden note that says why there is no more of it.
    async fn keep_pending(&mut self, note: &str) {
        let mut records = self.sink.take_pending_text();
        records.append(&mut self.hidden);
        records.push(Record::Item(ThreadItem::SdkHiddenContext(SdkHiddenContextItem {
            id: ItemId::generate(ItemKind::HiddenContext),
            thread_id: self.thread.id.clone(),
            created_at: now(),
            content: note.to_owned(),
        })));
        match self.sink.add_records(&records).await {
            // Its thread was deleted: that is why it ended.
            Ok(()) | Err(StoreError::NotFound) => (),
            Err(err) => error!("cannot store what a cancelled turn leaves: {err:#}"),
        }
    }

    async fn finish_failed(&mut self, failure: Failure) {
        // What was said before it failed comes first. A client that has left needs nothing more.
        let _ = self.sink.flush().await;
        let error = self.describe(&failure);
        let message = error.message.clone().unwrap_or_else(|| "the turn failed".to_owned());
        if !self.sink.pending.is_empty() {
            self.keep_pending("The answer was cut off by an error.").await;
        }
        let summary = self.summary(&json!({ "message": message, "retry": error.allow_retry }));
        // Its own token was cancelled with the turn; the hooks of its end still run.
        self.cancelled = CancellationToken::new();
        self.sink.cancelled = self.cancelled.clone();
        if let Err(end) = self.run_hooks(HookEvent::TurnFailed, summary).await {
            warn!("a hook of `turn.failed` failed too: {end:?}");
        }
        self.send_error(error).await;
        // Whatever changed before the failure is saved; the client hears of it after the error.
        if let Err(end) = self.flush_thread().await {
            info!("the client was not told of its changed thread: {end:?}");
        }
    }

    async fn send_error(&mut self, mut error: ErrorEvent) {
        error.message = error.message.map(|it| self.sink.cover.text(it));
        // A client that has left needs no error, and one that does not read gets none.
        let sending = self.sink.send_last(ThreadStreamEvent::Error { error });
        let _ = tokio::time::timeout(LAST_WORD, sending).await;
    }

    /// What the user is told of a failure, which is logged here, once.
    fn describe(&self, failure: &Failure) -> ErrorEvent {
        let generic = ErrorEvent { code: ErrorCode::StreamError, message: None, allow_retry: true };
        let custom = |message: &str, allow_retry| ErrorEvent {
            code: ErrorCode::Custom,
            message: Some(message.to_owned()),
            allow_retry,
        };
        match failure {
            Failure::Model(ModelError::Unconfigured(message)) => {
                error!("no model: {message}");
                custom(message, true)
            }
            Failure::Model(err) => {
                error!("the turn failed: {err}");
                generic
            }
            Failure::Store(err) => {
                error!("the turn failed: {:#}", anyhow::anyhow!("{err:?}"));
                generic
            }
            Failure::User { message, retry } => {
                info!("the turn was ended by a plugin with an error for the user");
                custom(message, *retry)
            }
            Failure::Author(message) => {
                error!("the turn failed: {}", one_line(message));
                // On a developer's own machine the author is the one who chats.
                if self.generation.config.is_local() { custom(message, true) } else { generic }
            }
            Failure::Action(message) => {
                error!("the turn failed: {}", one_line(message));
                generic
            }
            Failure::Rounds(rounds) => {
                warn!("the turn was ended after {rounds} rounds of tool calls");
                custom("The assistant did not come to an end. Please try again.", true)
            }
            Failure::Time(time) => {
                warn!("the turn was ended after {} s (`[limits] turn_time`)", time.as_secs());
                custom("The assistant took too long. Please try again.", true)
            }
            Failure::Panicked => {
                error!("the turn panicked");
                generic
            }
        }
    }
}
