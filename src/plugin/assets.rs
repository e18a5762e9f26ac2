//! What stands beside a pack's scripts: data/, locales/ and widgets.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use crate::{
    load_error::LoadError,
    plugin::PluginFiles,
    widget::{WidgetTemplate, Widgets},
};

/// By key, parts of a key joined by dots.
type Texts = BTreeMap<String, String>;

/// The files that a pack's scripts read. A single file has none.
#[derive(Default)]
pub struct Assets {
    is_pack: bool,
    data: BTreeMap<String, Arc<[u8]>>,
    /// By language, in lower case with `-`: `pt-br`.
    locales: BTreeMap<String, Texts>,
    /// The pack's own.
    pub widgets: Widgets,
}

impl Assets {
    pub fn load(files: &PluginFiles, is_pack: bool) -> Result<Self, Vec<LoadError>> {
        let mut assets = Self { is_pack, ..Self::default() };
        let mut errors = Vec::new();
        for (path, bytes) in &files.files {
            if let Some(path) = path.strip_prefix("data/") {
                assets.data.insert(path.to_owned(), bytes.clone());
            } else if let Some(name) = path.strip_prefix("locales/") {
                match read_locale(&format!("{}/{path}", files.path), name, bytes) {
                    Ok(Some((language, texts))) => {
                        assets.locales.entry(language).or_default().extend(texts);
                    }
                    Ok(None) => (),
                    Err(err) => errors.push(err),
                }
            } else if let Some(name) = path.strip_suffix(".widget").filter(|_| is_pack)
                && !path.starts_with("tests/")
            {
                let name = name.rsplit('/').next().unwrap_or(name);
                match read_widget(&format!("{}/{path}", files.path), bytes) {
                    Ok(widget) => {
                        assets.widgets.0.insert(name.to_owned(), Arc::new(widget));
                    }
                    Err(err) => errors.push(err),
                }
            }
        }
        if errors.is_empty() { Ok(assets) } else { Err(errors) }
    }

    pub fn data(&self, path: &str) -> Result<&[u8], String> {
        if !self.is_pack {
            return Err(format!(
                "`{path}` cannot be read, because a single file has no data/: make it a pack, a folder \
                 in plugins/ with a plugin.toml"
            ));
        }
        match self.data.get(path) {
            Some(bytes) => Ok(bytes),
            None => Err(format!("there is no data/{path} in this pack")),
        }
    }

    /// The text for `key` in the nearest language, with `{name}` filled in; the key where there is none.
    pub fn translate(
        &self,
        locale: Option<&str>,
        key: &str,
        value: impl Fn(&str) -> Option<String>,
    ) -> String {
        let locale = locale.unwrap_or("en").to_lowercase().replace('_', "-");
        let language = locale.split('-').next().unwrap_or_default();
        let candidates = [locale.as_str(), language, "en"];
        let text = candidates.iter().find_map(|it| self.locales.get(*it)?.get(key));
        text.map_or_else(|| key.to_owned(), |text| fill_in(text, value))
    }
}

fn read_widget(file: &str, bytes: &[u8]) -> Result<WidgetTemplate, LoadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        LoadError::new(file, "the file is not UTF-8").remedy("save it as UTF-8 text")
    })?;
    WidgetTemplate::parse(file, text)
}

fn read_locale(file: &str, name: &str, bytes: &[u8]) -> Result<Option<(String, Texts)>, LoadError> {
    let Some((language, ending)) = name.rsplit_once('.') else { return Ok(None) };
    let tree = match ending {
        "json" => serde_json::from_slice(bytes).map_err(|err| {
            let text = err.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
            LoadError::new(file, message).at(err.line().max(1), Some(err.column().max(1)))
        })?,
        "toml" => read_toml(file, bytes)?,
        _ => return Ok(None),
    };
    let mut texts = BTreeMap::new();
    flatten(file, "", tree, &mut texts)?;
    Ok(Some((language.to_lowercase().replace('_', "-"), texts)))
}

fn read_toml(file: &str, bytes: &[u8]) -> Result<Value, LoadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| LoadError::new(file, "this is not UTF-8"))?;
    toml::from_str(text).map_err(|err| {
        let message = LoadError::new(file, err.message());
        let Some(span) = err.span() else { return message };
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        message.at(line, Some(column))
    })
}

fn flatten(
    file: &str,
    key: &str,
    value: Value,
    texts: &mut BTreeMap<String, String>,
) -> Result<(), LoadError> {
    match value {
        Value::String(text) => {
            texts.insert(key.to_owned(), text);
            Ok(())
        }
        Value::Object(map) => {
            for (name, value) in map {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(file, &key, value, texts)?;
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(LoadError::new(file, format!("`{key}` is neither a text nor a group of texts"))
                .remedy("put the text in quotes"))
        }
    }
}

fn fill_in(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        rest = after;
        let value =
            after.split_once('}').and_then(|(name, after)| Some((value(name.trim())?, after)));
        if let Some((value, after)) = value {
            filled.push_str(&value);
            rest = after;
        } else {
            filled.push('{');
        }
    }
    filled.push_str(rest);
    filled
}
