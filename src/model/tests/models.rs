use std::{fs, path::Path, sync::Arc};

use tempfile::tempdir;

use super::{say, upstream::Upstream};
use crate::{
    config::{Api, Config, Environment, ModelConfig, ProviderConfig},
    model::{Models, Scripted, complete},
    user::Allow,
};

fn config(
    providers: impl IntoIterator<Item = (&'static str, ProviderConfig)>,
    models: &[(&str, &str, &str)],
) -> Config {
    let models = models.iter().map(|(key, provider, model)| {
        let model = ModelConfig {
            provider: (*provider).to_owned(),
            model: (*model).to_owned(),
            label: key.to_uppercase(),
            allow: Allow::default(),
        };
        ((*key).to_owned(), model)
    });
    let config = Config::parse(None, &Environment::default(), Path::new("/p")).unwrap();
    Config {
        providers: providers.into_iter().map(|(name, it)| (name.to_owned(), it)).collect(),
        models: models.collect(),
        ..config
    }
}

async fn provider(api: Api) -> ProviderConfig {
    Upstream::start([]).await.config(api)
}

#[track_caller]
fn refusal(models: &Models, key: Option<&str>) -> String {
    match models.choose(key) {
        Ok(model) => panic!("`{}` was chosen", model.key),
        Err(err) => err.to_string(),
    }
}

#[tokio::test]
async fn models_are_chosen_by_key_and_the_default_one_without() {
    let demo = provider(Api::Demo).await;
    let config = config([("demo", demo)], &[("big", "demo", "b"), ("default", "demo", "d")]);
    let (models, errors) = Models::new(&config, Path::new("."));
    assert_eq!(errors, []);
    assert_eq!(models.choose(None).unwrap().model, "d");
    assert_eq!(models.choose(Some("big")).unwrap().model, "b");
    assert!(models.contains("big") && !models.contains("small"));
    let labels = [("big", "BIG"), ("default", "DEFAULT")];
    assert_eq!(models.labels(), labels.map(|(key, label)| (key.to_owned(), label.to_owned())));
    assert_eq!(
        refusal(&models, Some("small")),
        "there is no model `small`: name one of those in [models] of kitfox.toml (`big`, `default`)"
    );
}

#[tokio::test]
async fn a_model_without_a_key_or_provider_says_what_is_missing() {
    let mut openai = provider(Api::Responses).await;
    openai.base_url = "https://api.openai.com/v1".to_owned();
    openai.api_key = None;
    let config = config([("openai", openai)], &[("default", "openai", "m"), ("x", "nobody", "m")]);
    let (models, errors) = Models::new(&config, Path::new("."));
    assert_eq!(errors, []);
    assert_eq!(
        refusal(&models, None),
        "the model provider `openai` has no key: set `OPENAI_API_KEY` in the environment, or \
         `api_key` in [providers.openai]"
    );
    assert_eq!(
        refusal(&models, Some("x")),
        "there is no model provider `nobody`, which [models.x] names: add [providers.nobody] to \
         kitfox.toml"
    );
}

#[tokio::test]
async fn a_provider_that_is_configured_wrongly_is_reported() {
    let good = provider(Api::ChatCompletions).await;
    let url = |url: &str| ProviderConfig { base_url: url.to_owned(), ..good.clone() };
    let mut key = good.clone();
    key.api_key = Some("a\nb".into());
    let mut header = good.clone();
    header.headers.insert("x y".to_owned(), "z".to_owned());
    let no_file = ProviderConfig { api: Api::Scripted, ..good.clone() };
    let lost = ProviderConfig { file: Some("lost.json".into()), ..no_file.clone() };
    let providers = [
        ("a", url("localhost:1")),
        ("b", url("nonsense")),
        ("c", key),
        ("d", header),
        ("e", no_file),
        ("f", lost),
    ];
    let folder = tempdir().unwrap();
    let (models, errors) = Models::new(&config(providers, &[("default", "a", "m")]), folder.path());
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(errors.join("\n"), @r#"
    kitfox.toml: `base_url` of [providers.a] is no address of a model provider: it should begin with https:// or http://
    kitfox.toml: `base_url` of [providers.b] is no address of a model provider: relative URL without a base
    kitfox.toml: `api_key` of [providers.c] holds characters that no key has
    kitfox.toml: `x y` in [providers.d.headers] is no HTTP header
    kitfox.toml: the scripted provider `e` has no file to replay (add `file = "script.json"` to [providers.e])
    lost.json: the script of the provider `f` cannot be read: No such file or directory (os error 2) (write it, or mend `file` in [providers.f] of kitfox.toml)
    "#);
    assert!(refusal(&models, None).contains("`base_url` of [providers.a]"));
}

#[tokio::test]
async fn a_script_is_replayed_from_a_file() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("script.json"), r#"[{ "complete": "from the file" }]"#).unwrap();
    let mut scripted = provider(Api::Scripted).await;
    scripted.file = Some("script.json".into());
    let config = config([("s", scripted)], &[("default", "s", "m")]);
    let (models, errors) = Models::new(&config, folder.path());
    assert_eq!(errors, []);
    let model = models.choose(None).unwrap();
    assert_eq!(complete(&model, say("x")).await.unwrap(), "from the file");
    fs::write(folder.path().join("script.json"), "[\n  5\n]").unwrap();
    let (_, errors) = Models::new(&config, folder.path());
    assert_eq!((errors[0].file.as_str(), errors[0].line), ("script.json", Some(2)));
}

#[tokio::test]
async fn a_test_brings_its_own_providers() {
    let scripted = Scripted::new(Vec::new());
    let models = Models::with_provider("default", Arc::new(scripted.clone()))
        .and_provider("other", Arc::new(scripted.clone()));
    let other = models.choose(Some("other")).unwrap();
    assert!(complete(&other, say("x")).await.is_err());
    assert_eq!(scripted.requests()[0].model, "other");
}
