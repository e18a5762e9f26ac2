use serde_json::{Value, json as value};

use crate::{
    chatkit::{FeedbackKind, ItemsFeedbackParams, ItemsListParams},
    ops::{Answer, Caller, OpError, json, page_size},
    plugin::HookEvent,
};

/// Of items that one feedback names.
const FEEDBACK_ITEMS: usize = 100;

impl Caller<'_> {
    pub async fn list_items(&self, params: ItemsListParams) -> Result<Answer, OpError> {
        let limit = page_size(params.limit)?;
        let ItemsListParams { thread_id, order, after, .. } = params;
        match self.rows().list_items(&thread_id, limit, after.as_ref(), order).await {
            Err(crate::store::StoreError::NotFound) => Err(OpError::NotFound("thread")),
            page => {
                let mut page = page?;
                self.link_page(&mut page).await?;
                json(&page)
            }
        }
    }

    pub async fn feedback(&self, params: ItemsFeedbackParams) -> Result<Answer, OpError> {
        let ItemsFeedbackParams { thread_id, item_ids, kind } = params;
        let thread = self.load_thread(&thread_id).await?;
        if item_ids.len() > FEEDBACK_ITEMS {
            let message = format!("`params.item_ids`: more than {FEEDBACK_ITEMS} items");
            return Err(OpError::BadRequest(message));
        }
        self.rows().add_feedback(&thread_id, &item_ids, kind).await?;
        let kind = match kind {
            FeedbackKind::Positive => "positive",
            FeedbackKind::Negative => "negative",
        };
        let items: Vec<Value> = item_ids.iter().map(|id| value!(id)).collect();
        let event = value!({ "items": items, "kind": kind });
        self.run_hooks(HookEvent::Feedback, event, Some(&thread)).await;
        Ok(Answer::Json(b"{}".to_vec()))
    }
}
