//! `[providers]` and `[models]`, and what stands in for them where there are none.

use std::{collections::BTreeMap, path::Path, time::Duration};

use secrecy::SecretString;

use crate::{
    config::{
        Api, Environment, ModelConfig, ProviderConfig, ServerConfig, TranscribeConfig,
        document::{Field, Key, Table, list_of},
        parse::{read_duration, server::read_url},
    },
    user::Allow,
};

const OPENAI_URL: &str = "https://api.openai.com/v1";
const OPENAI_MODEL: &str = "gpt-5-mini";
const TRANSCRIPTION_MODEL: &str = "gpt-4o-mini-transcribe";

pub type Providers = BTreeMap<String, ProviderConfig>;
pub type Models = BTreeMap<String, ModelConfig>;

pub fn read_models(
    root: &Table<'_>,
    server: &ServerConfig,
    environment: &Environment,
    project: &Path,
) -> (Providers, Models) {
    let written = root.map("providers").fields();
    let mut providers: Providers = BTreeMap::new();
    for (key, field) in &written {
        if let Some(provider) = read_provider(field, environment, project) {
            providers.insert(key.name.clone(), provider);
        }
    }
    // A provider with a mistake is told once, not again by the models that name it.
    let mut names: Vec<&str> = written.iter().map(|(key, _)| key.name.as_str()).collect();
    if written.is_empty()
        && let Some(key) = environment.get("OPENAI_API_KEY").filter(|it| !it.is_empty())
    {
        providers.insert("openai".to_owned(), openai(key));
        names.push("openai");
    }

    let models = root.map("models");
    if models.is_empty() {
        let models = default_model(&written, &mut providers, server);
        return (providers, models);
    }
    let mut read = BTreeMap::new();
    for (key, field) in models.fields() {
        if let Some(model) = read_model(&key.name, &field, &names, &mut providers) {
            read.insert(key.name, model);
        }
    }
    if models.get("default").is_none() {
        models.refuse(
            "`models` has no `default`, which serves the agents that name no model",
            "call one of them `[models.default]`",
        );
    }
    (providers, read)
}

fn read_provider(
    field: &Field<'_>,
    environment: &Environment,
    project: &Path,
) -> Option<ProviderConfig> {
    let table = field.table(&[
        "api",
        "base_url",
        "api_key",
        "headers",
        "file",
        "connect_timeout",
        "first_byte_timeout",
        "idle_timeout",
        "retries",
    ])?;
    let base_url = match table.get("base_url") {
        Some(it) => read_url(&it)?.as_str().trim_end_matches('/').to_owned(),
        None => OPENAI_URL.to_owned(),
    };
    let is_openai = base_url == OPENAI_URL;
    let api = table.get("api").map(|it| {
        it.word(&[
            ("responses", Api::Responses),
            ("chat_completions", Api::ChatCompletions),
            ("demo", Api::Demo),
            ("scripted", Api::Scripted),
        ])
    });
    let api = api.unwrap_or(Some(if is_openai { Api::Responses } else { Api::ChatCompletions }))?;
    let file = table.get("file").and_then(|it| it.text_not_empty()).map(|it| project.join(it));
    if api == Api::Scripted && file.is_none() {
        field.refuse_with_remedy(
            format!("`{}` has the api `scripted`, but no `file` to replay", field.path),
            "add `file = \"script.toml\"`",
        );
    }
    let needs_key = matches!(api, Api::Responses | Api::ChatCompletions);
    // Only the key's own server gets a key that was not given to this provider.
    let found_key = (is_openai && needs_key)
        .then(|| environment.get("OPENAI_API_KEY").map(str::to_owned))
        .flatten();
    let api_key = table.get("api_key").and_then(|it| it.text()).filter(|it| !it.is_empty());
    let mut headers = BTreeMap::new();
    for (key, field) in table.map("headers").fields() {
        if let Some(value) = field.text() {
            headers.insert(key.name, value);
        }
    }
    let least = Duration::from_millis(1);
    let default = openai("");
    Some(ProviderConfig {
        api,
        base_url,
        api_key: api_key.or(found_key).filter(|it| !it.is_empty()).map(SecretString::from),
        headers,
        file,
        connect_timeout: read_duration(&table, "connect_timeout", default.connect_timeout, least),
        first_byte_timeout: read_duration(
            &table,
            "first_byte_timeout",
            default.first_byte_timeout,
            least,
        ),
        idle_timeout: read_duration(&table, "idle_timeout", default.idle_timeout, least),
        retries: table.get("retries").and_then(|it| it.count(0)).unwrap_or(default.retries),
    })
}

fn openai(key: &str) -> ProviderConfig {
    ProviderConfig {
        api: Api::Responses,
        base_url: OPENAI_URL.to_owned(),
        api_key: Some(SecretString::from(key)),
        headers: BTreeMap::new(),
        file: None,
        connect_timeout: Duration::from_secs(10),
        first_byte_timeout: Duration::from_mins(2),
        idle_timeout: Duration::from_mins(2),
        retries: 2,
    }
}

fn demo() -> ProviderConfig {
    ProviderConfig { api: Api::Demo, base_url: String::new(), api_key: None, ..openai("") }
}

/// The name of a model that this provider has for certain.
fn model_of(provider: &ProviderConfig) -> Option<&'static str> {
    match provider.api {
        Api::Demo => Some("demo"),
        Api::Scripted => Some("scripted"),
        Api::Responses | Api::ChatCompletions => {
            (provider.base_url == OPENAI_URL).then_some(OPENAI_MODEL)
        }
    }
}

/// `[models]` where the file has none.
fn default_model(
    written: &[(Key, Field<'_>)],
    providers: &mut Providers,
    server: &ServerConfig,
) -> Models {
    if let Some((key, field)) = written.first() {
        let Some(provider) = providers.get(&key.name) else { return BTreeMap::new() };
        let Some(model) = model_of(provider) else {
            field.refuse_with_remedy(
                format!(
                    "`models.default` is missing, and provider `{}` has no known model",
                    key.name
                ),
                format!("add `[models.default]` with `provider = \"{}\"` and `model`", key.name),
            );
            return BTreeMap::new();
        };
        return one_model(&key.name, model);
    }
    if providers.contains_key("openai") {
        return one_model("openai", OPENAI_MODEL);
    }
    if server.listens_on_loopback() {
        providers.insert("demo".to_owned(), demo());
        return one_model("demo", "demo");
    }
    BTreeMap::new()
}

fn one_model(provider: &str, model: &str) -> Models {
    let label = "default".to_owned();
    let (provider, model) = (provider.to_owned(), model.to_owned());
    let model = ModelConfig { provider, model, label, allow: Allow::default() };
    BTreeMap::from([("default".to_owned(), model)])
}

fn read_model(
    key: &str,
    field: &Field<'_>,
    names: &[&str],
    providers: &mut Providers,
) -> Option<ModelConfig> {
    let table = field.table(&["provider", "model", "label", "allow"])?;
    let label = table.get("label").and_then(|it| it.text_not_empty());
    let provider = choose_provider(field, &table, names, providers)?;
    let model = if let Some(model) = table.get("model") {
        model.text_not_empty()?
    } else {
        // A provider that is not there has a mistake, which was told.
        let provider_config = providers.get(&provider)?;
        let Some(model) = model_of(provider_config) else {
            field.refuse_with_remedy(
                format!("`{}` has no `model`", field.path),
                format!("add `model`, the name that provider `{provider}` has for it"),
            );
            return None;
        };
        model.to_owned()
    };
    let label = label.unwrap_or_else(|| key.to_owned());
    Some(ModelConfig { provider, model, label, allow: table.allow() })
}

/// The provider that a model names, or the only one there is.
fn choose_provider(
    model: &Field<'_>,
    table: &Table<'_>,
    names: &[&str],
    providers: &mut Providers,
) -> Option<String> {
    if let Some(field) = table.get("provider") {
        let provider = field.text_not_empty()?;
        if names.contains(&provider.as_str()) {
            return Some(provider);
        }
        if provider == "demo" {
            providers.insert(provider.clone(), demo());
            return Some(provider);
        }
        refuse_provider(&field, &provider, names);
        return None;
    }
    if let [only] = names {
        return Some((*only).to_owned());
    }
    let remedy = if names.is_empty() {
        "set `OPENAI_API_KEY`, or add a provider and name it here".to_owned()
    } else {
        format!("add `provider`, one of {}", list_of(names))
    };
    model.refuse_with_remedy(format!("`{}` names no provider", model.path), remedy);
    None
}

/// `[transcribe]`, which asks a provider that is there.
pub fn read_transcribe(root: &Table<'_>, providers: &Providers) -> Option<TranscribeConfig> {
    let names: Vec<&str> = providers.keys().map(String::as_str).collect();
    let section = root.get("transcribe")?;
    let table = section.table(&["provider", "model"])?;
    let field = table.get("provider");
    let provider = match (&field, &names[..]) {
        (Some(field), _) => field.text_not_empty()?,
        (None, [only]) => (*only).to_owned(),
        (None, _) => {
            let remedy = format!("add `provider`, one of {}", list_of(&names));
            section.refuse_with_remedy("`transcribe` names no provider", remedy);
            return None;
        }
    };
    let Some(config) = providers.get(&provider) else {
        // One with a mistake was told of.
        if root.map("providers").get(&provider).is_some() {
            return None;
        }
        refuse_provider(field.as_ref().unwrap_or(&section), &provider, &names);
        return None;
    };
    let model = match table.get("model") {
        Some(model) => model.text_not_empty()?,
        None if config.base_url == OPENAI_URL => TRANSCRIPTION_MODEL.to_owned(),
        None => {
            let remedy = format!("add `model`, the name that provider `{provider}` has for it");
            section.refuse_with_remedy("`transcribe` has no `model`", remedy);
            return None;
        }
    };
    if matches!(config.api, Api::Demo | Api::Scripted) {
        section.refuse_with_remedy(
            format!("`transcribe` names `{provider}`, which understands no speech"),
            "name a provider that has the path /audio/transcriptions",
        );
        return None;
    }
    Some(TranscribeConfig { provider, model })
}

fn refuse_provider(field: &Field<'_>, provider: &str, names: &[&str]) {
    let remedy = match (provider, names) {
        ("openai", []) => "set `OPENAI_API_KEY`, or add `[providers.openai]`".to_owned(),
        (_, []) => format!("add `[providers.{provider}]`"),
        (_, _) => format!("use {}, or add `[providers.{provider}]`", list_of(names)),
    };
    field.refuse_with_remedy(
        format!("`{}` names `{provider}`, which is not configured", field.path),
        remedy,
    );
}
