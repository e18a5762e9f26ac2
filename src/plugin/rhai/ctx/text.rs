//! Time, chance, text, and the pack's own files.

use rhai::{Array, Blob, Dynamic, Map, Module};

use super::{
    super::{
        error::{Failure, fail},
        limits,
    },
    Ctx, catchable, function, getter,
};

type Answer = Result<Dynamic, Failure>;

pub fn register(module: &mut Module) {
    getter(module, "now", |_| Ok(crate::chatkit::now().to_string().into()));
    function("random").set_into_module(module, |_: &mut Ctx| rand::random::<f64>());
    function("pick").set_into_module(module, |_: &mut Ctx, array: Array| pick(array));
    function("t").set_into_module(module, |ctx: &mut Ctx, key: &str| t(ctx, key, &Map::new()));
    function("t").set_into_module(module, |ctx: &mut Ctx, key: &str, vars: Map| t(ctx, key, &vars));
    function("log").set_into_module(
        module,
        |ctx: &mut Ctx, level: &str, message: Dynamic| -> Result<(), Failure> {
            let message = message.to_string();
            ctx.0.host.log(&ctx.0.plugin.manifest, level, &message).map_err(catchable)
        },
    );
    function("data").set_into_module(module, |ctx: &mut Ctx, path: &str| data(ctx, path));
}

fn pick(array: Array) -> Answer {
    let count = array.len();
    if count == 0 {
        return Err(fail("`ctx.pick` has an empty array to pick from"));
    }
    let index = rand::random_range(0..count);
    Ok(array.into_iter().nth(index).unwrap_or_default())
}

fn t(ctx: &Ctx, key: &str, vars: &Map) -> Answer {
    let locale = ctx.0.context.request.request.locale.as_deref();
    let text =
        ctx.0.plugin.assets.translate(locale, key, |name| vars.get(name).map(ToString::to_string));
    limits::check_string(text.len())?;
    Ok(text.into())
}

fn data(ctx: &Ctx, path: &str) -> Answer {
    let bytes = ctx.0.plugin.assets.data(path).map_err(fail)?;
    let json = path.rsplit('.').next().is_some_and(|it| it.eq_ignore_ascii_case("json"));
    if json {
        let value: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|err| fail(format!("data/{path} is not valid JSON: {err}")))?;
        return Ok(super::super::value::to_dynamic(&value));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            limits::check_string(text.len())?;
            Ok(text.into())
        }
        Err(_) => Ok(Dynamic::from_blob(Blob::from(bytes))),
    }
}
