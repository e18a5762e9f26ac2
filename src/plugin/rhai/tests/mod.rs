//! Scripts as their authors meet them: a file goes in, results and error texts come out.

mod calls;
mod ctx;
mod isolation;
mod limits;
mod loading;
mod packs;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::plugin::{
    HandlerId, Host, Plugin, PluginFiles, load,
    tests::{Turn, host, host_with, no_thread, show, show_errors},
};

fn file(text: &str) -> PluginFiles {
    files("plugins/test.rhai", &[("test.rhai", text)])
}

fn files(path: &str, texts: &[(&str, &str)]) -> PluginFiles {
    let name = path.trim_start_matches("plugins/").trim_end_matches(".rhai").to_owned();
    let entry = |(path, text): &(&str, &str)| ((*path).to_owned(), Arc::from(text.as_bytes()));
    PluginFiles { path: path.to_owned(), name, files: texts.iter().map(entry).collect() }
}

/// The errors of loading this script.
async fn errors_of(script: &str) -> String {
    match load(&file(script), &host().await) {
        Ok(_) => "loads".to_owned(),
        Err(errors) => show_errors(&errors),
    }
}

async fn plugin_of(script: &str) -> Arc<dyn Plugin> {
    load_or_panic(&file(script), &host().await)
}

fn load_or_panic(files: &PluginFiles, host: &Arc<Host>) -> Arc<dyn Plugin> {
    load(files, host).unwrap_or_else(|errors| panic!("{}", show_errors(&errors)))
}

/// What the body of a tool gives.
async fn outcome(body: &str) -> String {
    run(&format!("tool(#{{ name: \"t\", description: \"d\", run: |args, ctx| {{ {body} }} }});"))
        .await
}

/// What the script's first handler gives, in a thread.
async fn run(script: &str) -> String {
    run_with(script, json!({})).await
}

async fn run_with(script: &str, argument: Value) -> String {
    let errors = match load(&file(script), &host().await) {
        Ok(plugin) => return call(&plugin, argument).await,
        Err(errors) => errors,
    };
    show_errors(&errors)
}

/// What the first handler gives, below what it had shown.
async fn call(plugin: &Arc<dyn Plugin>, argument: Value) -> String {
    let turn = Turn::start();
    let result = plugin.clone().call(HandlerId(0), argument, turn.context()).await;
    format!("{}{}", turn.shown(), show(&result))
}
