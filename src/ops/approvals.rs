use crate::{
    chatkit::{ItemId, ThreadId},
    mcp,
    ops::{Answer, Caller, OpError, threads::check_open},
    turn::{Cause, Decided, Decision, find_status},
};

impl Caller<'_> {
    /// Takes what the user decided on the call that the card `item_id` asks about, and goes on with it. A card is decided
    /// on once, whoever clicks how often.
    pub async fn decide(
        &self,
        thread_id: ThreadId,
        item_id: Option<ItemId>,
        decision: Decision,
    ) -> Result<Answer, OpError> {
        // Whose it is comes first: a stranger must not learn whether it is busy.
        self.load_thread(&thread_id).await?;
        let Some(item_id) = item_id else {
            return Err(OpError::BadRequest(
                "`params.item_id`: is missing: name the card that asks".to_owned(),
            ));
        };
        self.load_widget(&thread_id, &item_id).await?;
        let guard = self.begin_next_turn(&thread_id).await?;
        let thread = self.load_thread(&thread_id).await?;
        check_open(&thread)?;
        // As the turn before it left it.
        let card = self.load_widget(&thread_id, &item_id).await?;
        let calls = self.rows().load_waiting_calls(&thread_id).await?;
        let call = calls.into_iter().find(|it| it.waits_for() == Some(&item_id));
        let Some(call) = call else {
            return Err(match find_status(&card.widget) {
                Some(status) => decided_already(status),
                None => OpError::BadRequest(
                    "`params.item_id`: is no card that asks for approval".to_owned(),
                ),
            });
        };
        // All that may fail comes before the decision is kept.
        let (agent, message) = self.last_choice(&thread_id).await?;
        // With the tools that MCP servers offer this user, as the call was made.
        let caller = mcp::Caller { request: &self.context, thread: Some(&thread_id) };
        let generation = self.generation.offered_to(caller).await;
        let decided = Decided::new(&generation, call, card, decision);
        if !self.rows().settle_calls(&thread_id, &[decided.to_settled()]).await? {
            return Err(decided_already("another one was first"));
        }
        let cause = Cause::Decided(Box::new(decided));
        self.start_turn(agent, thread, guard, cause, message, Vec::new()).await
    }
}

fn decided_already(status: &str) -> OpError {
    OpError::Conflict(format!("this call is decided on already: {}", status.to_lowercase()))
}
