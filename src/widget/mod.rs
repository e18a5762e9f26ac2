//! Widgets: `.widget` templates, and how one state of a widget becomes the next.

mod budget;
mod diff;
mod engine;
mod file;
mod list;
mod rewrite;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use jsonschema::Validator;
use minijinja::{Environment, value::Serde};
use serde_json::Value;
use tracing::warn;

use crate::{
    chatkit::Widget,
    jinja::{self, TooLong},
    load_error::LoadError,
};

pub use self::diff::diff;
use self::{file::WidgetFile, rewrite::Rewritten};

/// What a widget may be made of at its top, as the reference has it.
const ROOTS: &[&str] = &["Card", "ListView", "Basic"];

/// Templates by their names.
#[derive(Clone, Default)]
pub struct Widgets(pub BTreeMap<String, Arc<WidgetTemplate>>);

impl Widgets {
    pub fn find(&self, name: &str) -> Option<&Arc<WidgetTemplate>> {
        self.0.get(name)
    }
}

/// A `.widget` file, compiled.
pub struct WidgetTemplate {
    file: WidgetFile,
    rewritten: Rewritten,
    environment: Environment<'static>,
    /// Of the data: what does not fit is logged.
    schema: Option<Validator>,
}

impl WidgetTemplate {
    /// Parses and compiles a file; `path` is the file's in the project.
    pub fn parse(path: &str, text: &str) -> Result<Self, LoadError> {
        let file = WidgetFile::parse(path, text)?;
        jinja::check_lengths(&file.template)
            .map_err(|it| file.error_at(it.offset, it.message).remedy(TooLong::REMEDY))?;
        let rewritten = Rewritten::parse(&file.template)
            .map_err(|wrong| wrong.into_error(|offset, message| file.error_at(offset, message)))?;
        // Never what was written itself: the compiler computes `'a' * 90000000` as well.
        let environment = engine::environment(rewritten.text.clone(), rewritten.fuel())
            .map_err(|err| engine::explain(&err, &file, &rewritten))?;
        for (offset, kind, name) in &rewritten.used {
            if !engine::knows(*kind, name) {
                return Err(file.error_at(*offset, format!("unknown {} `{name}`", kind.word())));
            }
        }
        let schema = file.schema.as_ref().and_then(|schema| {
            let validator = jsonschema::validator_for(schema);
            if validator.is_err() {
                warn!(file = %path, "`jsonSchema` of {path} is no valid JSON Schema and is not used");
            }
            validator.ok()
        });
        Ok(Self { file, rewritten, environment, schema })
    }

    /// In the project, with `/`.
    pub fn path(&self) -> &str {
        &self.file.path
    }

    /// The widget for this data. The error names the file, the place in it, and what is wrong.
    pub fn render(&self, data: &Value) -> Result<Widget, LoadError> {
        let Value::Object(data) = data else {
            let error = self.file.error("the data of a widget must be a map");
            return Err(error.remedy("name its fields, as in `#{ title: \"…\" }`"));
        };
        self.check_data(data);
        let text = engine::render(&self.environment, minijinja::Value::from(Serde(data)))
            .map_err(|err| engine::explain(&err, &self.file, &self.rewritten))?;
        let json: Value = serde_json::from_str(&text).map_err(|err| {
            let message = format!("the template does not give JSON: {err} of what it gives");
            self.file.error(message).remedy("write each value as `{{ value | tojson }}`")
        })?;
        root(json).map_err(|message| self.file.error(message))
    }

    fn check_data(&self, data: &serde_json::Map<String, Value>) {
        let Some(schema) = &self.schema else { return };
        let data = Value::Object(data.clone());
        // Its text would tell what the data is.
        let Some(err) = schema.iter_errors(&data).next() else { return };
        let file = &self.file.path;
        let place = err.instance_path().as_str();
        warn!(%file, "the data for {file} does not fit its `jsonSchema` at `{place}`");
    }
}

/// Takes JSON as a widget: it must be one of the roots, and made of components.
pub fn root(json: Value) -> Result<Widget, String> {
    let widget = Widget::new(json);
    let kind = widget.0.get("type").and_then(Value::as_str);
    let Some(kind) = kind else {
        return Err("a widget must be a map with a `type`".to_owned());
    };
    if !ROOTS.contains(&kind) {
        let roots: Vec<String> = ROOTS.iter().map(|it| format!("`{it}`")).collect();
        return Err(format!("a widget cannot be a `{kind}`: its `type` is {}", roots.join(" or ")));
    }
    check_component(&widget.0, "")?;
    Ok(widget)
}

fn check_component(component: &Value, path: &str) -> Result<(), String> {
    if !component.get("type").is_some_and(Value::is_string) {
        return Err(format!("the widget's component at `{path}` has no `type`"));
    }
    for name in ["id", "key"] {
        if component.get(name).is_some_and(|it| !it.is_string()) {
            return Err(format!(
                "`{name}` of the widget's component at `{path}/` must be a string"
            ));
        }
    }
    match component.get("children") {
        None => Ok(()),
        Some(Value::Array(children)) => children
            .iter()
            .enumerate()
            .try_for_each(|(index, it)| check_component(it, &format!("{path}/children/{index}"))),
        Some(child) => check_component(child, &format!("{path}/children")),
    }
}
