use crate::{
    chatkit::{
        StructuredInput, StructuredInputAnswer, StructuredInputItem, StructuredInputStatus,
        StructuredInputSubmission, SubmissionStatus, ThreadItem, ThreadsAddStructuredInputParams,
    },
    ops::{Answer, Caller, OpError, threads::check_open},
    store::StoreError,
    turn::Cause,
};

impl Caller<'_> {
    /// Takes the user's answers to questions that wait for them, and goes on with them.
    pub async fn add_structured_input(
        &self,
        params: ThreadsAddStructuredInputParams,
    ) -> Result<Answer, OpError> {
        let ThreadsAddStructuredInputParams { thread_id, item_id, input } = params;
        // Whose it is comes first: a stranger must not learn whether it is busy.
        self.load_thread(&thread_id).await?;
        let guard = self.begin_next_turn(&thread_id).await?;
        let thread = self.load_thread(&thread_id).await?;
        check_open(&thread)?;
        let item = match self.rows().load_item(&thread_id, &item_id).await {
            Ok(item) => item,
            Err(StoreError::NotFound) => return Err(OpError::NotFound("item")),
            Err(err) => return Err(err.into()),
        };
        let ThreadItem::StructuredInput(mut item) = item else {
            return Err(OpError::BadRequest("`params.item_id`: is no structured input".to_owned()));
        };
        if item.status != StructuredInputStatus::Pending {
            return Err(OpError::BadRequest("`params.item_id`: is answered already".to_owned()));
        }
        let (agent, message) = self.last_choice(&thread_id).await?;
        apply(&mut item, input);
        let stored = ThreadItem::StructuredInput(item.clone());
        self.rows().save_item(&thread_id, &stored).await?;
        self.start_turn(agent, thread, guard, Cause::Answers(item), message, Vec::new()).await
    }
}

/// As the reference does: what is not answered is skipped, a single choice keeps one value, any text is an answer,
/// and of questions that were not asked nothing is kept.
fn apply(item: &mut StructuredInputItem, mut submission: StructuredInputSubmission) {
    let (status, all_skipped) = match submission.status {
        SubmissionStatus::Answered => (StructuredInputStatus::Answered, false),
        SubmissionStatus::Skipped => (StructuredInputStatus::Skipped, true),
    };
    for question in &mut item.inputs {
        let submitted = submission
            .answers
            .remove(question.id())
            .filter(|it| !all_skipped && !it.skipped && !it.values.is_empty());
        let given = submitted.map_or_else(
            || StructuredInputAnswer { values: Vec::new(), skipped: true },
            |it| StructuredInputAnswer { values: it.values, skipped: false },
        );
        match question {
            StructuredInput::MultipleChoice { answer, multiple, .. } => {
                let mut given = given;
                if !*multiple {
                    given.values.truncate(1);
                }
                *answer = Some(given);
            }
            StructuredInput::Freeform { answer, .. } => *answer = Some(given),
        }
    }
    item.status = status;
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;

    /// Each answer in a line, and the status.
    fn answer(submission: Value) -> String {
        let mut item: StructuredInputItem = serde_json::from_value(json!({
            "id": "msg_1", "thread_id": "thr_1", "created_at": "2026-11-20T08:30:00Z",
            "inputs": [
                { "type": "multiple_choice", "id": "one", "question": "?", "options": [{ "value": "a" }] },
                { "type": "multiple_choice", "id": "many", "question": "?", "options": [], "multiple": true },
                { "type": "freeform", "id": "free", "question": "?" },
            ],
        }))
        .unwrap();
        apply(&mut item, serde_json::from_value(submission).unwrap());
        let answers = item.inputs.iter().map(|it| {
            let answer = it.answer().unwrap();
            if answer.skipped { "skipped".to_owned() } else { format!("{:?}", answer.values) }
        });
        format!("{:?}: {}", item.status, answers.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn answers_are_kept_as_the_reference_keeps_them() {
        let values = |values: &[&str]| json!({ "values": values });
        let all = json!({ "one": values(&["a", "b"]), "many": values(&["a", "b"]), "free": values(&["x", "y"]) });
        assert_snapshot!(answer(json!({ "answers": all })), @r#"Answered: ["a"] ["a", "b"] ["x", "y"]"#);
        assert_snapshot!(answer(json!({ "answers": all, "status": "skipped" })), @"Skipped: skipped skipped skipped");
        assert_snapshot!(answer(json!({})), @"Answered: skipped skipped skipped");
        assert_snapshot!(answer(json!({ "answers": {
            "other": values(&["x"]), "one": { "values": ["a"], "skipped": true }, "many": values(&[]),
            "free": values(&["", "x"]),
        } })), @r#"Answered: skipped skipped ["", "x"]"#);
    }
}
