use serde_json::{Map, Value, json};

use crate::{
    app::App,
    context::RequestContext,
    ops::{OpError, attachments::Allowance, no_agent},
    turn,
};

/// `GET /chatkit/options`: what the page may show this user: greeting, starter prompts, agents, models,
/// attachment limits.
pub fn options(app: &App, context: &RequestContext) -> Result<Value, OpError> {
    let generation = app.generation().seen_by(context.user.as_ref());
    let default = &generation.config.agents.default;
    let agent = generation.prompts.choose(None, default).ok_or_else(|| no_agent(app, default))?;
    let tools = turn::tools(&generation, agent);
    let scope = turn::Scope {
        generation: &generation,
        request: context,
        thread: None,
        tools: &tools,
        history: String::new(),
        credentials: generation.host.credentials.absent(),
        vars: &Map::new(),
    };
    let start = generation.prompts.render_start(agent, scope.to_value()).unwrap_or_else(|err| {
        // A start screen without a greeting is better than none.
        tracing::warn!("the start screen of agent `{}` cannot be rendered: {err}", agent.id);
        crate::prompt::Start::default()
    });
    let prompts: Vec<Value> = start
        .prompts
        .iter()
        .map(|(label, prompt)| json!({ "label": label, "prompt": prompt }))
        .collect();
    let agents: Vec<Value> = generation
        .prompts
        .agents()
        .map(|agent| {
            json!({ "id": agent.id, "name": agent.front.name, "tool_choice": agent.front.when_tool_choice })
        })
        .collect();
    let models: Vec<Value> = generation
        .models
        .labels()
        .into_iter()
        .map(|(id, label)| json!({ "id": id, "label": label }))
        .collect();
    let allowance = Allowance::of(agent, &generation.config.limits.attachments);
    let attachments = match allowance.filter(|_| app.store.blobs().problem().is_none()) {
        None => json!({ "enabled": false }),
        Some(it) => json!({
            "enabled": true, "accept": it.types, "max_size": it.max_bytes, "max_count": it.max_count,
        }),
    };
    Ok(json!({
        "project": generation.config.project.name,
        "agent": { "id": agent.id, "name": agent.front.name },
        "greeting": start.greeting,
        "prompts": prompts,
        "agents": agents,
        "models": models,
        "attachments": attachments,
        "transcribe": generation.host.transcriber.is_some(),
    }))
}
