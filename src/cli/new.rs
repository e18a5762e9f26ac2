use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::{
    language::{COMMON_FILES, Language},
    output::Output,
};

#[derive(Debug, Args)]
pub struct New {
    /// What to make.
    kind: Kind,
    /// Its name: lower-case letters, digits, `-` and `_`.
    name: String,
    /// What a component is written in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A script in plugins/ with one tool.
    Rhai,
    /// A folder in plugins/ with a manifest, a script, texts and data.
    Pack,
    /// The sources of a component, in components/: `sh build.sh` there makes it a plugin.
    Wasm,
    /// An agent: a prompt in prompts/.
    Agent,
}

const SCRIPT: &str = include_str!("templates/script.rhai");
const PACK_MANIFEST: &str = include_str!("templates/plugin.toml");
const PACK_SCRIPT: &str = include_str!("templates/pack.rhai");
const PACK_LOCALE: &str = include_str!("templates/en.json");
const PACK_DATA: &str = include_str!("templates/facts.json");
const AGENT: &str = include_str!("templates/agent.md");

impl New {
    pub async fn run(self, project: PathBuf, output: Output) -> anyhow::Result<ExitCode> {
        let name = self.name;
        let allowed =
            |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "-_".contains(it);
        if !name.starts_with(|it: char| it.is_ascii_lowercase() || it.is_ascii_digit())
            || !name.chars().all(allowed)
            || name.len() > 63
        {
            bail!(
                "`{name}` is no name: use lower-case letters, digits, `-` and `_`, as in `my-plugin`"
            );
        }
        let files: Vec<(String, &str)> = match self.kind {
            Kind::Rhai => vec![(format!("plugins/{name}.rhai"), SCRIPT)],
            Kind::Pack => vec![
                (format!("plugins/{name}/plugin.toml"), PACK_MANIFEST),
                (format!("plugins/{name}/{name}.rhai"), PACK_SCRIPT),
                (format!("plugins/{name}/locales/en.json"), PACK_LOCALE),
                (format!("plugins/{name}/data/facts.json"), PACK_DATA),
            ],
            Kind::Wasm => {
                let files = self.lang.files().iter().chain(COMMON_FILES);
                files.map(|(path, text)| (format!("components/{name}/{path}"), *text)).collect()
            }
            Kind::Agent => vec![(format!("prompts/{name}.md"), AGENT)],
        };
        // A script and a pack of one name would keep each other from loading.
        let rivals = match self.kind {
            Kind::Rhai | Kind::Wasm => vec![format!("plugins/{name}")],
            Kind::Pack => vec![format!("plugins/{name}"), format!("plugins/{name}.rhai")],
            Kind::Agent => Vec::new(),
        };
        for path in files.iter().map(|(path, _)| path).chain(&rivals) {
            if tokio::fs::try_exists(project.join(path)).await.unwrap_or(false) {
                bail!("{path} is there already: choose another name, or remove it first");
            }
        }
        let tool = name.replace('-', "_");
        for (path, template) in &files {
            // The contract is as it is, whatever words it has.
            let text = if path.ends_with("kitfox.wit") {
                (*template).to_owned()
            } else {
                let particulars = self.lang.particulars().trim_end();
                let text = template.replace("PARTICULARS", particulars).replace("NAME", &name);
                text.replace("TOOL", &tool)
            };
            write(&project.join(path), &text)
                .await
                .with_context(|| format!("cannot write {path}"))?;
            output.line(format!("made {path}"));
        }
        output.line(match self.kind {
            Kind::Rhai | Kind::Pack => {
                format!(
                    "try it: kitfox call {tool} '{{\"who\": \"Ada\"}}', or ask for it in the chat"
                )
            }
            Kind::Wasm => format!(
                "look at components/{name}/README.md, build it: sh components/{name}/build.sh, then try: kitfox call {tool} '{{\"who\": \"Ada\"}}'"
            ),
            Kind::Agent => format!("look at it: kitfox render {name}"),
        });
        let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
        output.value(&json!({ "made": paths }));
        Ok(ExitCode::SUCCESS)
    }
}

async fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(path, text).await
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Kind, Language, New};
    use crate::{
        cli::{check, output::Output},
        config::Environment,
    };

    #[tokio::test]
    async fn what_it_makes_loads_and_is_never_made_twice() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let project = tempfile::tempdir().unwrap();
        let make = async |kind, name: &str| {
            let new = New { kind, name: name.to_owned(), lang: Language::Rust };
            let made = new.run(project.path().to_owned(), Output { json: true }).await;
            made.err().map(|err| err.to_string())
        };
        for (kind, name) in [
            (Kind::Rhai, "my-script"),
            (Kind::Pack, "3d_pack"),
            (Kind::Wasm, "my-part"),
            (Kind::Agent, "helper"),
        ] {
            assert_eq!(make(kind, name).await, None);
            assert!(make(kind, name).await.is_some_and(|err| err.contains("is there already")));
        }
        assert!(make(Kind::Pack, "my-script").await.is_some());
        assert!(make(Kind::Rhai, "3d_pack").await.is_some());
        assert!(make(Kind::Agent, "../up").await.is_some());

        let app = check::load(project.path().to_owned(), Environment::default()).await.unwrap();
        let generation = app.generation();
        assert_eq!(generation.errors, []);
        let tools: Vec<_> = generation.tools.0.keys().collect();
        assert_eq!(tools, ["3d_pack", "my_script"]);
        assert!(generation.prompts.find("helper").is_some());
    }

    /// What becomes of them is tested with their toolchains, by `.ci/components`.
    #[tokio::test]
    async fn every_language_has_the_tool_of_the_script_with_a_test_and_how_to_build_it() {
        for lang in Language::value_variants() {
            let project = tempfile::tempdir().unwrap();
            let new = New { kind: Kind::Wasm, name: "my-part".to_owned(), lang: *lang };
            new.run(project.path().to_owned(), Output { json: true }).await.unwrap();
            let folder = project.path().join("components/my-part");
            let (mut names, mut all) = (Vec::new(), String::new());
            for folder in [folder.clone(), folder.join("src")] {
                for entry in std::fs::read_dir(folder).into_iter().flatten() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                        all += &String::from_utf8(std::fs::read(path).unwrap()).unwrap();
                    }
                }
            }
            for file in ["README.md", "build.sh", "test.sh", ".gitignore"] {
                assert!(names.iter().any(|it| it == file), "{lang:?} has no {file}: {names:?}");
            }
            assert!(all.contains("my_part") && all.contains("plugins/my-part.wasm"), "{lang:?}");
            assert!(all.contains("Greets somebody, and counts how often."), "{lang:?}");
            for placeholder in ["NAME", "TOOL", "PARTICULARS"] {
                assert!(!all.contains(placeholder), "{lang:?} still has {placeholder}");
            }
        }
    }
}
