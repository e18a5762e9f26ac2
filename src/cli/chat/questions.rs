//! Questions that wait for the user's answers, in the terminal.

use std::io::IsTerminal;

use serde_json::{Map, Value, json};

use crate::{
    chatkit::{StructuredInput, StructuredInputItem, StructuredInputOption},
    cli::{
        chat::Session,
        output::{bold, dim},
    },
};

impl Session {
    /// Asks one question after the other, and gives the answers; None where nobody answers any more.
    pub async fn ask_questions(
        &mut self,
        item: &StructuredInputItem,
    ) -> anyhow::Result<Option<Value>> {
        let mut answers = Map::new();
        for input in &item.inputs {
            let (question, options, multiple) = match input {
                StructuredInput::MultipleChoice { question, options, multiple, .. } => {
                    (question, options.as_slice(), *multiple)
                }
                StructuredInput::Freeform { question, description, .. } => {
                    if let Some(description) = description {
                        self.output.line(dim(&format!("  {description}")));
                    }
                    (question, &[][..], false)
                }
            };
            self.output.line(question);
            for (index, option) in options.iter().enumerate() {
                self.output.line(format!("  {} {}", dim(&(index + 1).to_string()), option.value));
            }
            if std::io::stdin().is_terminal() {
                let hint = match (options, multiple) {
                    ([], _) => "(Enter skips it) ",
                    (_, true) => "numbers, with commas (Enter skips it) ",
                    (_, false) => "a number (Enter skips it) ",
                };
                self.output.part(&bold(hint));
            }
            let Some(line) = self.lines.next_line().await? else {
                self.output.line(dim("  not answered: it waits until you write on in this thread"));
                return Ok(None);
            };
            let values = read_answer(line.trim(), options, multiple);
            if !values.is_empty() {
                answers.insert(input.id().to_owned(), json!({ "values": values }));
            }
        }
        // Who answers nothing has skipped it all.
        let status =
            if answers.is_empty() && item.inputs.len() == 1 { "skipped" } else { "answered" };
        Ok(Some(json!({ "status": status, "answers": answers })))
    }
}

/// What a line means: itself, or the options whose numbers it has.
fn read_answer(line: &str, options: &[StructuredInputOption], multiple: bool) -> Vec<String> {
    let one = |text: &str| {
        let text = text.trim();
        let number = text.parse::<usize>().ok().and_then(|it| it.checked_sub(1));
        let option = number.and_then(|it| options.get(it));
        option.map_or_else(|| text.to_owned(), |it| it.value.clone())
    };
    let parts: Vec<&str> = if multiple { line.split(',').collect() } else { vec![line] };
    parts.into_iter().map(one).filter(|it| !it.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_text_or_the_numbers_of_options() {
        let options = ["7", "Red", "Blue"].map(|it| StructuredInputOption { value: it.to_owned() });
        assert_eq!(read_answer("2", &options, false), ["Red"]);
        assert_eq!(read_answer("Blue", &options, false), ["Blue"]);
        assert_eq!(read_answer("3, 1,", &options, true), ["Blue", "7"]);
        assert_eq!(read_answer("2, or 3", &[], false), ["2, or 3"]);
        assert!(read_answer("", &options, true).is_empty());
    }
}
