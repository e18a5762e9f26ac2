//! A turn without a client: what `ctx.respond` begins where no turn runs.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use crate::{
    app::{App, Generation, TurnGuard},
    chatkit::{ThreadId, ThreadStatus},
    context::{Page, RequestContext},
    prompt::{Agent, FrontMatter},
    store::StoreError,
    turn::{self, Cause, Start},
    user::UserKey,
};

/// How long it waits for a turn that is being cancelled.
const PATIENCE: Duration = Duration::from_secs(3);

/// A thread that is held for its agent, until the handler that wants the agent to respond has returned.
pub struct Held {
    user: UserKey,
    thread: ThreadId,
    guard: TurnGuard,
}

/// Holds the thread. Fails with why its agent cannot respond now.
pub async fn hold(app: &App, user: &UserKey, thread: &ThreadId) -> Result<Held, String> {
    if app.stopping.is_cancelled() {
        return Err("the server is stopping".to_owned());
    }
    let guard = app.running.begin(thread, PATIENCE).await.map_err(|err| err.to_string())?;
    let metadata = app.store.of(user).load_thread(thread).await.map_err(|err| err.to_string())?;
    match metadata.status {
        ThreadStatus::Active => Ok(Held { user: user.clone(), thread: thread.clone(), guard }),
        ThreadStatus::Locked { .. } => Err("the thread is locked".to_owned()),
        ThreadStatus::Closed { .. } => Err("the thread is closed".to_owned()),
    }
}

impl Held {
    /// Begins the turn: nobody listens, and nobody can leave.
    pub async fn respond(
        self,
        app: &App,
        generation: &Arc<Generation>,
        request: &Arc<RequestContext>,
    ) {
        let thread = self.thread.clone();
        match self.start(app, generation, request).await {
            Ok(Some(start)) => drop(turn::start(app, start)),
            Ok(None) => warn!(%thread, "the agent does not respond: there is none"),
            // It was deleted meanwhile.
            Err(StoreError::NotFound) => (),
            Err(err) => warn!(%thread, "the agent does not respond: {err}"),
        }
    }

    async fn start(
        self,
        app: &App,
        generation: &Arc<Generation>,
        request: &Arc<RequestContext>,
    ) -> Result<Option<Start>, StoreError> {
        let rows = app.store.of(&self.user);
        // With what the handler changed.
        let thread = rows.load_thread(&self.thread).await?;
        let message = rows.find_last_user_message(&self.thread).await?;
        let page = rows.load_page_context(&self.thread).await?;
        let options = message.as_ref().map(|it| &it.inference_options);
        let choice = options.and_then(|it| it.tool_choice.as_ref()).map(|it| it.id.as_str());
        let default = &generation.config.agents.default;
        let Some(agent) = generation.prompts.choose(choice, default) else { return Ok(None) };
        let front = FrontMatter { allow_cancel: false, ..agent.front.clone() };
        let agent = Arc::new(Agent { id: agent.id.clone(), front });
        let model = options
            .and_then(|it| it.model.as_deref())
            .filter(|model| generation.models.contains(model))
            .or(agent.front.model.as_deref());
        let context = RequestContext::clone(request).with_last_page(Some(Page::new(page)));
        Ok(Some(Start {
            user: self.user,
            context: Arc::new(context),
            generation: generation.clone(),
            model: generation.models.choose(model),
            agent,
            thread,
            guard: self.guard,
            cause: Cause::Continue,
            message,
            opening: Vec::new(),
            resumable: false,
        }))
    }
}
