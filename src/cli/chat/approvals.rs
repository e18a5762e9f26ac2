//! Calls that wait for the user's approval, in the terminal.

use std::{io::IsTerminal, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    chatkit::{ItemId, StructuredInputItem, StructuredInputStatus, ThreadItem},
    cli::{
        chat::Session,
        output::{bold, dim},
    },
    turn::Decision,
};

/// Something that waits for the user.
#[derive(Clone)]
pub enum Card {
    /// A call that they approve of or not.
    Call(ItemId),
    Questions(Box<StructuredInputItem>),
}

impl Session {
    /// Keeps what waits for the user, for [`Self::decide`].
    pub fn note_card(&mut self, item: &ThreadItem) {
        match item {
            ThreadItem::Widget(widget)
                if decides(&widget.widget.0["confirm"]) == Some(Decision::Approve) =>
            {
                self.cards.push(Card::Call(widget.id.clone()));
            }
            ThreadItem::StructuredInput(item) if item.status == StructuredInputStatus::Pending => {
                self.cards.push(Card::Questions(Box::new(item.clone())));
            }
            _ => (),
        }
    }

    /// Asks about each thing that waits, and goes on with what is answered.
    pub async fn decide(&mut self) -> anyhow::Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        while let Some(card) = self.cards.first().cloned() {
            code = match card {
                Card::Call(card) => {
                    let Some(action) = self.ask().await? else { return Ok(code) };
                    self.cards.remove(0);
                    self.send_decision(&card, action).await?
                }
                Card::Questions(item) => {
                    let Some(input) = self.ask_questions(&item).await? else { return Ok(code) };
                    self.cards.remove(0);
                    let params =
                        json!({ "thread_id": self.thread, "item_id": item.id, "input": input });
                    let operation = "threads.add_structured_input";
                    let events = self.client.stream(operation, params).await?;
                    self.show_stream(events).await?
                }
            };
        }
        Ok(code)
    }

    /// None where nobody answers any more.
    async fn ask(&mut self) -> anyhow::Result<Option<&'static str>> {
        loop {
            if std::io::stdin().is_terminal() {
                self.output.part(&bold("approve? [y/n] "));
            }
            let Some(line) = self.lines.next_line().await? else {
                self.output.line(dim("  not decided: it waits until you write on in this thread"));
                return Ok(None);
            };
            match line.trim().to_lowercase().as_str() {
                "y" | "yes" => return Ok(Some("kitfox.approve")),
                "n" | "no" => return Ok(Some("kitfox.deny")),
                _ => {
                    self.output.line("`y` runs the call, `n` does not; Ctrl-D leaves it for later");
                }
            }
        }
    }

    async fn send_decision(&mut self, card: &ItemId, action: &str) -> anyhow::Result<ExitCode> {
        let action = json!({ "type": action });
        let params = json!({ "thread_id": self.thread, "item_id": card, "action": action });
        let events = self.client.stream("threads.custom_action", params).await?;
        self.show_stream(events).await
    }
}

/// What a card says, a line for each of its texts; None for another widget.
pub fn describe_card(widget: &Value) -> Option<String> {
    if widget["key"] != "kitfox.approval" {
        return None;
    }
    let mut lines = vec![widget["status"]["text"].as_str().unwrap_or_default()];
    for child in widget["children"].as_array()? {
        let text = child["value"].as_str().unwrap_or_default();
        lines.extend(text.lines().filter(|it| !it.starts_with("```")));
    }
    Some(format!("[{}]", lines.join("\n   ")))
}

fn decides(button: &Value) -> Option<Decision> {
    Decision::of_action(button["action"]["type"].as_str()?)
}
