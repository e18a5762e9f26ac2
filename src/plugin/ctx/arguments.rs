use std::vec::IntoIter;

use serde_json::{Map, Value};

use crate::plugin::fields::describe;

/// The arguments of a member of `ctx`, read one by one. Errors say what is wrong and what to do.
pub struct Arguments<'a> {
    member: &'a str,
    values: IntoIter<Value>,
}

impl<'a> Arguments<'a> {
    /// Fails where there are more than `most`.
    pub fn new(member: &'a str, values: Vec<Value>, most: usize) -> Result<Self, String> {
        if values.len() > most {
            return Err(match most {
                0 => format!("`ctx.{member}` takes no arguments"),
                1 => format!("`ctx.{member}` takes one argument, and is given {}", values.len()),
                _ => format!(
                    "`ctx.{member}` takes {most} arguments at most, and is given {}",
                    values.len()
                ),
            });
        }
        Ok(Self { member, values: values.into_iter() })
    }

    /// How many are left.
    pub fn left(&self) -> usize {
        self.values.len()
    }

    /// The next one; null where there is none.
    pub fn any(&mut self) -> Value {
        self.values.next().unwrap_or_default()
    }

    /// `what` is what it is, as `the name of a tool`.
    pub fn text(&mut self, what: &str) -> Result<String, String> {
        match self.any() {
            Value::String(text) => Ok(text),
            Value::Null => Err(format!("`ctx.{}` lacks {what}", self.member)),
            other => Err(format!(
                "`ctx.{}` needs {what}, and is given {}",
                self.member,
                describe(&other)
            )),
        }
    }

    pub fn optional_text(&mut self, what: &str) -> Result<Option<String>, String> {
        match self.any() {
            Value::String(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            other => Err(self.wrong(what, "a string", &other)),
        }
    }

    /// Empty where there is none.
    pub fn map(&mut self, what: &str) -> Result<Map<String, Value>, String> {
        match self.any() {
            Value::Object(map) => Ok(map),
            Value::Null => Ok(Map::new()),
            other => Err(self.wrong(what, "a map", &other)),
        }
    }

    pub fn wrong(&self, what: &str, wanted: &str, value: &Value) -> String {
        format!("{what} of `ctx.{}` must be {wanted}, and is {}", self.member, describe(value))
    }
}
