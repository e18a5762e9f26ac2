use std::time::Duration;

use rhai::{Dynamic, FnPtr, Map};

use super::value::type_name;
use crate::plugin::{declaration::Wrong, fields::list};

/// What is wrong with what a script wrote, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub remedy: Option<String>,
}

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None }
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// For where there is one text only.
    pub fn into_text(self) -> String {
        match self.remedy {
            Some(remedy) => format!("{}: {remedy}", self.message),
            None => self.message,
        }
    }
}

impl From<Wrong> for Fault {
    fn from(Wrong { message, remedy }: Wrong) -> Self {
        Self::new(message).remedy(remedy)
    }
}

/// The map that a function was given, read key by key.
pub struct Options<'a> {
    /// The function, as `tool`.
    function: &'a str,
    map: Map,
}

impl<'a> Options<'a> {
    /// Fails where there is a key that is not `known`.
    pub fn new(function: &'a str, map: Map, known: &[&str]) -> Result<Self, Fault> {
        let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(Self { function, map });
        };
        Err(unknown_key(function, unknown, known))
    }

    pub fn required<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self, &str) -> Result<Option<T>, Fault>,
    ) -> Result<T, Fault> {
        read(self, key)?.ok_or_else(|| {
            Fault::new(format!("`{}` lacks `{key}`", self.function))
                .remedy(format!("add `{key}: …` to its map"))
        })
    }

    /// The value under `key`; `()` counts as absent.
    pub fn any(&mut self, key: &str) -> Option<Dynamic> {
        self.map.remove(key).filter(|value| !value.is_unit())
    }

    pub fn string(&mut self, key: &str) -> Result<Option<String>, Fault> {
        let Some(value) = self.any(key) else { return Ok(None) };
        match value.as_immutable_string_ref() {
            Ok(text) => Ok(Some(text.to_string())),
            Err(_) => Err(self.wrong_type(key, "a string", &value)),
        }
    }

    pub fn boolean(&mut self, key: &str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.any(key) else { return Ok(None) };
        value.as_bool().map(Some).map_err(|_| self.wrong_type(key, "`true` or `false`", &value))
    }

    /// A positive number of seconds.
    pub fn seconds(&mut self, key: &str) -> Result<Option<Duration>, Fault> {
        let Some(value) = self.any(key) else { return Ok(None) };
        let what = "a positive number of seconds";
        duration(&value)
            .filter(|it| !it.is_zero())
            .map(Some)
            .ok_or_else(|| self.wrong_type(key, what, &value))
    }

    pub fn strings(&mut self, key: &str) -> Result<Option<Vec<String>>, Fault> {
        let Some(value) = self.any(key) else { return Ok(None) };
        let what = "an array of strings";
        let array = value.clone().into_array().map_err(|_| self.wrong_type(key, what, &value))?;
        let mut strings = Vec::new();
        for entry in array {
            match entry.as_immutable_string_ref() {
                Ok(text) => strings.push(text.to_string()),
                Err(_) => return Err(self.wrong_type(key, what, &value)),
            }
        }
        Ok(Some(strings))
    }

    pub fn map(&mut self, key: &str) -> Result<Option<Map>, Fault> {
        let Some(value) = self.any(key) else { return Ok(None) };
        match value.read_lock::<Map>() {
            Some(map) => Ok(Some(map.clone())),
            None => Err(self.wrong_type(key, "a map, `#{…}`", &value)),
        }
    }

    pub fn closure(&mut self, key: &str) -> Result<Option<FnPtr>, Fault> {
        let Some(value) = self.any(key) else { return Ok(None) };
        match value.read_lock::<FnPtr>() {
            Some(closure) => Ok(Some(closure.clone())),
            None => Err(self.wrong_type(key, "a closure, `|…| …`", &value)),
        }
    }

    pub fn wrong_type(&self, key: &str, wanted: &str, value: &Dynamic) -> Fault {
        Fault::new(format!(
            "`{key}` of `{}` must be {wanted}, and is {}",
            self.function,
            describe(value)
        ))
    }
}

/// A number of seconds, whole or not.
pub fn duration(value: &Dynamic) -> Option<Duration> {
    if let Ok(seconds) = value.as_int() {
        return u64::try_from(seconds).ok().map(Duration::from_secs);
    }
    value.as_float().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

pub fn unknown_key(function: &str, key: &str, known: &[&str]) -> Fault {
    let fault = Fault::new(format!("`{function}` knows no `{key}`"));
    match nearest(key, known.iter().copied()) {
        Some(near) => fault.remedy(format!("did you mean `{near}`?")),
        None => fault.remedy(format!("it knows {}", list(known))),
    }
}

/// The known name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = |known: &&str| strsim::damerau_levenshtein(name, known) <= 1 + known.len() / 4;
    known.into_iter().filter(close).min_by_key(|it| strsim::damerau_levenshtein(name, it))
}

/// A value as an error names it.
pub fn describe(value: &Dynamic) -> String {
    match type_name(value) {
        "integer" | "float" => format!("`{value}`"),
        name @ "array" => format!("an {name}"),
        "()" => "`()`".to_owned(),
        name => format!("a {name}"),
    }
}
