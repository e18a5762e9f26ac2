//! Traces for OpenTelemetry, sent by OTLP over HTTP. Where none are sent, nothing here costs more than a look whether they are.
//!
//! Names and attributes are those of the conventions for HTTP and for generative AI,
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/>.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use arc_swap::ArcSwapOption;
use opentelemetry::{
    Array, Context, KeyValue, StringValue, Value,
    context::{FutureExt, WithContext},
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{ParentBasedSampler, Sampler, SdkTracer, SdkTracerProvider},
};
use secrecy::ExposeSecret;
use tracing::warn;

use crate::config::TracesConfig;

/// The longest text of a trace, in bytes: what is longer is cut.
const CONTENT_BYTES: usize = 32 << 10;

/// Who is told what happens.
struct Tracing {
    tracer: SdkTracer,
    /// Whether of what users, models and tools say as well.
    content: bool,
}

/// None: nobody is told.
#[cfg(not(test))]
static TRACING: ArcSwapOption<Tracing> = ArcSwapOption::const_empty();

// Each test its own: they run side by side, each on its thread.
#[cfg(test)]
thread_local! {
    static TRACING: ArcSwapOption<Tracing> = const { ArcSwapOption::const_empty() };
}

fn tracing() -> Option<Arc<Tracing>> {
    #[cfg(not(test))]
    return TRACING.load_full();
    #[cfg(test)]
    return TRACING.with(ArcSwapOption::load_full);
}

fn replace_tracing(tracing: Option<Arc<Tracing>>) {
    #[cfg(not(test))]
    TRACING.store(tracing);
    #[cfg(test)]
    TRACING.with(|it| it.store(tracing));
}

/// Who sends the traces.
pub struct Exporter(SdkTracerProvider);

/// Traces what happens from here on. Fails with what is wrong with the configuration.
pub fn start_traces(config: &TracesConfig) -> Result<Exporter, String> {
    let headers = config.headers.iter();
    let headers: HashMap<String, String> =
        headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(config.endpoint.as_str())
        .with_headers(headers)
        .build()
        .map_err(|err| format!("traces cannot be sent to `{}`: {err}", config.endpoint))?;
    let share = Sampler::TraceIdRatioBased(config.sample);
    // A caller's word never makes us keep more than the operator wants.
    let sampler = ParentBasedSampler::new(share.clone()).with_remote_parent_sampled(share);
    let resource = Resource::builder()
        .with_service_name(config.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    let tracing = Tracing { tracer: provider.tracer("kitfox"), content: config.content };
    replace_tracing(Some(Arc::new(tracing)));
    Ok(Exporter(provider))
}

impl Exporter {
    /// Sends what there is, and nothing after it. Blocks.
    pub fn stop(self) {
        replace_tracing(None);
        if let Err(err) = self.0.shutdown() {
            warn!("the last traces could not be sent: {err}");
        }
    }
}

/// Whether traces hold what users, models and tools say.
pub fn holds_content() -> bool {
    tracing().is_some_and(|it| it.content)
}

/// On which side of a connection something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Server,
    Client,
    Internal,
}

/// Something that is traced from its beginning until it is dropped. None: it is not.
#[derive(Debug)]
pub struct Traced(Option<Context>);

impl Traced {
    /// A part of whatever goes on here.
    pub fn begin(name: impl Into<Cow<'static, str>>, place: Place) -> Self {
        let Some(tracing) = tracing() else { return Self(None) };
        Self::within(&tracing, &Context::current(), name, place)
    }

    /// A part of what the sender of a request does, where it says so (W3C Trace Context).
    pub fn continue_from<'a>(
        header: &'a dyn Fn(&str) -> Option<&'a str>,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        let Some(tracing) = tracing() else { return Self(None) };
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(header));
        Self::within(&tracing, &parent, name, Place::Server)
    }

    fn within(
        tracing: &Tracing,
        parent: &Context,
        name: impl Into<Cow<'static, str>>,
        place: Place,
    ) -> Self {
        let tracer = &tracing.tracer;
        let kind = match place {
            Place::Server => SpanKind::Server,
            Place::Client => SpanKind::Client,
            Place::Internal => SpanKind::Internal,
        };
        let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, parent);
        Self(Some(parent.with_span(span)))
    }

    /// Whether what is set on it goes anywhere.
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|it| it.span().is_recording())
    }

    pub fn rename(&self, name: impl Into<Cow<'static, str>>) {
        if let Some(context) = &self.0 {
            context.span().update_name(name);
        }
    }

    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    pub fn set_list(&self, key: &'static str, values: &[&'static str]) {
        let values = values.iter().map(|it| StringValue::from(*it)).collect();
        self.set(key, Value::Array(Array::String(values)));
    }

    /// What somebody said, where the operator wants it in traces.
    pub fn set_content(&self, key: &'static str, text: impl FnOnce() -> String) {
        if holds_content() && self.is_recording() {
            let mut text = text();
            text.truncate(text.floor_char_boundary(CONTENT_BYTES));
            self.set(key, text);
        }
    }

    /// `kind` is one of few words: a text may hold what somebody wrote.
    pub fn fail(&self, kind: &'static str) {
        self.set("error.type", kind);
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(""));
        }
    }

    /// The future as a part of it: what is traced in there is below it.
    pub fn run<F: Future>(&self, future: F) -> WithContext<F> {
        future.with_context(self.0.clone().unwrap_or_default())
    }

    /// The same for what does not wait.
    pub fn enter<T>(&self, act: impl FnOnce() -> T) -> T {
        let _entered = self.0.clone().map(Context::attach);
        act()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// A future that goes into a task of its own, still as a part of what goes on here.
pub fn carry<F: Future>(future: F) -> WithContext<F> {
    future.with_current_context()
}

/// What tells others of the trace that goes on here (W3C Trace Context).
pub fn traceparent() -> Option<String> {
    let context = Context::current();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
    })
}

/// The headers of a request, by their lower-case names.
struct Headers<'a>(&'a dyn Fn(&str) -> Option<&'a str>);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (self.0)(key)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}
