use serde_json::Value;

use crate::{
    chatkit::Widget,
    plugin::{CallError, Host, toml_file::nearest},
    tool::CallContext,
    widget::Widgets,
};

impl Host {
    /// `ctx.render`: the plugin's `own` widgets come first, then everyone's.
    pub fn render_widget(
        &self,
        own: &Widgets,
        context: &CallContext,
        name: &str,
        data: &Value,
    ) -> Result<Widget, CallError> {
        let Some(template) = own.find(name).or_else(|| context.widgets.find(name)) else {
            let known: Vec<&str> =
                own.0.keys().chain(context.widgets.0.keys()).map(String::as_str).collect();
            let remedy = match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add plugins/{name}.widget"),
            };
            return Err(CallError::Thrown(format!("there is no widget `{name}`: {remedy}")));
        };
        template.render(data).map_err(|err| CallError::Thrown(err.to_string()))
    }
}
