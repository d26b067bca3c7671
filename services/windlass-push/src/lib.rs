//! The push service: everybody who should know sees it live.
//!
//! The way of a publication: a [`broker`] gives it its position and brings it to the [`hub`], which encodes it once
//! a [`variant`] and puts the bytes into the [`outbox`] of each subscriber. The way of a command: a connection's
//! task reads it from its [`socket`], its [`session`] (the [`centrifuge`] protocol or the [`plain`] one) decides, and
//! the effects are carried out one by one. Tasks are seen through the [`view`]; their values come from its feed. What
//! backends and the upload service leave in a stream is taken by the [`intake`].
//!
//! Protocols, queue, frames and recovery do no I/O and know no clock. Nothing here writes tasks except to pause and
//! resume them, and nothing here calls the upload service.

pub mod api;
pub mod broker;
pub mod centrifuge;
pub mod centrifugo;
pub mod channel;
pub mod client;
mod clients;
pub mod codes;
pub mod config;
pub mod connections;
pub mod control;
mod departures;
mod desk;
mod driver;
pub mod emulation;
pub mod events;
mod few;
mod figures;
pub mod file;
pub mod fossil;
pub mod grant;
pub mod heartbeat;
mod http;
pub mod hub;
pub mod intake;
pub mod interest;
pub mod limits;
mod link;
pub mod metrics;
mod object;
pub mod outbox;
pub mod payload;
pub mod plain;
pub mod position;
pub mod proxy;
pub mod publication;
mod push;
pub mod queue;
pub mod session;
pub mod socket;
pub mod variant;
pub mod view;
mod wheel;

pub use config::{Config, Settings};
pub use http::{accept_websocket, admin_router, open_router, router};
pub use intake::Intake;
pub use push::Push;
pub use view::View;
