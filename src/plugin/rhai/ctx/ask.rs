//! What ends the turn to wait for the user.

use rhai::{Dynamic, Map, Module};
use serde_json::{Map as JsonMap, Value};

use super::{
    super::{
        error::{Failure, fail},
        value::to_json,
    },
    Ctx, function,
};
use crate::{plugin::read_questions, tool::TurnRequest};

type Answer = Result<Dynamic, Failure>;

pub fn register(module: &mut Module) {
    function("ask").set_into_module(module, |ctx: &mut Ctx, questions: Dynamic| -> Answer {
        let questions = to_json(&questions).map_err(fail)?;
        let questions = read_questions(&questions).map_err(fail)?;
        ctx.0.ask("ask", TurnRequest::Ask { questions }).map(|_| Dynamic::UNIT)
    });
    function("client_tool").set_into_module(module, |ctx: &mut Ctx, name: &str| -> Answer {
        client_tool(ctx, name, &Map::new().into())
    });
    function("client_tool").set_into_module(
        module,
        |ctx: &mut Ctx, name: &str, arguments: Dynamic| -> Answer {
            client_tool(ctx, name, &arguments)
        },
    );
}

fn client_tool(ctx: &Ctx, name: &str, arguments: &Dynamic) -> Answer {
    if name.is_empty() {
        return Err(fail("`ctx.client_tool` needs the name of a tool of the page"));
    }
    let arguments = match to_json(arguments).map_err(fail)? {
        Value::Null => JsonMap::new(),
        Value::Object(arguments) => arguments,
        _ => return Err(fail("the arguments of `ctx.client_tool` must be a map, `#{…}`")),
    };
    let name = name.to_owned();
    let request = TurnRequest::ClientTool { name, arguments, progress: None };
    ctx.0.ask("client_tool", request).map(|_| Dynamic::UNIT)
}
