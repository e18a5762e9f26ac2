use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    Model, ModelError, Scripted,
    chat_completions::{self, ChatCompletions},
    demo::Demo,
    http::{self, Endpoint},
    metered::Metered,
    responses::{self, Responses},
};
use crate::{
    config::{Api, Config, ProviderConfig},
    load_error::LoadError,
};

const CONFIG_FILE: &str = "kitfox.toml";
const DEFAULT: &str = "default";
const OPENAI: &str = "https://api.openai.com";

/// The models of a configuration, with their providers connected.
pub struct Models {
    models: BTreeMap<String, Entry>,
}

/// A model that was chosen.
#[derive(Clone)]
pub struct ChosenModel {
    /// Its key in `[models]`.
    pub key: String,
    /// The provider's name for it.
    pub model: String,
    pub provider: Arc<dyn Model>,
}

#[derive(Clone)]
struct Entry {
    model: String,
    label: String,
    /// Or why there is none, for the operator.
    provider: Result<Arc<dyn Model>, String>,
}

impl Models {
    /// Prepares every provider of `config`; connects to none. Scripts are read from `project`. A model
    /// whose provider has an error is there, and fails when it is chosen.
    pub fn new(config: &Config, project: &Path) -> (Self, Vec<LoadError>) {
        let mut errors = Vec::new();
        let mut clients = HashMap::new();
        let providers: BTreeMap<&str, _> = config
            .providers
            .iter()
            .map(|(name, provider)| {
                let connected = connect(name, provider, project, &mut clients);
                if let Err(error) = &connected {
                    errors.push(error.clone());
                }
                (name.as_str(), connected.map_err(|error| error.message))
            })
            .collect();
        let models = config.models.iter().map(|(key, model)| {
            let provider = match (providers.get(model.provider.as_str()), config.providers.get(&model.provider)) {
                (Some(Ok(_)), Some(provider)) if lacks_key(provider) => Err(format!(
                    "the model provider `{}` has no key: set `OPENAI_API_KEY` in the environment, or \
                     `api_key` in [providers.{}]",
                    model.provider, model.provider
                )),
                (Some(provider), _) => provider.clone(),
                (None, _) => Err(format!(
                    "there is no model provider `{}`, which [models.{key}] names: add \
                     [providers.{}] to {CONFIG_FILE}",
                    model.provider, model.provider
                )),
            };
            let name = provider_name(&model.provider, config.providers.get(&model.provider));
            let provider = provider.map(|it| Arc::new(Metered::new(key, name, it)) as Arc<dyn Model>);
            let entry =
                Entry { model: model.model.clone(), label: model.label.clone(), provider };
            (key.clone(), entry)
        });
        (Self { models: models.collect() }, errors)
    }

    /// One model `key`, answered by `provider`.
    pub fn with_provider(key: &str, provider: Arc<dyn Model>) -> Self {
        Self { models: BTreeMap::new() }.and_provider(key, provider)
    }

    /// One more.
    #[must_use]
    pub fn and_provider(mut self, key: &str, provider: Arc<dyn Model>) -> Self {
        let provider = Ok(Arc::new(Metered::new(key, key, provider)) as Arc<dyn Model>);
        let entry = Entry { model: key.to_owned(), label: key.to_owned(), provider };
        self.models.insert(key.to_owned(), entry);
        self
    }

    /// The model of this key, or the default one: `default`, or else the first. Fails with
    /// [`ModelError::Unconfigured`].
    pub fn choose(&self, key: Option<&str>) -> Result<ChosenModel, ModelError> {
        let found = match key {
            Some(key) => self.models.get_key_value(key),
            None => self.models.get_key_value(DEFAULT).or_else(|| self.models.first_key_value()),
        };
        let Some((key, entry)) = found else {
            let key = key.unwrap_or(DEFAULT);
            let known: Vec<String> = self.models.keys().map(|key| format!("`{key}`")).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ModelError::Unconfigured(format!(
                "there is no model `{key}`: name one of those in [models] of {CONFIG_FILE} ({known})"
            )));
        };
        let provider = entry.provider.clone().map_err(ModelError::Unconfigured)?;
        Ok(ChosenModel { key: key.clone(), model: entry.model.clone(), provider })
    }

    /// The same without the models that are not admitted, by their keys.
    #[must_use]
    pub fn only(&self, admits: impl Fn(&str) -> bool) -> Self {
        let admitted = self.models.iter().filter(|(key, _)| admits(key));
        Self { models: admitted.map(|(key, entry)| (key.clone(), entry.clone())).collect() }
    }

    /// Whether `inference_options.model` may name it.
    pub fn contains(&self, key: &str) -> bool {
        self.models.contains_key(key)
    }

    /// Key and label of every model that the composer may offer.
    pub fn labels(&self) -> Vec<(String, String)> {
        self.models.iter().map(|(key, entry)| (key.clone(), entry.label.clone())).collect()
    }
}

fn connect(
    name: &str,
    config: &ProviderConfig,
    project: &Path,
    clients: &mut HashMap<Duration, reqwest::Client>,
) -> Result<Arc<dyn Model>, LoadError> {
    let mut endpoint = |path: &[&str]| {
        let client = if let Some(client) = clients.get(&config.connect_timeout) {
            client.clone()
        } else {
            let client = http::client(config.connect_timeout).map_err(|err| {
                LoadError::new(CONFIG_FILE, format!("no HTTPS client can be made: {err}"))
                    .remedy("install the system's root certificates (package `ca-certificates`)")
            })?;
            clients.entry(config.connect_timeout).or_insert(client).clone()
        };
        let endpoint = Endpoint::new(name, path, config, client);
        endpoint.map(Arc::new).map_err(|message| LoadError::new(CONFIG_FILE, message))
    };
    Ok(match config.api {
        Api::Responses => Arc::new(Responses(endpoint(responses::PATH)?)),
        Api::ChatCompletions => Arc::new(ChatCompletions(endpoint(chat_completions::PATH)?)),
        Api::Demo => Arc::new(Demo::default()),
        Api::Scripted => Arc::new(load_script(name, config, project)?),
    })
}

/// What traces call the provider: `openai`, which the conventions know, or its key in `[providers]`.
fn provider_name<'a>(key: &'a str, config: Option<&ProviderConfig>) -> &'a str {
    match config {
        Some(config) if config.base_url.starts_with(OPENAI) => "openai",
        Some(_) | None => key,
    }
}

fn load_script(name: &str, config: &ProviderConfig, project: &Path) -> Result<Scripted, LoadError> {
    let Some(file) = &config.file else {
        let message = format!("the scripted provider `{name}` has no file to replay");
        let remedy = format!("add `file = \"script.json\"` to [providers.{name}]");
        return Err(LoadError::new(CONFIG_FILE, message).remedy(remedy));
    };
    let shown = file.to_string_lossy().replace('\\', "/");
    let text = fs::read(project.join(file)).map_err(|err| {
        LoadError::new(&shown, format!("the script of the provider `{name}` cannot be read: {err}"))
            .remedy(format!("write it, or mend `file` in [providers.{name}] of {CONFIG_FILE}"))
    })?;
    Ok(Scripted::replaying(Scripted::parse(&String::from_utf8_lossy(&text), &shown)?))
}

/// OpenAI itself answers nobody without a key; servers of one's own often do.
fn lacks_key(config: &ProviderConfig) -> bool {
    matches!(config.api, Api::Responses | Api::ChatCompletions)
        && config.api_key.is_none()
        && !config.headers.keys().any(|header| header.eq_ignore_ascii_case("authorization"))
        && config.base_url.starts_with(OPENAI)
}
