use std::{sync::Arc, time::Duration};

use serde_json::json as value;

use crate::{
    app::TurnGuard,
    chatkit::{
        ItemId, ItemKind, Order, Page as Listed, Thread, ThreadId, ThreadItem, ThreadMetadata,
        ThreadStatus, ThreadStreamEvent, ThreadsListParams, ThreadsUpdateParams, ToolChoice,
        UserMessageContent, UserMessageInput, UserMessageItem, now,
    },
    context::{Page, RequestContext},
    ops::{
        Answer, Caller, Client, DEFAULT_PAGE, OpError, PATIENCE, attachments::to_item, json,
        no_agent, page_size,
    },
    plugin::HookEvent,
    prompt::Agent,
    store::{Record, StoreError, StoredAttachment},
    turn::{self, Cause},
};

/// How long a turn that has shown its last item may take to end.
const ENDING: Duration = Duration::from_secs(1);
/// Of a title that a user gives, in characters.
const TITLE_LENGTH: usize = 500;

impl Caller<'_> {
    pub async fn create_thread(&self, input: UserMessageInput) -> Result<Answer, OpError> {
        let (agent, attachments) = self.prepare(&input).await?;
        let thread = ThreadMetadata::new();
        let message = user_message(&thread.id, input, &attachments);
        let guard = self.begin_turn(&thread.id).await?;
        let record = Record::Item(ThreadItem::UserMessage(message.clone()));
        let shown = self.link(&message).await?;
        self.rows().add_thread(&thread, &[record]).await?;
        let opening = vec![
            ThreadStreamEvent::ThreadCreated { thread: Thread::new(&thread, Listed::empty()) },
            ThreadStreamEvent::ItemDone { item: ThreadItem::UserMessage(shown) },
        ];
        let cause = Cause::NewThread(message.clone());
        self.start_turn(agent, thread, guard, cause, Some(message), opening).await
    }

    pub async fn add_user_message(
        &self,
        thread_id: ThreadId,
        input: UserMessageInput,
    ) -> Result<Answer, OpError> {
        // Whose it is comes first: a stranger must not learn whether it is busy.
        self.load_thread(&thread_id).await?;
        let (agent, attachments) = self.prepare(&input).await?;
        let guard = self.begin_turn(&thread_id).await?;
        let thread = self.load_thread(&thread_id).await?;
        check_open(&thread)?;
        let message = user_message(&thread.id, input, &attachments);
        let record = Record::Item(ThreadItem::UserMessage(message.clone()));
        let shown = self.link(&message).await?;
        self.rows().add_records(&thread.id, &[record], None).await?;
        let item = ThreadItem::UserMessage(shown);
        let opening = vec![ThreadStreamEvent::ItemDone { item }];
        let cause = Cause::Message(message.clone());
        self.start_turn(agent, thread, guard, cause, Some(message), opening).await
    }

    pub async fn retry_after_item(
        &self,
        thread_id: ThreadId,
        item_id: ItemId,
    ) -> Result<Answer, OpError> {
        self.load_thread(&thread_id).await?;
        let guard = self.begin_turn(&thread_id).await?;
        let thread = self.load_thread(&thread_id).await?;
        check_open(&thread)?;
        let item = self.rows().load_item(&thread_id, &item_id).await?;
        let ThreadItem::UserMessage(message) = item else {
            return Err(OpError::BadRequest(
                "`params.item_id`: is not a user message: only those can be answered again"
                    .to_owned(),
            ));
        };
        let agent = self.choose_agent(message.inference_options.tool_choice.as_ref())?;
        self.rows().delete_after(&thread_id, &item_id).await?;
        self.app.mcp.waiting.forget_thread(&self.user.key, &thread_id);
        let cause = Cause::Message(message.clone());
        self.start_turn(agent, thread, guard, cause, Some(message), Vec::new()).await
    }

    pub async fn get_thread(&self, thread_id: &ThreadId) -> Result<Answer, OpError> {
        let rows = self.rows();
        let page = rows.load_thread_with_items(thread_id, DEFAULT_PAGE, Order::Asc).await;
        let (thread, mut items) = page.map_err(unknown_thread)?;
        self.link_page(&mut items).await?;
        json(&Thread::new(&thread, items))
    }

    pub async fn list_threads(&self, params: ThreadsListParams) -> Result<Answer, OpError> {
        let limit = page_size(params.limit)?;
        let page = self.rows().list_threads(limit, params.after.as_ref(), params.order).await?;
        json(&Listed {
            data: page.data.iter().map(|it| Thread::new(it, Listed::empty())).collect(),
            has_more: page.has_more,
            after: page.after,
        })
    }

    pub async fn update_thread(&self, params: ThreadsUpdateParams) -> Result<Answer, OpError> {
        if params.title.chars().count() > TITLE_LENGTH {
            return Err(OpError::BadRequest(format!(
                "`params.title`: is longer than {TITLE_LENGTH} characters"
            )));
        }
        let thread = self
            .rows()
            .update_thread(&params.thread_id, |thread| thread.title = Some(params.title))
            .await
            .map_err(unknown_thread)?;
        json(&Thread::new(&thread, Listed::empty()))
    }

    /// Deletes a thread; a turn that runs on it ends.
    pub async fn delete_thread(&self, thread_id: &ThreadId) -> Result<Answer, OpError> {
        let thread = self.load_thread(thread_id).await?;
        let blobs = self.rows().delete_thread(thread_id).await?;
        self.delete_blobs(blobs);
        self.app.running.cancel(thread_id, PATIENCE).await;
        self.app.timeline.forget(thread_id.as_str());
        self.app.mcp.waiting.forget_thread(&self.user.key, thread_id);
        self.run_hooks(HookEvent::ThreadDeleted, value!({ "thread": thread }), None).await;
        Ok(Answer::Json(b"{}".to_vec()))
    }

    pub fn rows(&self) -> crate::store::UserStore<'_> {
        self.app.store.of(&self.user.key)
    }

    pub async fn load_thread(&self, thread_id: &ThreadId) -> Result<ThreadMetadata, OpError> {
        self.rows().load_thread(thread_id).await.map_err(unknown_thread)
    }

    /// Checks what can be checked of a message before anything is stored.
    async fn prepare(
        &self,
        input: &UserMessageInput,
    ) -> Result<(Arc<Agent>, Vec<StoredAttachment>), OpError> {
        let is_text = |part: &UserMessageContent| match part {
            UserMessageContent::InputText { text } => !text.is_empty(),
            UserMessageContent::InputTag(_) => true,
        };
        let length = |part: &UserMessageContent| match part {
            UserMessageContent::InputText { text } => text.len(),
            UserMessageContent::InputTag(_) => 0,
        };
        let limit = self.generation.config.limits.message_bytes;
        let quoted = input.quoted_text.as_ref().map_or(0, String::len);
        if input.content.iter().map(length).sum::<usize>() + quoted > limit {
            return Err(OpError::TooLarge(format!(
                "`params.input.content`: the message is longer than {limit} bytes (`[limits] message_bytes`)"
            )));
        }
        if input.attachments.is_empty() && !input.content.iter().any(is_text) {
            return Err(OpError::BadRequest(
                "`params.input.content`: the message is empty".to_owned(),
            ));
        }
        self.check_model(input.inference_options.model.as_deref())?;
        let agent = self.choose_agent(input.inference_options.tool_choice.as_ref())?;
        let attachments = self.load_attachments(&input.attachments, &agent).await?;
        Ok((agent, attachments))
    }

    fn check_model(&self, model: Option<&str>) -> Result<(), OpError> {
        match model {
            Some(model) if !self.generation.models.contains(model) => {
                let labels = self.generation.models.labels();
                let known: Vec<_> = labels.iter().map(|(key, _)| format!("`{key}`")).collect();
                let known = known.join(", ");
                Err(OpError::BadRequest(format!(
                    "`params.input.inference_options.model`: there is no model `{model}`: choose one of {known}"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub fn choose_agent(&self, tool_choice: Option<&ToolChoice>) -> Result<Arc<Agent>, OpError> {
        let default = &self.generation.config.agents.default;
        let choice = tool_choice.map(|it| it.id.as_str());
        let agent = self.generation.prompts.choose(choice, default);
        agent.cloned().ok_or_else(|| no_agent(self.app, default))
    }

    pub async fn begin_turn(&self, thread_id: &ThreadId) -> Result<TurnGuard, OpError> {
        if self.app.stopping.is_cancelled() {
            return Err(OpError::Unavailable("the server is stopping".to_owned()));
        }
        let mut guard = self.app.running.begin(thread_id, PATIENCE).await?;
        guard.admitted = self.admit_turn().await?;
        Ok(guard)
    }

    /// The same for what answers the end of a turn: that may be on its way out still.
    pub async fn begin_next_turn(&self, thread_id: &ThreadId) -> Result<TurnGuard, OpError> {
        self.app.running.wait(thread_id, ENDING).await;
        self.begin_turn(thread_id).await
    }

    /// Begins a turn that answers no new message, with the agent and the model that the thread's last one chose.
    pub async fn resume(
        &self,
        thread: ThreadMetadata,
        guard: TurnGuard,
        cause: Cause,
        opening: Vec<ThreadStreamEvent>,
    ) -> Result<Answer, OpError> {
        let (agent, message) = self.last_choice(&thread.id).await?;
        self.start_turn(agent, thread, guard, cause, message, opening).await
    }

    /// The thread's last message, and the agent that it chose.
    pub async fn last_choice(
        &self,
        thread_id: &ThreadId,
    ) -> Result<(Arc<Agent>, Option<UserMessageItem>), OpError> {
        let message = self.rows().find_last_user_message(thread_id).await?;
        let choice = message.as_ref().and_then(|it| it.inference_options.tool_choice.as_ref());
        Ok((self.choose_agent(choice)?, message))
    }

    /// Begins a turn in a thread that it has for itself. `message` is the last one of the user's.
    pub async fn start_turn(
        &self,
        agent: Arc<Agent>,
        thread: ThreadMetadata,
        guard: TurnGuard,
        cause: Cause,
        message: Option<UserMessageItem>,
        opening: Vec<ThreadStreamEvent>,
    ) -> Result<Answer, OpError> {
        let context = self.remember_page(&thread.id, &cause).await;
        // The choice of a message that is answered again may be gone from the configuration.
        let choice = message.as_ref().and_then(|it| it.inference_options.model.as_deref());
        let choice = choice.filter(|model| self.generation.models.contains(model));
        let model = self.generation.models.choose(choice.or(agent.front.model.as_deref()));
        let start = turn::Start {
            user: self.user.key.clone(),
            context,
            generation: self.generation.clone(),
            agent,
            model,
            thread,
            guard,
            cause,
            message,
            opening,
            resumable: self.client == Client::Resuming,
        };
        Ok(Answer::Stream(turn::start(self.app, start)))
    }

    /// The page that this request brings is kept for the turns that bring none; such a turn gets the
    /// last one. The message is stored by now, so that a failure here is no reason to refuse it.
    async fn remember_page(&self, thread_id: &ThreadId, cause: &Cause) -> Arc<RequestContext> {
        let page = &self.context.page;
        let result = if page.is_known() {
            self.rows().save_page_context(thread_id, &page.0).await.map(|()| None)
        } else if let Cause::NewThread(_) = cause {
            Ok(None)
        } else {
            self.rows().load_page_context(thread_id).await.map(Some)
        };
        match result {
            Ok(None) => self.context.clone(),
            Ok(Some(last)) if last.is_empty() => self.context.clone(),
            Ok(Some(last)) => {
                let context = RequestContext::clone(&self.context);
                Arc::new(context.with_last_page(Some(Page::new(last))))
            }
            Err(err) => {
                tracing::warn!("the page context of a thread is lost: {err}");
                self.context.clone()
            }
        }
    }
}

pub fn unknown_thread(err: StoreError) -> OpError {
    match err {
        StoreError::NotFound => OpError::NotFound("thread"),
        err @ (StoreError::BadCursor | StoreError::Unavailable(_) | StoreError::Failed(_)) => {
            err.into()
        }
    }
}

fn user_message(
    thread: &ThreadId,
    input: UserMessageInput,
    attachments: &[StoredAttachment],
) -> UserMessageItem {
    let attachments = attachments.iter().map(|it| to_item(it, Some(thread.clone())));
    UserMessageItem {
        id: ItemId::generate(ItemKind::Message),
        thread_id: thread.clone(),
        created_at: now(),
        content: input.content,
        attachments: attachments.collect(),
        quoted_text: input.quoted_text,
        inference_options: input.inference_options,
    }
}

pub fn check_open(thread: &ThreadMetadata) -> Result<(), OpError> {
    let (state, reason) = match &thread.status {
        ThreadStatus::Active => return Ok(()),
        ThreadStatus::Locked { reason } => ("locked", reason),
        ThreadStatus::Closed { reason } => ("closed", reason),
    };
    Err(OpError::Conflict(match reason {
        Some(reason) => format!("the thread is {state}: {reason}"),
        None => format!("the thread is {state}"),
    }))
}
