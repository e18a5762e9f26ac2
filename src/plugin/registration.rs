use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use crate::{
    plugin::{HandlerId, Parameters, declaration::Wrong, fields::list, toml_file::nearest},
    tool::ToolSpec,
    user::Allow,
};

/// What a plugin offers.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    pub tools: Vec<(Arc<ToolSpec>, HandlerId)>,
    /// Agents as tools of others.
    pub agent_tools: Vec<AgentTool>,
    /// Tools that the user's page runs.
    pub client_tools: Vec<ClientTool>,
    pub hooks: Vec<(HookEvent, HandlerId)>,
    pub routes: Vec<(RouteSpec, HandlerId)>,
    pub actions: Vec<(ActionSpec, HandlerId)>,
}

/// `action(type, …)` or `sync_action(type, …)`
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActionSpec {
    pub kind: ActionKind,
    /// As widgets name it.
    pub r#type: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    /// A turn of its own.
    Turn,
    /// One answer, while a turn may run.
    Sync,
}

/// How the types of Kitfox's own actions begin.
const RESERVED: &str = "kitfox.";

impl ActionSpec {
    pub fn new(kind: ActionKind, name: &str) -> Result<Self, Wrong> {
        if name.is_empty() {
            return Err(Wrong {
                message: format!("`{}` lacks the action's type", kind.function()),
                remedy: "write the `type` that the widget's action has".to_owned(),
            });
        }
        if name.starts_with(RESERVED) {
            return Err(Wrong {
                message: format!("the action `{name}` is Kitfox's own"),
                remedy: format!("write a type that does not begin with `{RESERVED}`"),
            });
        }
        Ok(Self { kind, r#type: name.to_owned() })
    }
}

impl ActionKind {
    /// The function that registers it.
    pub const fn function(self) -> &'static str {
        match self {
            Self::Turn => "action",
            Self::Sync => "sync_action",
        }
    }
}

/// `agent_tool(#{ name, agent, description, stop? })`
#[derive(Debug, Clone)]
pub struct AgentTool {
    pub spec: Arc<ToolSpec>,
    pub agent: String,
    pub stop: bool,
}

/// `client_tool(#{ name, description, parameters, progress? })`
#[derive(Debug, Clone)]
pub struct ClientTool {
    pub spec: Arc<ToolSpec>,
    pub parameters: Arc<Parameters>,
    /// Shown while the page is at work.
    pub progress: Option<String>,
}

impl AgentTool {
    pub fn new(name: String, description: String, agent: String, stop: bool, allow: Allow) -> Self {
        let parameters = json!({
            "type": "object",
            "properties": { "input": { "type": "string", "description": "What the agent is asked." } },
            "required": ["input"],
            "additionalProperties": false,
        });
        let spec = ToolSpec { stop, allow, ..ToolSpec::new(name, description, parameters) };
        Self { spec: Arc::new(spec), agent, stop }
    }
}

impl Registration {
    /// Adds what another part of the same plugin offers; its handlers are counted from `first`.
    pub fn join(&mut self, other: Self, first: usize) {
        let move_up = |HandlerId(id)| HandlerId(first + id);
        let Self { tools, agent_tools, client_tools, hooks, routes, actions } = other;
        self.tools.extend(tools.into_iter().map(|(it, id)| (it, move_up(id))));
        self.agent_tools.extend(agent_tools);
        self.client_tools.extend(client_tools);
        self.hooks.extend(hooks.into_iter().map(|(it, id)| (it, move_up(id))));
        self.routes.extend(routes.into_iter().map(|(it, id)| (it, move_up(id))));
        self.actions.extend(actions.into_iter().map(|(it, id)| (it, move_up(id))));
    }

    /// How many handlers it knows.
    pub fn handlers(&self) -> usize {
        let tools = self.tools.iter().map(|(_, id)| id);
        let hooks = self.hooks.iter().map(|(_, id)| id);
        let routes = self.routes.iter().map(|(_, id)| id);
        let actions = self.actions.iter().map(|(_, id)| id);
        let ids = tools.chain(hooks).chain(routes).chain(actions);
        ids.map(|HandlerId(id)| id + 1).max().unwrap_or_default()
    }

    /// Fails where two tools, routes or actions are the same.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        let own = self.tools.iter().map(|(spec, _)| spec);
        let agents = self.agent_tools.iter().map(|it| &it.spec);
        let clients = self.client_tools.iter().map(|it| &it.spec);
        if let Some(spec) = own.chain(agents).chain(clients).find(|it| !names.insert(&it.name)) {
            return Err(format!(
                "the tool `{}` is there already: give one of the two another name",
                spec.name
            ));
        }
        for (index, (route, _)) in self.routes.iter().enumerate() {
            if self.routes[..index].iter().any(|(it, _)| it.answers_as(route)) {
                return Err(format!(
                    "the route `{} {}` is there already: give it another path, or remove one of the two",
                    route.method, route.path
                ));
            }
        }
        let mut actions = BTreeSet::new();
        if let Some((action, _)) = self.actions.iter().find(|(it, _)| !actions.insert(it)) {
            return Err(format!(
                "the {} `{}` is there already: give one of the two another type, or remove it",
                action.kind.function(),
                action.r#type
            ));
        }
        Ok(())
    }
}

/// What `on` can wait for (plugin-api.md §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookEvent {
    ThreadCreated,
    ThreadDeleted,
    Message,
    Tag,
    Attachment,
    Request,
    Response,
    Answer,
    Feedback,
    TurnDone,
    TurnFailed,
}

impl HookEvent {
    pub const ALL: &[(&str, Self)] = &[
        ("thread.created", Self::ThreadCreated),
        ("thread.deleted", Self::ThreadDeleted),
        ("message", Self::Message),
        ("tag", Self::Tag),
        ("attachment", Self::Attachment),
        ("request", Self::Request),
        ("response", Self::Response),
        ("answer", Self::Answer),
        ("feedback", Self::Feedback),
        ("turn.done", Self::TurnDone),
        ("turn.failed", Self::TurnFailed),
    ];

    /// The event of this name.
    pub fn find(name: &str) -> Result<Self, Wrong> {
        if let Some((_, event)) = Self::ALL.iter().find(|(it, _)| *it == name) {
            return Ok(*event);
        }
        let known: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
        Err(Wrong {
            message: format!("there is no event `{name}`"),
            remedy: match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", list(&known)),
            },
        })
    }

    /// As `on` is given it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, it)| *it == self).map_or("", |(name, _)| name)
    }
}

/// `route(method, path, …)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Upper case.
    pub method: String,
    /// `/path/{id}`
    pub path: String,
    pub public: bool,
}

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

impl RouteSpec {
    pub fn new(method: &str, path: &str, public: bool) -> Result<Self, Wrong> {
        let method = method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(Wrong {
                message: format!("`{method}` is no method of a route"),
                remedy: format!("use {}", list(&METHODS)),
            });
        }
        check_path(path).map_err(|what| Wrong {
            message: format!("the route's path `{path}` {what}"),
            remedy: "write it as `/cats/{id}/toys`".to_owned(),
        })?;
        Ok(Self { method, path: path.to_owned(), public })
    }

    /// Whether both answer the same requests.
    pub fn answers_as(&self, other: &Self) -> bool {
        self.method == other.method && shape(&self.path) == shape(&other.path)
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("does not begin with `/`");
    };
    let mut names = Vec::new();
    for segment in rest.split('/') {
        if matches!(segment, "." | "..") {
            return Err("has a segment of dots");
        }
        let name = segment.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        match name {
            Some(name) if !is_name(name, 64, "_") => return Err("has a parameter without a name"),
            Some(name) if names.contains(&name) => return Err("names a parameter twice"),
            Some(name) => names.push(name),
            None if segment.contains(['{', '}', '?', '#', '*', ' ']) => {
                return Err(
                    "has characters that a path cannot have: a parameter is a whole segment",
                );
            }
            None => (),
        }
    }
    Ok(())
}

/// The path with its parameters made alike.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|it| if it.starts_with('{') { "{}" } else { it });
    segments.collect::<Vec<_>>().join("/")
}

/// The longest name that a tool can have.
pub const TOOL_NAME: usize = 128;

pub fn check_tool_name(name: &str) -> Result<(), Wrong> {
    if is_name(name, TOOL_NAME, "_.-") {
        return Ok(());
    }
    Err(Wrong {
        message: format!("`{name}` cannot be a tool's name"),
        remedy: "use 1 to 128 letters, digits, `_`, `.` and `-`".to_owned(),
    })
}

fn is_name(name: &str, longest: usize, marks: &str) -> bool {
    (1..=longest).contains(&name.len())
        && name.chars().all(|it| it.is_ascii_alphanumeric() || marks.contains(it))
}
