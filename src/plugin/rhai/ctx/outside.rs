//! What a handler reaches outside, beside `ctx.http`.

use rhai::{Dynamic, Map, Module};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Failure, fail},
        options::{Fault, Options},
        value::{to_dynamic, to_json},
    },
    Call, Ctx, catchable, function,
};

type Answer = Result<Dynamic, Failure>;

pub fn register(module: &mut Module) {
    function("model").set_into_module(module, |ctx: &mut Ctx, prompt: &str| -> Answer {
        model(&ctx.0, json!({ "prompt": prompt }))
    });
    function("model").set_into_module(module, |ctx: &mut Ctx, request: Map| -> Answer {
        let request = read_model_request(request).map_err(|fault| fail(fault.into_text()))?;
        model(&ctx.0, request)
    });
    function("call_tool").set_into_module(module, |ctx: &mut Ctx, name: &str| -> Answer {
        call_tool(&ctx.0, name, &Map::new().into())
    });
    function("call_tool").set_into_module(
        module,
        |ctx: &mut Ctx, name: &str, arguments: Dynamic| -> Answer {
            call_tool(&ctx.0, name, &arguments)
        },
    );
    function("env").set_into_module(module, |ctx: &mut Ctx, name: &str| -> Answer {
        let value = ctx.0.host.env(&ctx.0.plugin.manifest, name).map_err(catchable)?;
        Ok(value.into())
    });
}

fn model(call: &Call, request: Value) -> Answer {
    let Call { plugin, host, context, .. } = call;
    let answer = call.wait_apart(host.model(&plugin.manifest, context, request))?;
    Ok(to_dynamic(&answer))
}

fn read_model_request(request: Map) -> Result<Value, Fault> {
    let mut options = Options::new("ctx.model", request, &["prompt", "model", "schema"])?;
    let prompt = options.required("prompt", Options::string)?;
    let mut request = json!({ "prompt": prompt });
    if let Some(model) = options.string("model")? {
        request["model"] = model.into();
    }
    if let Some(schema) = options.json("schema")? {
        request["schema"] = schema;
    }
    Ok(request)
}

fn call_tool(call: &Call, name: &str, arguments: &Dynamic) -> Answer {
    let Call { plugin, host, context, .. } = call;
    let arguments = match to_json(arguments).map_err(fail)? {
        Value::Null => json!({}),
        arguments @ Value::Object(_) => arguments,
        _ => return Err(fail("the arguments of `ctx.call_tool` must be a map, `#{…}`")),
    };
    let answer = call.wait_apart(host.call_tool(&plugin.manifest, context, name, arguments))?;
    Ok(to_dynamic(&answer))
}
