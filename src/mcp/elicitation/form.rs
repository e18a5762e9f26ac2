use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Refusal,
    field::{Field, read_all},
};
use crate::{
    chatkit::{StructuredInput, StructuredInputItem, StructuredInputOption, StructuredInputStatus},
    mcp::clean::clean_line,
};

const MAX_FIELDS: usize = 20;
const MAX_BYTES: usize = 32 * 1024;
/// How often the user is asked for what does not fit.
const TRIES: u32 = 5;
/// Of what is repeated to the user, in characters.
const MAX_REPEATED: usize = 60;

/// What a form without fields asks.
const CONFIRM: &str = "confirm";
const YES: &str = "Yes";
const NO: &str = "No";

/// Values that a server asks the user for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Form {
    message: String,
    fields: Vec<Field>,
    /// What the user has given of it so far.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    given: Map<String, Value>,
    /// What is wrong with their answers, by field: those are asked for again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    problems: BTreeMap<String, String>,
    #[serde(default)]
    tries: u32,
}

/// What the user's answers come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// All that was asked for.
    Whole(Map<String, Value>),
    /// The user skipped it.
    Declined,
    /// They were asked again and again.
    GivenUp,
    Again(Form),
}

impl Form {
    pub fn read(message: String, schema: &Value) -> Result<Self, Refusal> {
        let unreadable = |message: String| Err(Refusal::Unreadable(message));
        let Value::Object(root) = schema else {
            return unreadable("`requestedSchema` is missing, or is no object".to_owned());
        };
        let is_plain = root.get("type").is_none_or(|it| it == "object")
            && ["$ref", "allOf", "anyOf", "oneOf"].iter().all(|it| !root.contains_key(*it));
        if !is_plain {
            return unreadable(
                "`requestedSchema` is no object with `properties`, and nothing but that".to_owned(),
            );
        }
        let no_properties = Map::new();
        let properties = match root.get("properties") {
            Some(Value::Object(properties)) => properties,
            None => &no_properties,
            Some(_) => return unreadable("`requestedSchema.properties` is no object".to_owned()),
        };
        if properties.len() > MAX_FIELDS {
            return unreadable(format!(
                "the form has {} fields, and may have {MAX_FIELDS}",
                properties.len()
            ));
        }
        if schema.to_string().len() > MAX_BYTES {
            return unreadable(format!("the form has more than {} KiB", MAX_BYTES / 1024));
        }
        let required: Vec<&str> = root
            .get("required")
            .and_then(Value::as_array)
            .map(|it| it.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let fields = read_all(properties, &required)?;
        Ok(Self { message, fields, given: Map::new(), problems: BTreeMap::new(), tries: 0 })
    }

    /// Those that the user has yet to answer. Each says who asks.
    pub fn questions(&self, server: &str) -> Vec<StructuredInput> {
        let asks = match self.message.as_str() {
            "" => format!("“{server}” asks"),
            message => format!("“{server}” asks: {message}"),
        };
        if self.fields.is_empty() {
            let option = |value: &str| StructuredInputOption { value: value.to_owned() };
            return vec![StructuredInput::MultipleChoice {
                id: CONFIRM.to_owned(),
                question: asks,
                answer: None,
                options: vec![option(YES), option(NO)],
                multiple: false,
            }];
        }
        let mut questions = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let is_left = self.problems.is_empty() || self.problems.contains_key(&field.name);
            if !is_left {
                continue;
            }
            let mut before = if questions.is_empty() {
                format!("{asks}\n\n")
            } else {
                format!("“{server}”: ")
            };
            if let Some(problem) = self.problems.get(&field.name) {
                before.push_str(problem);
                before.push_str("\n\n");
            }
            questions.push(field.question(&before));
        }
        questions
    }

    pub fn take(mut self, item: &StructuredInputItem) -> Taken {
        let answers: BTreeMap<&str, &[String]> = item
            .inputs
            .iter()
            .filter_map(|it| Some((it.id(), it.answer()?)))
            .filter(|(_, it)| !it.skipped && it.values.iter().any(|it| !it.trim().is_empty()))
            .map(|(id, it)| (id, it.values.as_slice()))
            .collect();
        if item.status != StructuredInputStatus::Answered {
            return Taken::Declined;
        }
        if self.fields.is_empty() {
            let is_yes =
                answers.get(CONFIRM).is_some_and(|it| it.first().is_some_and(|it| it == YES));
            return if is_yes { Taken::Whole(Map::new()) } else { Taken::Declined };
        }
        let asked = std::mem::take(&mut self.problems);
        let mut lacks = false;
        for field in &self.fields {
            if !asked.is_empty() && !asked.contains_key(&field.name) {
                continue;
            }
            let value = match (answers.get(field.name.as_str()), &field.default) {
                (Some(answer), _) => field.parse(answer).map_err(|problem| {
                    let said = clean_line(&answer.join(", "), MAX_REPEATED);
                    format!("“{said}” {problem}.")
                }),
                (None, Some(default)) => Ok(default.clone()),
                (None, None) if field.required => {
                    lacks = true;
                    Err("This needs an answer.".to_owned())
                }
                (None, None) => continue,
            };
            match value {
                Ok(value) => {
                    self.given.insert(field.name.clone(), value);
                }
                Err(problem) => {
                    self.problems.insert(field.name.clone(), problem);
                }
            }
        }
        if self.problems.is_empty() {
            return Taken::Whole(self.in_order());
        }
        if lacks && answers.is_empty() {
            return Taken::Declined;
        }
        self.tries += 1;
        if self.tries >= TRIES { Taken::GivenUp } else { Taken::Again(self) }
    }

    /// What was given, as the form has it.
    fn in_order(&self) -> Map<String, Value> {
        let value = |it: &Field| Some((it.name.clone(), self.given.get(&it.name)?.clone()));
        self.fields.iter().filter_map(value).collect()
    }
}
