use std::time::Duration;

use futures::future::BoxFuture;
use tracing::{info, warn};

use crate::{
    chatkit::{Attachment, ThreadId, ThreadMetadata, UserMessageItem},
    model::{InputContent, InputItem, ModelRequest, Role, complete},
    prompt::Titles,
    store::{StoreError, UserStore},
    turn::{Turn, TurnEnd},
};

const PROMPT: &str = "Give a title to the conversation that begins with the user's message: three to six \
    words in the language of the message, no quotes, no full stop. Answer with the title alone.";
/// Of the message, in characters: enough to name it.
const MESSAGE_LENGTH: usize = 2000;
/// Of a title, in characters.
const TITLE_LENGTH: usize = 80;
/// How long the end of a turn waits for its title.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a title is waited for when its turn has ended.
const LATE: Duration = Duration::from_secs(30);

impl Turn {
    /// Begins to name a new thread, beside its first turn.
    pub fn begin_title(
        &self,
        message: &UserMessageItem,
    ) -> Option<BoxFuture<'static, Option<String>>> {
        if self.thread.title.is_some() {
            return None;
        }
        let (model, prompt) = match &self.agent.front.titles {
            Titles::Off => return None,
            Titles::On => (None, None),
            Titles::With { model, prompt } => (model.as_deref(), prompt.as_deref()),
        };
        let model = match model {
            Some(key) => self.generation.models.choose(Some(key)).ok()?,
            None => self.model.as_ref().ok()?.clone(),
        };
        let mut text: String = message.text().chars().take(MESSAGE_LENGTH).collect();
        if text.trim().is_empty() {
            let names: Vec<&str> = message.attachments.iter().map(Attachment::name).collect();
            text = names.join(", ");
        }
        if text.trim().is_empty() {
            return None;
        }
        let request = ModelRequest {
            model: model.model.clone(),
            instructions: prompt.unwrap_or(PROMPT).to_owned(),
            input: vec![InputItem::Message {
                role: Role::User,
                content: vec![InputContent::Text(text)],
            }],
            spent: self.spent.clone(),
            ..ModelRequest::default()
        };
        Some(Box::pin(async move {
            match complete(&model, request).await {
                Ok(title) => clean(&title),
                Err(err) => {
                    info!("the thread stays without a title: {err}");
                    None
                }
            }
        }))
    }

    /// Gives the thread its title, unless a plugin or the user was first.
    pub async fn set_title(&mut self, title: Option<String>) -> Result<(), TurnEnd> {
        let Some(title) = title else { return Ok(()) };
        let title = self.sink.cover.text(title);
        let before = self.thread.title.clone();
        self.thread = name(&self.sink.rows(), &self.thread.id, title).await?;
        self.thread_changed |= self.thread.title != before;
        Ok(())
    }

    /// Waits a little for a title that is not there yet.
    pub async fn await_title(&mut self) -> Result<(), TurnEnd> {
        let mut title = self.title.take();
        if title.is_none() {
            return Ok(());
        }
        // What waits for the user waits for no title.
        let patience = if self.waiting.is_empty() { PATIENCE } else { Duration::ZERO };
        let given = self.drive(tokio::time::timeout(patience, poll_title(&mut title))).await;
        // What the turn cannot wait for is waited for beside it.
        self.title = title;
        if let Ok(Some(given)) = given? {
            self.set_title(given).await?;
        }
        self.flush_thread().await
    }

    /// Lets the thread have its title though the turn has ended before.
    pub fn leave_title(&mut self) {
        let Some(title) = self.title.take() else { return };
        if self.app.stopping.is_cancelled() {
            return;
        }
        let (store, user) = (self.app.store.clone(), self.sink.user.clone());
        let thread = self.thread.id.clone();
        self.app.tasks.spawn(async move {
            let Ok(Some(title)) = tokio::time::timeout(LATE, title).await else { return };
            match name(&store.of(&user), &thread, title).await {
                // Its thread was deleted meanwhile.
                Ok(_) | Err(StoreError::NotFound) => (),
                Err(err) => warn!("a thread stays without a title: {err}"),
            }
        });
    }
}

/// Names the thread, unless it has a name.
async fn name(
    rows: &UserStore<'_>,
    thread: &ThreadId,
    title: String,
) -> Result<ThreadMetadata, StoreError> {
    rows.update_thread(thread, |thread| thread.title = thread.title.take().or(Some(title))).await
}

/// One line without quotes, or nothing.
fn clean(title: &str) -> Option<String> {
    let line = title.trim().lines().next()?;
    let line = line.trim().trim_matches(['"', '\'', '“', '”', '«', '»', '*', '#', ' ']);
    let line = line.strip_suffix('.').unwrap_or(line);
    let title: String = line.chars().filter(|it| !it.is_control()).take(TITLE_LENGTH).collect();
    (!title.is_empty()).then_some(title)
}

/// Waits for the title, where one is on its way; else for ever. The title is gone once it was given.
pub async fn poll_title(
    title: &mut Option<BoxFuture<'static, Option<String>>>,
) -> Option<Option<String>> {
    match title {
        Some(future) => {
            let result = future.await;
            *title = None;
            Some(result)
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn a_title_is_one_plain_line() {
        assert_eq!(clean("\"Weather in Oslo.\"\nmore").as_deref(), Some("Weather in Oslo"));
        assert_eq!(clean("# **A plan**").as_deref(), Some("A plan"));
        assert_eq!(clean(" \n"), None);
        assert_eq!(clean(&"x".repeat(200)).map(|it| it.len()), Some(80));
    }
}
