//! Agents: prompts/*.md, front matter and template.

mod front_matter;
mod template;
#[cfg(test)]
mod tests;
mod tool_globs;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use minijinja::{Environment, value::Serde};
use serde::Serialize;
use serde_json::Value;

use crate::{
    config::{
        ModelConfig,
        document::{Place, list_of},
    },
    load_error::LoadError,
    user::Allow,
};

pub use self::tool_globs::ToolGlobs;
use self::{
    front_matter::StartNames,
    template::{Include, Source},
};

/// Serves a project that has no `assistant.md`.
const BUILT_IN: &str = include_str!("assistant.md");

/// All agents of a project. A file that fails to load keeps its last good version.
#[derive(Clone)]
pub struct Prompts {
    agents: BTreeMap<String, Arc<Agent>>,
    /// The agent `assistant`, where the project has no such file.
    built_in: Option<Arc<Agent>>,
    /// What is in force, by path below prompts/.
    files: BTreeMap<String, Arc<PromptFile>>,
    /// All of it compiled.
    environment: Arc<Environment<'static>>,
}

/// A file of prompts/ that has no mistakes.
struct PromptFile {
    body: Source,
    /// Templates in the front matter.
    values: Vec<Source>,
    /// None: a partial.
    agent: Option<Arc<Agent>>,
    /// The keys of `[models]` that it names, and where.
    models: Vec<(String, Place)>,
    /// What the template with this index among body and values includes.
    includes: Vec<(usize, Include)>,
}

/// One agent: a file in prompts/.
pub struct Agent {
    /// The file's name without `.md`.
    pub id: String,
    pub front: FrontMatter,
}

/// What stands above an agent's template.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontMatter {
    /// Shown to people; default: the id.
    pub name: String,
    /// A key of `[models]`.
    pub model: Option<String>,
    /// Default `["*"]`.
    pub tools: ToolGlobs,
    pub stop_after: Vec<String>,
    pub history: History,
    pub temperature: Option<f64>,
    pub reasoning: Option<Reasoning>,
    /// The provider's own tools, as `{"type": …}`.
    pub hosted: Vec<Value>,
    pub allow_cancel: bool,
    pub titles: Titles,
    pub attachments: AttachmentRules,
    pub start: Start,
    /// Composer tool ids that select this agent.
    pub when_tool_choice: Vec<String>,
    /// Who may talk to it.
    pub allow: Allow,
}

impl Default for FrontMatter {
    fn default() -> Self {
        Self {
            name: String::new(),
            model: None,
            tools: ToolGlobs::default(),
            stop_after: Vec::new(),
            history: History::default(),
            temperature: None,
            reasoning: None,
            hosted: Vec::new(),
            allow_cancel: true,
            titles: Titles::default(),
            attachments: AttachmentRules::default(),
            start: Start::default(),
            when_tool_choice: Vec::new(),
            allow: Allow::default(),
        }
    }
}

impl FrontMatter {
    /// Whether the agent gets this tool.
    pub fn admits(&self, tool: &str) -> bool {
        self.tools.admits(tool)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reasoning {
    /// `minimal`, `low`, `medium`, `high`, or whatever the provider takes.
    pub effort: Option<String>,
    /// Ask for summaries that can be shown.
    pub show: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// How many of the items that the user can see; default 40.
    pub items: usize,
    pub form: HistoryForm,
}

impl Default for History {
    fn default() -> Self {
        Self { items: 40, form: HistoryForm::Items }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistoryForm {
    /// As model input.
    #[default]
    Items,
    /// As text, by `{{ history }}`.
    Transcript,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Titles {
    Off,
    #[default]
    On,
    With {
        model: Option<String>,
        prompt: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AttachmentRules {
    None,
    #[default]
    Any,
    Some {
        accept: Option<Vec<String>>,
        max_size: Option<u64>,
        max_count: Option<u32>,
    },
}

/// The start screen. `greeting`, labels and prompts are templates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    pub greeting: Option<String>,
    /// Label and prompt.
    pub prompts: Vec<(String, String)>,
}

/// Those of an empty folder: the built-in agent alone.
impl Default for Prompts {
    fn default() -> Self {
        Self::load(&BTreeMap::new(), None).0
    }
}

impl Prompts {
    /// Loads the files of prompts/ (path below prompts/ → text), with the last good version of those
    /// that fail.
    pub fn load(
        files: &BTreeMap<String, Arc<str>>,
        previous: Option<&Self>,
    ) -> (Self, Vec<LoadError>) {
        let (in_force, errors) = load_files(files, previous);
        let built_in = (!files.contains_key("assistant.md")
            && !in_force.contains_key("assistant.md"))
        .then(|| PromptFile::parse("assistant.md", BUILT_IN))
        .map(|it| it.unwrap_or_else(|_| unreachable!("the built-in agent is valid")));

        let mut environment = template::environment();
        for file in in_force.values().map(AsRef::as_ref).chain(&built_in) {
            for source in file.sources() {
                environment
                    .add_template_owned(source.name.clone(), source.text.to_string())
                    .expect("the template was compiled before");
            }
        }
        // A deleted file may live on as what another includes, but not as an agent.
        let is_there = |agent: &Arc<Agent>| files.contains_key(&agent.path());
        let agents = in_force.values().filter_map(|it| it.agent.clone()).filter(is_there);
        let prompts = Self {
            agents: agents.map(|it| (it.id.clone(), it)).collect(),
            built_in: built_in.and_then(|it| it.agent),
            files: in_force,
            environment: Arc::new(environment),
        };
        (prompts, errors)
    }

    /// Tells the agents that name a model which is not configured. They are in force all the same: the
    /// model may come with the next change of kitfox.toml.
    pub fn check_models(&self, models: &BTreeMap<String, ModelConfig>) -> Vec<LoadError> {
        let known: Vec<&str> = models.keys().map(String::as_str).collect();
        let mut errors = Vec::new();
        // Without any model there is one error, at use, and it says what to do.
        let files = self.files.values().filter(|_| !known.is_empty());
        for (file, name, place) in
            files.flat_map(|file| file.models.iter().map(move |(name, place)| (file, name, place)))
        {
            if known.contains(&name.as_str()) {
                continue;
            }
            let error = file.body.error(format!("there is no model `{name}`")).remedy(format!(
                "use {}, or add `[models.{name}]` to kitfox.toml",
                list_of(&known)
            ));
            errors.push(match place {
                Place::File { line, column } => error.at(*line, Some(*column)),
                Place::Variable(_) | Place::Unknown => error,
            });
        }
        errors
    }

    /// The project's agents; the built-in one where there are none.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<Agent>> {
        let built_in = self.built_in.iter().filter(|_| self.agents.is_empty());
        self.agents.values().chain(built_in)
    }

    /// The same without the agents that are not admitted.
    #[must_use]
    pub fn only(&self, admits: impl Fn(&Agent) -> bool) -> Self {
        let mut prompts = self.clone();
        prompts.agents.retain(|_, agent| admits(agent));
        // Where the project has agents, it stands in for `assistant` alone.
        if prompts.agents.is_empty() && !self.agents.is_empty() {
            prompts.built_in = None;
        }
        prompts
    }

    pub fn find(&self, id: &str) -> Option<&Arc<Agent>> {
        self.agents.get(id).or_else(|| self.built_in.as_ref().filter(|it| it.id == id))
    }

    /// The agent that answers: the one whose `when` names the composer's choice, else the default.
    pub fn choose(&self, tool_choice: Option<&str>, default: &str) -> Option<&Arc<Agent>> {
        let is_chosen = |agent: &&Arc<Agent>| {
            let choices = &agent.front.when_tool_choice;
            tool_choice.is_some_and(|choice| choices.iter().any(|it| it == choice))
        };
        self.agents.values().find(is_chosen).or_else(|| self.find(default))
    }

    /// The agent's instructions for this scope, which holds every name of plugin-api.md §2.
    pub fn render(&self, agent: &Agent, scope: impl Serialize) -> Result<String, LoadError> {
        self.render_template(&agent.path(), minijinja::Value::from(Serde(scope)))
    }

    /// The start screen for this scope.
    pub fn render_start(&self, agent: &Agent, scope: impl Serialize) -> Result<Start, LoadError> {
        let start = &agent.front.start;
        let path = agent.path();
        let names = StartNames(&path);
        let scope = minijinja::Value::from(Serde(scope));
        let greeting = match &start.greeting {
            Some(_) => Some(self.render_template(&names.greeting(), scope.clone())?),
            None => None,
        };
        let mut prompts = Vec::with_capacity(start.prompts.len());
        for index in 0..start.prompts.len() {
            let label = self.render_template(&names.label(index), scope.clone())?;
            let prompt = self.render_template(&names.prompt(index), scope.clone())?;
            prompts.push((label, prompt));
        }
        Ok(Start { greeting, prompts })
    }

    fn render_template(&self, name: &str, scope: minijinja::Value) -> Result<String, LoadError> {
        template::render(&self.environment, name, scope)
            .map_err(|err| template::explain(&err, name, |name| self.find_source(name)))
    }

    fn find_source(&self, name: &str) -> Option<&Source> {
        let path = name.split("//").next()?;
        self.files.get(path)?.sources().find(|it| it.name == name)
    }
}

impl Agent {
    /// Below prompts/.
    fn path(&self) -> String {
        format!("{}.md", self.id)
    }
}

impl PromptFile {
    fn parse(path: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let (body, values, agent, models) = if let Some(id) = agent_id(path) {
            let parsed = front_matter::parse(path, &text)?;
            let agent = Agent { id: id.to_owned(), front: parsed.front };
            (parsed.body, parsed.values, Some(Arc::new(agent)), parsed.models)
        } else {
            (Source::of_partial(path, &text), Vec::new(), None, Vec::new())
        };
        let mut file = Self { body, values, agent, models, includes: Vec::new() };
        let mut includes = Vec::new();
        let mut errors = Vec::new();
        for (index, source) in file.sources().enumerate() {
            match source.check() {
                Ok(found) => includes.extend(found.into_iter().map(|it| (index, it))),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        file.includes = includes;
        Ok(file)
    }

    /// Its templates: the body first.
    fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.body).chain(&self.values)
    }

    /// What it includes that is not in force.
    fn missing(
        &self,
        in_force: &PromptFiles,
        files: &BTreeMap<String, Arc<str>>,
    ) -> Vec<LoadError> {
        let mut errors = Vec::new();
        for (index, include) in &self.includes {
            if in_force.contains_key(&include.name) {
                continue;
            }
            if let Some(source) = self.sources().nth(*index) {
                errors.push(source.missing(include, files.contains_key(&include.name)));
            }
        }
        errors
    }
}

/// The id of the agent that this file is: one directly in prompts/ whose name does not begin with `_`.
fn agent_id(path: &str) -> Option<&str> {
    path.strip_suffix(".md").filter(|it| !it.contains('/') && !it.starts_with(['_', '.']))
}

type PromptFiles = BTreeMap<String, Arc<PromptFile>>;

/// What is in force with these files, and what is wrong with those that are not.
fn load_files(
    files: &BTreeMap<String, Arc<str>>,
    previous: Option<&Prompts>,
) -> (PromptFiles, Vec<LoadError>) {
    let mut in_force: PromptFiles = BTreeMap::new();
    let mut errors = Vec::new();
    let mut failed = BTreeSet::new();
    for (path, text) in files {
        match PromptFile::parse(path, text) {
            Ok(file) => {
                in_force.insert(path.clone(), Arc::new(file));
            }
            Err(found) => {
                errors.extend(found);
                failed.insert(path.clone());
            }
        }
    }
    let last_good = |path: &str| previous.and_then(|it| it.files.get(path)).cloned();
    for path in &failed {
        in_force.extend(last_good(path).map(|it| (path.clone(), it)));
    }

    // A file that includes what is not there fails as well, and then those that include it.
    while let Some((path, found)) = find_missing(&in_force, files, &failed) {
        errors.extend(found);
        match last_good(&path) {
            Some(file) => in_force.insert(path.clone(), file),
            None => in_force.remove(&path),
        };
        failed.insert(path);
    }

    // The last good version of a file lives on with what it includes, even where that was deleted.
    let mut paths: Vec<String> = failed.into_iter().collect();
    while let Some(path) = paths.pop() {
        let Some(file) = in_force.get(&path).cloned() else { continue };
        for (_, include) in &file.includes {
            if let Some(included) = last_good(&include.name)
                && !in_force.contains_key(&include.name)
            {
                in_force.insert(include.name.clone(), included);
                paths.push(include.name.clone());
            }
        }
    }
    (in_force, errors)
}

/// The next file that includes what is not in force.
fn find_missing(
    in_force: &PromptFiles,
    files: &BTreeMap<String, Arc<str>>,
    failed: &BTreeSet<String>,
) -> Option<(String, Vec<LoadError>)> {
    in_force
        .iter()
        .filter(|(path, _)| !failed.contains(*path))
        .map(|(path, file)| (path.clone(), file.missing(in_force, files)))
        .find(|(_, errors)| !errors.is_empty())
}
