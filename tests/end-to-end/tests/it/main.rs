//! Harm done to the real `windlass dev`: killed, cut, starved, lied to. One binary, so that it is linked once.

mod auth;
mod bad_input;
mod bounds;
mod bucket;
mod churn;
mod content;
mod cuts;
mod drain;
mod forgotten;
mod forms;
mod framing;
mod full_disk;
mod garbage;
mod ietf;
mod kill;
mod lifecycle;
mod limits;
mod links;
mod paths;
mod redis;
mod storm;
mod takeover;
mod tenants;
mod tls;
mod traces;
mod tusd;
