//! One answer of the model, from the request to the finished message.

use futures::StreamExt;
use tracing::warn;

use crate::{
    chatkit::{ThreadItem, ThreadStreamEvent},
    model::{ChosenModel, ModelError, ModelEvent, ModelRequest, ToolCall},
    turn::{
        READY_EVENTS, SHORTENINGS, Turn,
        end::{Failure, TurnEnd},
        input::{Entry, Form},
        title::poll_title,
        tools,
    },
};

impl Turn {
    /// One answer of the model: its events to the client, its calls to the caller. A conversation that
    /// is too long for the model loses its oldest turns.
    pub async fn ask_model(&mut self, round: usize) -> Result<Vec<ToolCall>, TurnEnd> {
        let mut shortenings = 0;
        loop {
            let answer = self.stream_model(round).await;
            self.trace_answer(&answer);
            match answer {
                Err(TurnEnd::Failed(Failure::Model(ModelError::ContextOverflow(err))))
                    if shortenings < SHORTENINGS && self.transcript.forget_oldest() =>
                {
                    shortenings += 1;
                    warn!("the conversation is too long for the model, its oldest turns go: {err}");
                }
                other => return other,
            }
        }
    }

    async fn stream_model(&mut self, round: usize) -> Result<Vec<ToolCall>, TurnEnd> {
        let model = match &self.model {
            Ok(model) => model.clone(),
            Err(ModelError::Unconfigured(text)) => {
                return Err(ModelError::Unconfigured(text.clone()).into());
            }
            Err(err) => return Err(ModelError::Failed(err.to_string()).into()),
        };
        let request = Box::pin(self.model_request(&model, round)).await?;
        self.trace_request(&request);
        let mut events = model.provider.stream(request).ready_chunks(READY_EVENTS);
        let mut calls = Vec::new();
        loop {
            let ready = tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return Err(TurnEnd::Cancelled),
                () = self.sink.client_left() => return Err(TurnEnd::Cancelled),
                ready = events.next() => ready,
                _ = self.checkpoint.tick() => {
                    Box::pin(self.sink.checkpoint()).await?;
                    continue;
                }
                Some(title) = poll_title(&mut self.title) => {
                    Box::pin(self.set_title(title)).await?;
                    continue;
                }
            };
            let Some(ready) = ready else { break };
            self.trace_first_event();
            let mut done = false;
            for event in ready {
                if let Ok(ModelEvent::TextDelta { .. }) = event {
                    self.watch.speak();
                }
                match event {
                    Ok(ModelEvent::Done(_)) => done = true,
                    Ok(ModelEvent::ToolCall(call)) => calls.push(call),
                    Ok(ModelEvent::TextDelta { content_index, delta }) if !self.thread_changed => {
                        if let Some(event) = self.output.text_delta(content_index, delta) {
                            self.sink.put_aside(event).await?;
                        }
                    }
                    // Boxed, here and elsewhere: thousands of turns wait for their model, and few do anything else.
                    Ok(event) => Box::pin(self.show_event(event)).await?,
                    Err(err) => {
                        self.sink.flush().await?;
                        return Err(err.into());
                    }
                }
            }
            self.sink.flush().await?;
            Box::pin(self.flush_thread()).await?;
            if done {
                break;
            }
        }
        Ok(calls)
    }

    /// Shows what the model says. Text is put aside until all is seen that came with it.
    async fn show_event(&mut self, event: ModelEvent) -> Result<(), TurnEnd> {
        match event {
            ModelEvent::Raw(item) => self.transcript.entries.push(Entry::Raw(item)),
            ModelEvent::Usage(usage) => {
                self.usage.input_tokens += usage.input_tokens;
                self.usage.output_tokens += usage.output_tokens;
            }
            ModelEvent::MessageDone => self.finish_message().await?,
            // These are the caller's.
            ModelEvent::ToolCall(_) | ModelEvent::Done(_) => (),
            event @ (ModelEvent::MessageAdded
            | ModelEvent::ContentPartAdded { .. }
            | ModelEvent::TextDelta { .. }
            | ModelEvent::Annotation { .. }
            | ModelEvent::ContentPartDone { .. }
            | ModelEvent::ReasoningAdded
            | ModelEvent::ReasoningDelta { .. }
            | ModelEvent::ReasoningDone { .. }
            | ModelEvent::SearchAdded { .. }
            | ModelEvent::SearchDone(_)
            | ModelEvent::ImageAdded
            | ModelEvent::ImagePartial { .. }
            | ModelEvent::ImageDone { .. }) => {
                for event in self.output.convert(event) {
                    match event {
                        event @ ThreadStreamEvent::ItemUpdated { .. } if !self.thread_changed => {
                            self.sink.put_aside(event).await?;
                        }
                        event => self.send(event).await?,
                    }
                }
            }
        }
        Ok(())
    }

    async fn model_request(
        &mut self,
        model: &ChosenModel,
        round: usize,
    ) -> Result<ModelRequest, TurnEnd> {
        let front = &self.agent.front;
        let form = Form::of(front.history.form);
        let tools = tools(&self.generation, &self.agent);
        let instructions = self.instructions(&tools)?;
        let request = ModelRequest {
            model: model.model.clone(),
            instructions,
            input: self.transcript.input(form),
            // It holds for the first answer, else the turn would not end.
            tool_choice: self.tool_choice.clone().filter(|_| round == 0),
            parallel_tool_calls: true,
            temperature: front.temperature,
            reasoning: front.reasoning.clone(),
            hosted: front.hosted.clone(),
            schema: None,
            spent: self.spent.clone(),
            tools,
        };
        self.run_request_hooks(request, round).await
    }

    /// The tool that the composer's choice forces, if it names one that this agent has.
    pub fn forced_tool(&self) -> Option<String> {
        let choice = self.message.as_ref()?.inference_options.tool_choice.as_ref()?;
        let known = self.generation.tools.0.contains_key(&choice.id);
        (known && self.agent.front.admits(&choice.id)).then(|| choice.id.clone())
    }

    /// The assistant's message is whole: hooks may change it, then it is stored and shown as done.
    async fn finish_message(&mut self) -> Result<(), TurnEnd> {
        let (events, message) = self.output.finish_message();
        for event in events {
            self.send(event).await?;
        }
        let Some(message) = message else { return Ok(()) };
        let message = self.run_response_hooks(message).await?;
        self.send(ThreadStreamEvent::ItemDone { item: ThreadItem::AssistantMessage(message) }).await
    }
}
