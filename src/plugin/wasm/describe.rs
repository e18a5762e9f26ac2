//! What `describe` says, as what the plugin offers.

use std::sync::Arc;

use serde_json::Value;

use super::compile::{Refusal, refuse};
use crate::{
    config::RawPermissions,
    plugin::{
        ActionKind, ActionSpec, AgentTool, ClientTool, Declaration, HandlerId, HookEvent,
        Parameters, Permissions, Registration, RouteSpec, fields::Fields,
        registration::check_tool_name,
    },
    tool::{Approval, ToolSpec},
    user::Allow,
};

/// What a plugin registers, and the handlers that it is called by.
#[derive(Default)]
pub struct Described {
    pub declaration: Declaration,
    pub registration: Registration,
    pub handlers: Vec<Registered>,
}

/// A handler, as it was registered.
pub enum Registered {
    Tool { spec: Arc<ToolSpec>, parameters: Parameters },
    Hook(HookEvent),
    Action(ActionSpec),
    Route(RouteSpec),
}

const DECLARATION: [&str; 6] = ["name", "version", "description", "kitfox", "permissions", "allow"];
const OFFERS: [&str; 7] =
    ["tools", "agent_tools", "client_tools", "hooks", "actions", "sync_actions", "routes"];

impl Described {
    /// Reads the JSON of `describe`. A pack is declared in its plugin.toml and not there.
    pub fn parse(text: &str, is_pack: bool) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_str(text)
            .map_err(|err| refuse(format!("what `describe` gives is not JSON: {err}")))?;
        if !value.is_object() {
            return Err(refuse("what `describe` gives is no JSON object"));
        }
        if let Some(key) = DECLARATION.iter().find(|key| is_pack && value.get(key).is_some()) {
            return Err(refuse(format!(
                "`describe` gives `{key}`, and this is a pack: state it in its plugin.toml"
            )));
        }
        let mut described = Self::default();
        described.read(value).map_err(refuse)?;
        Ok(described)
    }

    fn read(&mut self, value: Value) -> Result<(), String> {
        let known: Vec<&str> = DECLARATION.iter().chain(&OFFERS).copied().collect();
        let mut fields = Fields::read("describe", value, &known)?;
        self.declaration = Declaration {
            name: fields.text("name")?,
            version: fields.text("version")?,
            description: fields.text("description")?,
            kitfox: fields.text("kitfox")?,
            permissions: read_permissions(fields.any("permissions").unwrap_or_default())?,
            allow: read_allow(&mut fields)?,
        };
        let mut list = |key: &str| fields.list(key).map(Option::unwrap_or_default);
        for tool in list("tools")? {
            self.add_tool(tool)?;
        }
        for tool in list("agent_tools")? {
            self.add_agent_tool(tool)?;
        }
        for tool in list("client_tools")? {
            self.add_client_tool(tool)?;
        }
        let events = fields.texts("hooks")?.unwrap_or_default();
        for event in events {
            let event = HookEvent::find(&event).map_err(|it| it.to_string())?;
            let handler = self.add(Registered::Hook(event));
            self.registration.hooks.push((event, handler));
        }
        for (key, kind) in [("actions", ActionKind::Turn), ("sync_actions", ActionKind::Sync)] {
            for name in fields.texts(key)?.unwrap_or_default() {
                let action = ActionSpec::new(kind, &name).map_err(|it| it.to_string())?;
                let handler = self.add(Registered::Action(action.clone()));
                self.registration.actions.push((action, handler));
            }
        }
        for route in fields.list("routes")?.unwrap_or_default() {
            let mut fields = Fields::read("routes", route, &["method", "path", "public"])?;
            let method = fields.required_text("method")?;
            let path = fields.required_text("path")?;
            let public = fields.boolean("public")?.unwrap_or_default();
            let route = RouteSpec::new(&method, &path, public).map_err(|it| it.to_string())?;
            let handler = self.add(Registered::Route(route.clone()));
            self.registration.routes.push((route, handler));
        }
        self.registration.check()
    }

    fn add(&mut self, handler: Registered) -> HandlerId {
        self.handlers.push(handler);
        HandlerId(self.handlers.len() - 1)
    }

    fn add_tool(&mut self, tool: Value) -> Result<(), String> {
        let known = [
            "name",
            "description",
            "parameters",
            "examples",
            "stop",
            "approval",
            "annotations",
            "timeout",
            "parallel",
            "mcp",
            "allow",
        ];
        let mut fields = Fields::read("tools", tool, &known)?;
        let name = fields.required_text("name")?;
        check_tool_name(&name).map_err(|it| it.to_string())?;
        let parameters = read_parameters(&name, &mut fields)?;
        let approval = match fields.text("approval")?.as_deref() {
            None | Some("never") => Approval::Never,
            Some("destructive") => Approval::Destructive,
            Some("always") => Approval::Always,
            Some(other) => {
                return Err(format!(
                    "`{other}` is no `approval`: write `never`, `destructive` or `always`"
                ));
            }
        };
        let spec = Arc::new(ToolSpec {
            name,
            description: fields.required_text("description")?,
            parameters: parameters.schema.clone(),
            examples: fields.texts("examples")?.unwrap_or_default(),
            stop: fields.boolean("stop")?.unwrap_or_default(),
            parallel: fields.boolean("parallel")?.unwrap_or(true),
            approval,
            annotations: fields.map("annotations")?.unwrap_or_default(),
            timeout: fields.seconds("timeout")?,
            mcp: fields.boolean("mcp")?.unwrap_or_default(),
            server: None,
            allow: read_allow(&mut fields)?,
        });
        let handler = self.add(Registered::Tool { spec: spec.clone(), parameters });
        self.registration.tools.push((spec, handler));
        Ok(())
    }

    fn add_agent_tool(&mut self, tool: Value) -> Result<(), String> {
        let known = ["name", "agent", "description", "stop", "allow"];
        let mut fields = Fields::read("agent_tools", tool, &known)?;
        let name = fields.required_text("name")?;
        check_tool_name(&name).map_err(|it| it.to_string())?;
        let agent = fields.required_text("agent")?;
        let description = fields.required_text("description")?;
        let stop = fields.boolean("stop")?.unwrap_or_default();
        let allow = read_allow(&mut fields)?;
        let tool = AgentTool::new(name, description, agent, stop, allow);
        self.registration.agent_tools.push(tool);
        Ok(())
    }

    fn add_client_tool(&mut self, tool: Value) -> Result<(), String> {
        let known = ["name", "description", "parameters", "progress", "examples", "allow"];
        let mut fields = Fields::read("client_tools", tool, &known)?;
        let name = fields.required_text("name")?;
        check_tool_name(&name).map_err(|it| it.to_string())?;
        let parameters = read_parameters(&name, &mut fields)?;
        let description = fields.required_text("description")?;
        let spec = ToolSpec {
            examples: fields.texts("examples")?.unwrap_or_default(),
            allow: read_allow(&mut fields)?,
            ..ToolSpec::new(name, description, parameters.schema.clone())
        };
        let progress = fields.text("progress")?;
        let parameters = Arc::new(parameters);
        self.registration.client_tools.push(ClientTool {
            spec: Arc::new(spec),
            parameters,
            progress,
        });
        Ok(())
    }
}

fn read_parameters(tool: &str, fields: &mut Fields<'_>) -> Result<Parameters, String> {
    let written = fields.map("parameters")?.unwrap_or_default();
    Parameters::parse(written).map_err(|err| format!("the tool `{tool}`: {err}"))
}

fn read_allow(fields: &mut Fields<'_>) -> Result<Allow, String> {
    match fields.texts("allow")? {
        Some(words) => Allow::parse(&words),
        None => Ok(Allow::default()),
    }
}

fn read_permissions(value: Value) -> Result<Permissions, String> {
    let known = ["http", "credentials", "knowledge", "env", "model", "tools", "public"];
    let mut fields = Fields::read("permissions", value, &known)?;
    Permissions::parse(&RawPermissions {
        http: fields.texts("http")?,
        credentials: fields.texts("credentials")?,
        knowledge: fields.texts("knowledge")?,
        env: fields.texts("env")?,
        model: fields.boolean("model")?,
        tools: fields.texts("tools")?,
        public: fields.boolean("public")?,
    })
}
