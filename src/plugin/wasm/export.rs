//! The functions of a component of any world, as tools.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};
use tracing::warn;
use wasmtime::{
    Engine, Store,
    component::{
        ComponentExportIndex, InstancePre, Type, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

use super::{
    state::State,
    value::{from_val, schema, signature, to_val},
};
use crate::plugin::CallError;

/// A function that a component exports.
pub struct Export {
    pre: InstancePre<State>,
    /// The interface that it stands in, as `example:units/convert@1.0.0`.
    pub interface: Option<String>,
    pub function: String,
    index: ComponentExportIndex,
    parameters: Vec<(String, Type)>,
    result: Option<Type>,
}

/// The exports that can be called from JSON. Others are named in the log, with the reason.
pub fn exports(pre: &InstancePre<State>, engine: &Engine) -> Vec<Arc<Export>> {
    let component = pre.component();
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                let index = component.get_export_index(None, name);
                found.extend(index.and_then(|it| Export::new(pre, None, name, it, &function)));
            }
            // What runs a command, or serves HTTP, is no tool.
            ComponentItem::ComponentInstance(_) if name.starts_with("wasi:") => (),
            ComponentItem::ComponentInstance(instance) => {
                let Some(parent) = component.get_export_index(None, name) else { continue };
                for (function, item) in instance.exports(engine) {
                    let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
                    let index = component.get_export_index(Some(&parent), function);
                    found.extend(
                        index.and_then(|it| Export::new(pre, Some(name), function, it, &ty)),
                    );
                }
            }
            ComponentItem::CoreFunc(_)
            | ComponentItem::Module(_)
            | ComponentItem::Component(_)
            | ComponentItem::Type(_)
            | ComponentItem::Resource(_) => (),
        }
    }
    found.into_iter().map(Arc::new).collect()
}

impl Export {
    fn new(
        pre: &InstancePre<State>,
        interface: Option<&str>,
        function: &str,
        index: ComponentExportIndex,
        ty: &ComponentFunc,
    ) -> Option<Self> {
        let parameters: Vec<_> = ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect();
        let result = ty.results().next();
        let problem = if ty.async_() {
            Some("it is asynchronous".to_owned())
        } else {
            let types = parameters.iter().map(|(_, ty)| ty).chain(&result);
            types.map(schema).find_map(Result::err)
        };
        if let Some(problem) = problem {
            warn!("the function `{function}` of a component is no tool: {problem}");
            return None;
        }
        let interface = interface.map(str::to_owned);
        Some(Self {
            pre: pre.clone(),
            interface,
            function: function.to_owned(),
            index,
            parameters,
            result,
        })
    }

    /// A JSON Schema of its parameters.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, ty) in &self.parameters {
            properties.insert(name.clone(), schema(ty).unwrap_or_default());
            if !matches!(ty, Type::Option(_)) {
                required.push(name.as_str());
            }
        }
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }

    /// As in WIT: `convert(amount: f64, to: string) -> f64`.
    pub fn signature(&self) -> String {
        let parameters: Vec<_> =
            self.parameters.iter().map(|(name, ty)| format!("{name}: {}", signature(ty))).collect();
        let result = self.result.as_ref().map(|it| format!(" -> {}", signature(it)));
        format!("{}({}){}", self.function, parameters.join(", "), result.unwrap_or_default())
    }

    /// Reads arguments that the schema admitted.
    pub fn read(&self, arguments: &Value) -> Result<Vec<Val>, String> {
        let read = |(name, ty): &(String, Type)| {
            let value = arguments.get(name).unwrap_or(&Value::Null);
            to_val(value, ty).map_err(|err| format!("the arguments are not valid: /{name}{err}"))
        };
        self.parameters.iter().map(read).collect()
    }

    /// Calls it in a fresh instance.
    pub async fn call(
        &self,
        store: &mut Store<State>,
        arguments: &[Val],
    ) -> wasmtime::Result<Vec<Val>> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let function = instance
            .get_func(&mut *store, self.index)
            .ok_or_else(|| wasmtime::Error::msg("the export is not there"))?;
        let mut results = vec![Val::Bool(false); usize::from(self.result.is_some())];
        function.call_async(store, arguments, &mut results).await?;
        Ok(results)
    }

    /// The JSON of what it returned; the error of a `result` is the tool's.
    pub fn answer(&self, results: &[Val]) -> Result<Value, CallError> {
        let (Some(ty), Some(value)) = (&self.result, results.first()) else {
            return Ok(Value::Null);
        };
        let (Type::Result(ty), Val::Result(result)) = (ty, value) else {
            return Ok(from_val(value, ty));
        };
        let json = |value: &Option<Box<Val>>, ty: Option<Type>| match (value, ty) {
            (Some(value), Some(ty)) => from_val(value, &ty),
            _ => Value::Null,
        };
        match result {
            Ok(value) => Ok(json(value, ty.ok())),
            Err(value) => Err(CallError::Thrown(match json(value, ty.err()) {
                Value::String(text) => text,
                Value::Null => "it failed and did not say why".to_owned(),
                other => other.to_string(),
            })),
        }
    }
}

/// The names of these tools, in their order: `PLUGIN__FUNCTION`, `PLUGIN__INTERFACE_FUNCTION`. Those that come out
/// alike are counted.
pub fn tool_names(plugin: &str, exports: &[Arc<Export>]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |export: &Arc<Export>| {
        let function = clean(&export.function);
        let plain = match &export.interface {
            None => format!("{plugin}__{function}"),
            Some(interface) => format!("{plugin}__{}_{function}", clean(short(interface))),
        };
        let numbered = (2..).map(|number| format!("{plain}_{number}"));
        let free = std::iter::once(plain.clone()).chain(numbered).find(|it| !taken.contains(it));
        let name = free.unwrap_or(plain);
        taken.insert(name.clone());
        name
    };
    exports.iter().map(name).collect()
}

/// `convert` of `example:units/convert@1.0.0`
pub fn short(interface: &str) -> &str {
    let name = interface.rsplit('/').next().unwrap_or(interface);
    name.split('@').next().unwrap_or(name)
}

fn clean(name: &str) -> String {
    name.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '_' }).collect()
}
