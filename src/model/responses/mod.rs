//! The Responses API.

mod answer;
mod request;

use std::sync::Arc;

use futures::{future::BoxFuture, stream::BoxStream};

use self::answer::Answer;
use super::{
    Completion, Model, ModelError, ModelEvent, ModelRequest,
    http::{Delivery, Endpoint},
    names::ToolNames,
};

pub const PATH: &[&str] = &["responses"];

pub struct Responses(pub Arc<Endpoint>);

impl Model for Responses {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        let names = Arc::new(ToolNames::new(&request.tools));
        let body = request::body(&request, &names, Delivery::Streamed);
        Arc::clone(&self.0).stream(body, move || Answer::new(Arc::clone(&names)))
    }

    fn complete(
        &self,
        request: ModelRequest,
    ) -> BoxFuture<'static, Result<Completion, ModelError>> {
        let body = request::body(&request, &ToolNames::new(&request.tools), Delivery::Whole);
        let endpoint = Arc::clone(&self.0);
        Box::pin(async move { Ok(answer::whole(&endpoint.ask(body).await?)) })
    }
}
