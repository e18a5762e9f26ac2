use serde_json::{Map, Value};

use crate::chatkit::{StructuredInput, StructuredInputOption};

/// Of one `ctx.ask`.
const QUESTIONS: usize = 20;
/// Of one question.
const OPTIONS: usize = 50;

const KEYS: [&str; 5] = ["id", "question", "options", "multiple", "description"];

/// Reads what `ctx.ask` is given. Fails with what is wrong and what to do.
pub fn read_questions(questions: &Value) -> Result<Vec<StructuredInput>, String> {
    let Value::Array(questions) = questions else {
        return Err(
            "`ctx.ask` takes an array of questions: write `ctx.ask([#{ id: …, question: … }])`"
                .to_owned(),
        );
    };
    if questions.is_empty() {
        return Err("`ctx.ask` is given no question: give it one at least".to_owned());
    }
    if questions.len() > QUESTIONS {
        return Err(format!(
            "`ctx.ask` is given {} questions, and takes {QUESTIONS} at most: ask again when they are answered",
            questions.len()
        ));
    }
    let mut read: Vec<StructuredInput> = Vec::with_capacity(questions.len());
    for (index, question) in questions.iter().enumerate() {
        let question = read_question(question)
            .map_err(|err| format!("question {} of `ctx.ask`: {err}", index + 1))?;
        if read.iter().any(|it| it.id() == question.id()) {
            return Err(format!(
                "two questions of `ctx.ask` have the id `{}`: give each its own",
                question.id()
            ));
        }
        read.push(question);
    }
    Ok(read)
}

fn read_question(question: &Value) -> Result<StructuredInput, String> {
    let Value::Object(map) = question else {
        return Err("it is no map: write `#{ id: …, question: … }`".to_owned());
    };
    if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("it knows no `{unknown}`: it has `{}`", KEYS.join("`, `")));
    }
    let id = text(map, "id")?.ok_or("it lacks `id`: add `id: \"…\"`")?;
    let question = text(map, "question")?.ok_or("it lacks `question`: add `question: \"…\"`")?;
    let description = text(map, "description")?;
    let multiple = match map.get("multiple") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(multiple)) => Some(*multiple),
        Some(_) => return Err("`multiple` must be `true` or `false`".to_owned()),
    };
    match map.get("options") {
        None | Some(Value::Null) if multiple.is_some() => {
            Err("`multiple` is for questions with `options`: add some, or leave it out".to_owned())
        }
        None | Some(Value::Null) => {
            Ok(StructuredInput::Freeform { id, question, answer: None, description })
        }
        Some(_) if description.is_some() => Err(
            "`description` is shown with questions without `options` only: say it in `question`"
                .to_owned(),
        ),
        Some(options) => Ok(StructuredInput::MultipleChoice {
            id,
            question,
            answer: None,
            options: read_options(options)?,
            multiple: multiple.unwrap_or_default(),
        }),
    }
}

fn read_options(options: &Value) -> Result<Vec<StructuredInputOption>, String> {
    let Value::Array(options) = options else {
        return Err("`options` must be an array of texts".to_owned());
    };
    if !(1..=OPTIONS).contains(&options.len()) {
        return Err(format!("`options` has {} entries: give it 1 to {OPTIONS}", options.len()));
    }
    let mut read: Vec<StructuredInputOption> = Vec::with_capacity(options.len());
    for option in options {
        let value = match option {
            Value::Object(map) if map.len() == 1 => map.get("value"),
            option => Some(option),
        };
        let Some(Value::String(value)) = value else {
            return Err("an option is a text, or a map with the text `value`".to_owned());
        };
        if value.trim().is_empty() {
            return Err("an option is empty: write what the user chooses".to_owned());
        }
        if read.iter().any(|it| it.value == *value) {
            return Err(format!("the option `{value}` is there twice"));
        }
        read.push(StructuredInputOption { value: value.clone() });
    }
    Ok(read)
}

/// A text that is not empty.
fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Err(format!("`{key}` is empty")),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{key}` must be a text")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    #[test]
    fn questions_are_a_choice_or_free() {
        let questions = json!([
            { "id": "size", "question": "Which size?", "options": ["Small", { "value": "Large" }] },
            { "id": "more", "question": "What else?", "options": ["Cheese"], "multiple": true },
            { "id": "notes", "question": "Notes?", "description": "Anything.", "multiple": null },
        ]);
        assert_snapshot!(json!(read_questions(&questions).unwrap()), @r#"[{"type":"multiple_choice","id":"size","question":"Which size?","options":[{"value":"Small"},{"value":"Large"}],"multiple":false},{"type":"multiple_choice","id":"more","question":"What else?","options":[{"value":"Cheese"}],"multiple":true},{"type":"freeform","id":"notes","question":"Notes?","description":"Anything."}]"#);
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        let question = |mut more: Value| {
            let map = more.as_object_mut().unwrap();
            map.entry("id").or_insert(json!("a"));
            map.entry("question").or_insert(json!("A?"));
            json!([more])
        };
        let many: Vec<Value> =
            (0..21).map(|it| json!({ "id": it.to_string(), "question": "?" })).collect();
        let options: Vec<String> = (0..51).map(|it| it.to_string()).collect();
        let wrong = [
            json!({ "id": "a" }),
            json!([]),
            json!(many),
            json!(["A?"]),
            json!([{ "question": "A?" }]),
            json!([{ "id": "a" }]),
            json!([{ "id": "a", "question": "A?" }, { "id": "a", "question": "B?" }]),
            question(json!({ "id": 1 })),
            question(json!({ "id": " " })),
            question(json!({ "choices": [] })),
            question(json!({ "options": "x" })),
            question(json!({ "options": [] })),
            question(json!({ "options": options })),
            question(json!({ "options": [1] })),
            question(json!({ "options": [""] })),
            question(json!({ "options": ["x", { "value": "x" }] })),
            question(json!({ "options": ["x"], "multiple": 1 })),
            question(json!({ "options": ["x"], "description": "d" })),
            question(json!({ "multiple": true })),
        ];
        let mut texts = String::new();
        for questions in wrong {
            writeln!(texts, "{}", read_questions(&questions).unwrap_err()).unwrap();
        }
        assert_snapshot!(texts, @r#"
        `ctx.ask` takes an array of questions: write `ctx.ask([#{ id: …, question: … }])`
        `ctx.ask` is given no question: give it one at least
        `ctx.ask` is given 21 questions, and takes 20 at most: ask again when they are answered
        question 1 of `ctx.ask`: it is no map: write `#{ id: …, question: … }`
        question 1 of `ctx.ask`: it lacks `id`: add `id: "…"`
        question 1 of `ctx.ask`: it lacks `question`: add `question: "…"`
        two questions of `ctx.ask` have the id `a`: give each its own
        question 1 of `ctx.ask`: `id` must be a text
        question 1 of `ctx.ask`: `id` is empty
        question 1 of `ctx.ask`: it knows no `choices`: it has `id`, `question`, `options`, `multiple`, `description`
        question 1 of `ctx.ask`: `options` must be an array of texts
        question 1 of `ctx.ask`: `options` has 0 entries: give it 1 to 50
        question 1 of `ctx.ask`: `options` has 51 entries: give it 1 to 50
        question 1 of `ctx.ask`: an option is a text, or a map with the text `value`
        question 1 of `ctx.ask`: an option is empty: write what the user chooses
        question 1 of `ctx.ask`: the option `x` is there twice
        question 1 of `ctx.ask`: `multiple` must be `true` or `false`
        question 1 of `ctx.ask`: `description` is shown with questions without `options` only: say it in `question`
        question 1 of `ctx.ask`: `multiple` is for questions with `options`: add some, or leave it out
        "#);
    }
}
