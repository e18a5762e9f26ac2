//! The ChatKit protocol as data: what travels between the chat UI and the server, and nothing else.
//!
//! Source: `chatkit/types.py` of openai-chatkit 1.6.5. Names are the reference's own; every type
//! serializes to the bytes that the reference would send, except that timestamps carry their zone.
//! Absent values are left out, never null.

mod answer;
mod attachment;
mod event;
mod icon;
mod id;
mod item;
mod object;
mod page;
mod request;
mod source;
mod task;
mod thread;
mod update;

pub use self::{
    answer::*, attachment::*, event::*, icon::*, id::*, item::*, page::*, request::*, source::*,
    task::*, thread::*, update::*,
};
