//! Components as their authors meet them: a file goes in, results and error texts come out.

mod calls;
mod fetch;
mod hostile;
mod loading;
mod members;
mod worlds;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    plugin::{
        HandlerId, Host, Plugin, PluginFiles, load,
        tests::{Turn, host, host_with, no_thread, show, show_errors},
    },
    tests::guest,
};

fn file(bytes: &[u8]) -> PluginFiles {
    files("plugins/guest.wasm", &[("guest.wasm", bytes)])
}

fn files(path: &str, files: &[(&str, &[u8])]) -> PluginFiles {
    let name = path.trim_start_matches("plugins/").trim_end_matches(".wasm").to_owned();
    let entry = |(path, bytes): &(&str, &[u8])| ((*path).to_owned(), Arc::from(*bytes));
    PluginFiles { path: path.to_owned(), name, files: files.iter().map(entry).collect() }
}

fn load_or_panic(files: &PluginFiles, host: &Arc<Host>) -> Arc<dyn Plugin> {
    load(files, host).unwrap_or_else(|errors| panic!("{}", show_errors(&errors)))
}

/// The errors of loading these bytes as plugins/guest.wasm.
async fn errors_of(bytes: &[u8]) -> String {
    match load(&file(bytes), &host().await) {
        Ok(_) => "loads".to_owned(),
        Err(errors) => show_errors(&errors),
    }
}

/// What the first handler gives, below what it had shown.
async fn call(plugin: &Arc<dyn Plugin>, argument: Value) -> String {
    let turn = Turn::start();
    let result = plugin.clone().call(HandlerId(0), argument, turn.context()).await;
    format!("{}{}", turn.shown(), show(&result))
}

/// What a plugin with one tool gives, whose code this is.
async fn outcome(code: &str) -> String {
    let bytes = guest::plugin(&guest::one_tool(), code);
    call(&load_or_panic(&file(&bytes), &host().await), json!({})).await
}
