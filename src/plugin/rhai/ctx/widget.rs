//! `ctx.stream_widget`

use std::sync::Arc;

use rhai::{Dynamic, FuncRegistration, Module};

use super::{
    super::error::{Failure, fail},
    Call, Ctx, function,
};

type Answer = Result<Dynamic, Failure>;

/// What `ctx.stream_widget(…)` gives.
#[derive(Clone)]
pub struct StreamHandle {
    call: Arc<Call>,
    pub id: String,
}

pub fn register(module: &mut Module) {
    function("stream_widget")
        .set_into_module(module, |ctx: &mut Ctx, what: Dynamic| begin(ctx, &[what]));
    function("stream_widget")
        .set_into_module(module, |ctx: &mut Ctx, what: Dynamic, data: Dynamic| {
            begin(ctx, &[what, data])
        });
    function("stream_widget").set_into_module(
        module,
        |ctx: &mut Ctx, what: Dynamic, data: Dynamic, options: Dynamic| {
            begin(ctx, &[what, data, options])
        },
    );
    FuncRegistration::new_getter("id")
        .set_into_module(module, |stream: &mut StreamHandle| stream.id.clone());
    function("update").set_into_module(
        module,
        |stream: &mut StreamHandle, data: Dynamic| -> Answer {
            let StreamHandle { call, id } = stream;
            call.invoke("stream_widget.update", &[id.as_str().into(), data])
        },
    );
    function("done").set_into_module(module, |stream: &mut StreamHandle| -> Answer {
        let StreamHandle { call, id } = stream;
        call.invoke("stream_widget.done", &[id.as_str().into()])
    });
    function("remove").set_into_module(module, |stream: &mut StreamHandle| -> Answer {
        let StreamHandle { call, id } = stream;
        call.invoke("remove", &[id.as_str().into()])
    });
}

fn begin(ctx: &Ctx, arguments: &[Dynamic]) -> Result<StreamHandle, Failure> {
    match ctx.0.invoke("stream_widget", arguments)?.into_string() {
        Ok(id) => Ok(StreamHandle { call: ctx.0.clone(), id }),
        Err(_) => Err(fail("the widget could not be begun")),
    }
}
