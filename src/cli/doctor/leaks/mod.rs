//! Where secrets would be seen, if they leaked.

mod copy;
mod observe;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode, thread};

use anyhow::anyhow;
use serde_json::json;

use self::{
    copy::Copy,
    observe::{Observed, observe},
};
use crate::{
    cli::{check, output::Output},
    config::Environment,
    credential::Scrubber,
};

/// A place, and whose secrets were found there that must not be.
struct Found {
    place: String,
    credentials: Vec<String>,
}

pub async fn run(
    project: PathBuf,
    environment: Environment,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let app = match check::load(project.clone(), environment).await {
        Ok(app) => app,
        Err(errors) => {
            output.problems(&errors);
            output.value(&json!({ "errors": errors }));
            return Ok(ExitCode::FAILURE);
        }
    };
    let generation = app.generation();
    let copy = Copy::of(&generation, &project);
    let problems = generation.errors.clone();
    app.close().await;
    let copy = copy?;
    // What is not in force was not looked at.
    output.problems(&problems);
    // On a thread of its own: what is logged there is seen whole.
    let found = thread::spawn(move || observe(&copy).map(|observed| report(&copy, &observed)))
        .join()
        .map_err(|_| anyhow!("the turn panicked"))??;
    for Found { place, credentials } in &found {
        match credentials.as_slice() {
            [] => output.line(format!("ok: {place}")),
            names => output.line(format!("FOUND in {place}: {}", names.join(", "))),
        }
    }
    let places: Vec<_> =
        found.iter().map(|it| json!({ "place": it.place, "found": it.credentials })).collect();
    let is_clean = found.iter().all(|it| it.credentials.is_empty());
    output.value(&json!({ "ok": is_clean, "places": places, "errors": problems }));
    if !is_clean {
        output.line("secrets are where they must not be: do not use this set-up, and tell the makers of Kitfox");
    }
    Ok(if is_clean && problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was seen where it must not be.
fn report(copy: &Copy, observed: &Observed) -> Vec<Found> {
    let mut found = Vec::new();
    for (place, text) in &observed.places {
        let may_show = observe::SHOWN_BY_WILL == *place;
        let held = copy.planted.iter().filter(|it| {
            !(may_show && copy.is_shown(&it.secret))
                && Scrubber::new([("", &it.secret)], []).finds(text)
        });
        let credentials = held.map(|it| it.name.clone()).collect();
        found.push(Found { place: (*place).to_owned(), credentials });
    }
    // Whom it was not meant for.
    let mut ids: Vec<_> = observed.sent.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut astray = Vec::new();
    let mut arrived = Vec::new();
    for id in ids {
        let texts = observed.sent.iter().filter(|(it, _)| it == id).map(|(_, text)| text.as_str());
        let texts: String = texts.collect();
        for planted in &copy.planted {
            if !Scrubber::new([("", &planted.secret)], []).finds(&texts) {
                continue;
            }
            if copy.may_go(&planted.secret, id) {
                arrived.push(planted.name.as_str());
            } else {
                astray.push(format!("{} (sent to {id})", planted.name));
            }
        }
    }
    found.push(Found { place: "what servers were sent".to_owned(), credentials: astray });
    // What was never sent could not leak.
    let lost = copy.planted.iter().filter(|it| it.is_sent && !arrived.contains(&it.name.as_str()));
    let lost: Vec<_> = lost.map(|it| it.name.clone()).collect();
    if !lost.is_empty() {
        found.push(Found {
            place: "what was to be sent, and was not".to_owned(),
            credentials: lost,
        });
    }
    found
}
