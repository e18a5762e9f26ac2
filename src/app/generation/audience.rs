use std::{collections::BTreeSet, sync::Arc};

use crate::{
    config::Config,
    mcp::Servers,
    prompt::Prompts,
    tool::ToolSet,
    user::{Allow, User},
};

use super::Generation;

impl Generation {
    /// This generation as a user sees it: agents, models, tools and MCP servers that are not for them are not there.
    /// None: somebody who is not known.
    pub fn seen_by(self: &Arc<Self>, user: Option<&User>) -> Arc<Self> {
        if !self.is_gated {
            return self.clone();
        }
        let prompts = self.prompts.only(|agent| agent.front.allow.admits(user));
        let models = self
            .models
            .only(|key| self.config.models.get(key).is_none_or(|model| model.allow.admits(user)));
        let mut mcp = self.mcp.clone();
        mcp.0.retain(|_, server| server.file().allow.admits(user));
        let mut tools = ToolSet::clone(&self.tools);
        let without_agent = self.agent_tools_without(&prompts);
        tools.0.retain(|name, tool| tool.spec.allow.admits(user) && !without_agent.contains(name));
        let (models, tools) = (Arc::new(models), Arc::new(tools));
        Arc::new(Self { models, prompts, tools, mcp, ..Self::clone(self) })
    }

    /// The tools that are agents which are not among these.
    fn agent_tools_without(&self, prompts: &Prompts) -> BTreeSet<String> {
        let tools = self.approved_plugins().flat_map(|it| &it.registration().agent_tools);
        let is_hidden =
            |agent: &str| self.prompts.find(agent).is_some() && prompts.find(agent).is_none();
        tools.filter(|it| is_hidden(&it.agent)).map(|it| it.spec.name.clone()).collect()
    }
}

/// Whether something is not for everyone.
pub fn is_gated(config: &Config, prompts: &Prompts, tools: &ToolSet, mcp: &Servers) -> bool {
    let agents = prompts.agents().map(|it| &it.front.allow);
    let models = config.models.values().map(|it| &it.allow);
    let tools = tools.0.values().map(|it| &it.spec.allow);
    let servers = mcp.0.values().map(|it| &it.file().allow);
    !agents.chain(models).chain(tools).chain(servers).all(Allow::is_everyone)
}
