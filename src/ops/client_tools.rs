use crate::{
    chatkit::{
        ClientToolCallItem, ClientToolCallStatus, ItemId, Order, ThreadId, ThreadItem,
        ThreadsAddClientToolOutputParams,
    },
    ops::{Answer, Caller, DEFAULT_PAGE, OpError, threads::check_open},
    turn::Cause,
};

impl Caller<'_> {
    /// Takes what the page answers to the call that ended the last turn, and goes on with it.
    pub async fn add_client_tool_output(
        &self,
        params: ThreadsAddClientToolOutputParams,
    ) -> Result<Answer, OpError> {
        let ThreadsAddClientToolOutputParams { thread_id, result } = params;
        // Whose it is comes first: a stranger must not learn whether it is busy.
        self.load_thread(&thread_id).await?;
        let guard = self.begin_next_turn(&thread_id).await?;
        let thread = self.load_thread(&thread_id).await?;
        check_open(&thread)?;
        let (call, abandoned) = self.find_pending_call(&thread_id).await?;
        let (agent, message) = self.last_choice(&thread_id).await?;
        let call = ClientToolCallItem {
            status: ClientToolCallStatus::Completed,
            // As the reference does: null is as good as nothing.
            output: Some(result).filter(|it| !it.is_null()),
            ..call
        };
        let item = ThreadItem::ClientToolCall(call);
        self.rows().save_item_and_delete(&thread_id, &item, &abandoned).await?;
        self.start_turn(agent, thread, guard, Cause::Continue, message, Vec::new()).await
    }

    /// The call that the page is to answer, and those before it that nobody answered.
    async fn find_pending_call(
        &self,
        thread_id: &ThreadId,
    ) -> Result<(ClientToolCallItem, Vec<ItemId>), OpError> {
        let page = self.rows().list_items(thread_id, DEFAULT_PAGE, None, Order::Desc).await?;
        let mut last = None;
        let mut abandoned = Vec::new();
        for (index, json) in page.data.iter().enumerate() {
            let item =
                serde_json::from_str(json.get()).map_err(|err| OpError::Failed(err.into()))?;
            let ThreadItem::ClientToolCall(call) = item else { continue };
            match (index, call.status) {
                (0, ClientToolCallStatus::Pending) => last = Some(call),
                (_, ClientToolCallStatus::Pending) => abandoned.push(call.id),
                (_, ClientToolCallStatus::Completed) => (),
            }
        }
        let call = last.ok_or_else(|| {
            OpError::BadRequest(
                "the last item of the thread is no client tool call that waits for output"
                    .to_owned(),
            )
        })?;
        Ok((call, abandoned))
    }
}
