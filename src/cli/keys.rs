use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::bail;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::{
    app::first_config,
    cli::output::{Output, bold, dim},
    config::Environment,
    store::{Role, Store},
    vault::{Key, Keys as KeyFile, VARIABLE, Vault},
};

#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the first key.
    New,
    /// List the keys, and how much each of them opens.
    List,
    /// Add a key and seal everything with it; a running server takes it up by itself.
    Rotate,
}

impl Keys {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let config = match first_config(&project, &environment).await {
            Ok(config) => config,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let file = project.join(&config.store.keys);
        let variable = environment.get(VARIABLE).filter(|it| !it.trim().is_empty());
        let keys = Arc::new(KeyFile::new(variable, file.clone(), false));
        if matches!(self.command, Command::New) {
            return new(&keys, &file, variable.is_some(), output).await;
        }
        let tasks = TaskTracker::new();
        let store = Store::connect(&config.store, Role::Guest, &tasks).await;
        store.check().await?;
        let vault = Vault::with_keys(store.clone(), keys);
        let done = match self.command {
            Command::New | Command::List => list(&vault, output).await,
            Command::Rotate => rotate(&vault, variable.is_some(), output).await,
        };
        store.close().await;
        done
    }
}

async fn new(
    keys: &Arc<KeyFile>,
    file: &std::path::Path,
    is_variable: bool,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if is_variable {
        let key = Key::generate().line();
        output.line(format!(
            "{VARIABLE} holds the keys. Add this one at its end, after a comma, and then `kitfox keys rotate`:"
        ));
        output.line(key.expose_secret());
        output.value(&json!({ "key": key.expose_secret() }));
        return Ok(ExitCode::SUCCESS);
    }
    if keys.load().await.is_ok() {
        bail!("`{}` holds a key already: `kitfox keys rotate` adds another one", file.display());
    }
    let ring = keys.add().await?;
    let id = &ring.newest().id;
    output.line(format!("made {} with the key {}", bold(&file.display().to_string()), bold(id)));
    output.line(dim("keep a copy apart from the database's: without it, nothing that users entrusted can be opened"));
    output.value(&json!({ "file": file, "key": id }));
    Ok(ExitCode::SUCCESS)
}

async fn list(vault: &Vault, output: Output) -> anyhow::Result<ExitCode> {
    let ring = vault.keys().load().await?;
    let counts: BTreeMap<_, _> = vault.store().count_sealed_by_key().await?.into_iter().collect();
    let newest = &ring.newest().id;
    let mut list = Vec::new();
    let mut is_whole = true;
    for id in ring.ids() {
        let count = counts.get(id).copied().unwrap_or(0);
        let note = if id == newest { ", seals what comes" } else { "" };
        output.line(format!("{} opens {count}{note}", bold(id)));
        list.push(json!({ "id": id, "opens": count, "newest": id == newest }));
    }
    for (id, count) in counts.iter().filter(|(id, _)| ring.find(id).is_none()) {
        output.line(format!("{} is missing, and would open {count}", bold(id)));
        list.push(json!({ "id": id, "opens": count, "missing": true }));
        is_whole = false;
    }
    output.value(&json!({ "keys": list }));
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rotate(vault: &Vault, is_variable: bool, output: Output) -> anyhow::Result<ExitCode> {
    // The operator has added the new key.
    if !is_variable {
        vault.keys().load().await?;
        vault.keys().add().await?;
    }
    let rotated = vault.rotate().await?;
    let (id, count) = (&rotated.key_id, rotated.resealed);
    output.line(format!("the key {} seals everything: {count} were sealed anew", bold(id)));
    if rotated.unreadable > 0 {
        output.line(format!(
            "{} could not be opened by any key, and stay as they are",
            rotated.unreadable
        ));
    }
    output.value(&json!({ "key": id, "resealed": count, "unreadable": rotated.unreadable }));
    Ok(if rotated.unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use secrecy::SecretString;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        cli::Arguments,
        store::{SealedKind, Store},
        user::UserKey,
        vault::VaultError,
    };

    /// A project's folder, with what users entrusted to it.
    struct Project {
        folder: TempDir,
        store: Store,
        user: UserKey,
    }

    impl Project {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}/kitfox.db", folder.path().display());
            let store = Store::open(&url, &TaskTracker::new()).await;
            store.check().await.unwrap();
            Self { folder, store, user: UserKey::new("test", "", "ada") }
        }

        fn path(&self) -> &Path {
            self.folder.path()
        }

        /// `kitfox keys COMMAND` in the project's folder.
        async fn run(&self, command: &str) -> anyhow::Result<ExitCode> {
            self.run_with(command, None).await
        }

        async fn run_with(&self, command: &str, keys: Option<&str>) -> anyhow::Result<ExitCode> {
            let project = self.path().to_str().unwrap();
            let words = ["kitfox", "--project", project, "--json", "keys", command];
            let Arguments { project, json, command } = Arguments::try_parse_from(words).unwrap();
            let Some(crate::cli::Command::Keys(command)) = command else { panic!("it is `keys`") };
            let variable = keys.map(|it| (VARIABLE.to_owned(), it.to_owned()));
            let environment = Environment(variable.into_iter().collect());
            command.run(project, environment, Output { json }).await
        }

        async fn fails(&self, command: &str, with: &str) {
            let problem = self.run(command).await.unwrap_err().to_string();
            assert!(problem.contains(with), "{problem}");
        }

        /// As a server has it that is started now.
        fn vault(&self, keys: Option<&str>) -> Vault {
            let keys = KeyFile::new(keys, self.path().join("kitfox.keys"), false);
            Vault::new(self.store.clone(), keys)
        }

        async fn save(&self, vault: &Vault, count: usize) {
            for index in 0..count {
                let text = SecretString::from(format!("secret-{index}"));
                let user = vault.of(&self.user);
                user.save(SealedKind::Entered, &index.to_string(), &text, None).await.unwrap();
            }
        }

        /// How many of so many are opened with these keys, and right.
        async fn opens(&self, vault: &Vault, count: usize) -> usize {
            let mut opened = 0;
            for index in 0..count {
                let user = vault.of(&self.user);
                match user.find(SealedKind::Entered, &index.to_string()).await {
                    Ok(found) => {
                        let found = found.expect("it is there");
                        assert_eq!(found.text.expose_secret(), format!("secret-{index}"));
                        opened += 1;
                    }
                    Err(VaultError::Unreadable { .. } | VaultError::NoKeys(_)) => (),
                    Err(err @ VaultError::Store(_)) => panic!("{err}"),
                }
            }
            opened
        }

        fn lines(&self) -> Vec<String> {
            let text = std::fs::read(self.path().join("kitfox.keys")).unwrap();
            let text = String::from_utf8(text).unwrap();
            let is_key = |it: &&str| !it.starts_with('#') && !it.is_empty();
            text.lines().filter(is_key).map(str::to_owned).collect()
        }

        fn write(&self, lines: &[String]) {
            std::fs::write(self.path().join("kitfox.keys"), lines.join("\n")).unwrap();
        }

        /// How much each key opens, by the rows themselves.
        async fn counts(&self) -> Vec<u64> {
            let counts = self.store.count_sealed_by_key().await.unwrap();
            counts.into_iter().map(|(_, count)| count).collect()
        }
    }

    #[tokio::test]
    async fn a_key_is_made_once_and_rotated_so_that_the_old_one_may_go() {
        let project = Project::new().await;
        project.fails("list", "make `kitfox.keys` with `kitfox keys new`").await;
        project.fails("rotate", "make `kitfox.keys` with `kitfox keys new`").await;
        assert!(!project.path().join("kitfox.keys").exists());
        assert_eq!(project.run("new").await.unwrap(), ExitCode::SUCCESS);
        project.fails("new", "holds a key already").await;
        let first = project.lines();
        assert_eq!(first.len(), 1);

        let server = project.vault(None);
        project.save(&server, 3).await;
        assert_eq!(project.run("rotate").await.unwrap(), ExitCode::SUCCESS);
        assert_eq!(project.run("list").await.unwrap(), ExitCode::SUCCESS);
        let both = project.lines();
        assert_eq!((both.len(), &both[0]), (2, &first[0]));
        // A running server goes on, and seals with the new key.
        assert_eq!(project.opens(&server, 3).await, 3);
        project.save(&server, 4).await;
        assert_eq!(project.counts().await, [4]);
        project.write(&both[1..]);
        assert_eq!(project.opens(&project.vault(None), 4).await, 4);
        project.write(&both[..1]);
        assert_eq!(project.opens(&project.vault(None), 4).await, 0);
    }

    #[tokio::test]
    async fn a_rotation_that_is_interrupted_loses_nothing_and_is_finished_by_the_next() {
        let project = Project::new().await;
        project.run("new").await.unwrap();
        let vault = project.vault(None);
        project.save(&vault, 250).await;
        vault.keys().add().await.unwrap();
        let mut rotation = Box::pin(vault.rotate());
        loop {
            tokio::select! {
                biased;
                _ = &mut rotation => panic!("it was not interrupted"),
                counts = project.counts() => if counts.len() == 2 { break },
            }
        }
        drop(rotation);
        assert_eq!(project.counts().await.len(), 2);
        // Both keys are in force.
        assert_eq!(project.opens(&project.vault(None), 250).await, 250);
        let only_new = project.lines()[1..].join("\n");
        assert!(project.opens(&project.vault(Some(&only_new)), 250).await < 250);

        assert_eq!(project.run("rotate").await.unwrap(), ExitCode::SUCCESS);
        assert_eq!(project.counts().await, [250]);
        let newest = project.lines().pop().unwrap();
        assert_eq!(project.opens(&project.vault(Some(&newest)), 250).await, 250);
    }

    #[tokio::test]
    async fn without_the_right_key_nothing_is_opened_and_nothing_is_lost() {
        let project = Project::new().await;
        project.run("new").await.unwrap();
        project.save(&project.vault(None), 2).await;
        let right = project.lines();

        std::fs::remove_file(project.path().join("kitfox.keys")).unwrap();
        project.fails("rotate", "there is no key for what users entrust").await;
        project.run("new").await.unwrap();
        assert_eq!(project.opens(&project.vault(None), 2).await, 0);
        assert_eq!(project.run("rotate").await.unwrap(), ExitCode::FAILURE);
        assert_eq!(project.run("list").await.unwrap(), ExitCode::FAILURE);

        std::fs::write(project.path().join("kitfox.keys"), "nonsense").unwrap();
        project.fails("rotate", "its entry 1 is no key").await;
        project.fails("list", "its entry 1 is no key").await;

        project.write(&right);
        assert_eq!(project.opens(&project.vault(None), 2).await, 2);
        assert_eq!(project.run("rotate").await.unwrap(), ExitCode::SUCCESS);
        assert_eq!(project.opens(&project.vault(None), 2).await, 2);
    }

    #[tokio::test]
    async fn keys_of_the_environment_are_rotated_by_who_adds_one_there() {
        let project = Project::new().await;
        let keys: Vec<_> = [Key::generate(), Key::generate()]
            .iter()
            .map(|it| it.line().expose_secret().clone())
            .collect();
        let both = keys.join(",");
        project.save(&project.vault(Some(&keys[0])), 2).await;
        assert_eq!(project.run_with("new", Some(&keys[0])).await.unwrap(), ExitCode::SUCCESS);
        assert_eq!(project.run_with("list", Some(&both)).await.unwrap(), ExitCode::SUCCESS);
        assert_eq!(project.run_with("rotate", Some(&both)).await.unwrap(), ExitCode::SUCCESS);
        assert!(!project.path().join("kitfox.keys").exists());
        assert_eq!(project.opens(&project.vault(Some(&keys[1])), 2).await, 2);
        assert_eq!(project.opens(&project.vault(Some(&keys[0])), 2).await, 0);
    }
}
